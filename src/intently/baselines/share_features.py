"""What is known of a customer's interest in each label (a category): features of (customer, label) cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from intently.baselines.catalogue import item_codes
from intently.baselines.label_rows import LabelRows, Told, label_codes
from intently.baselines.purchases import decay, shop_purchases
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array

HALF_LIVES = (14.0, 42.0, 112.0, None)
LOOKED = (7.0, 28.0, 112.0)
NEWEST = (3, 10, 30)
SHOP_WINDOWS = (7.0, 28.0, 84.0, None)


def shop_shares(shop: Log, items: pl.DataFrame, of: str, labels: Sequence[str]) -> Array:
    """Shares of the labels in all purchases of the last 7, 28, 84 days and of all time, (labels, 4)."""
    label = label_codes(items, of, tuple(labels))
    ages = [pl.len() if days is None else (pl.col("age") <= days).sum() for days in SHOP_WINDOWS]
    counted = [count.alias(str(number)) for number, count in enumerate(ages)]
    table = shop_purchases(shop).group_by(schema.ITEM).agg(*counted).collect()
    column = label[item_codes(table[schema.ITEM], items[schema.ITEM])]
    shares = np.zeros((len(labels), len(SHOP_WINDOWS)))
    for number in range(len(SHOP_WINDOWS)):
        counts = table[str(number)].to_numpy().astype(np.float64)
        shares[:, number] = np.bincount(column[column >= 0], counts[column >= 0], minlength=len(labels))
    return shares / np.maximum(shares.sum(axis=0), 1.0)


def share_features(told: Told, shop: Array) -> tuple[Array, tuple[str, ...]]:
    """Features of every cell, (n, labels, features) float32, NaN where there is no history.

    What customers bought gives the most; every other type of event gives a few of its own.
    """
    rows = told.bought
    columns = _own_columns(rows) | _basket_columns(rows)
    customer = _customer_columns(rows)
    shape = (rows.n, rows.labels)
    for kind, others in told.others.items():
        columns |= _looked_columns(kind, others)
        for half_life in LOOKED:
            total = columns[f"{kind}_{half_life:.0f}"].sum(axis=1)
            customer[f"{kind}_all_labels_{half_life:.0f}"] = total
    columns |= {name: np.broadcast_to(values[:, None], shape) for name, values in customer.items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        trend = shop[:, 1] / shop[:, 2]
        columns |= {
            "shop_share_28": np.broadcast_to(shop[:, 1], shape),
            "shop_share": np.broadcast_to(shop[:, 3], shape),
            "shop_trend": np.broadcast_to(np.where(shop[:, 2] > 0, trend, np.nan), shape),
            "shop_week_trend": np.broadcast_to(np.where(shop[:, 1] > 0, shop[:, 0] / shop[:, 1], np.nan), shape),
            "own_to_shop": columns["share_112"] / shop[:, 3],
        }
    table = np.empty((*shape, len(columns)), dtype=np.float32)
    for number, values in enumerate(columns.values()):
        table[:, :, number] = values
    table[~np.isfinite(table)] = np.nan
    return table, tuple(columns)


def _own_columns(rows: LabelRows) -> dict[str, Array]:
    """Decayed shares and counts of the customer, and when the label was last bought, (n, labels) each."""
    columns = {}
    for half_life in HALF_LIVES:
        counts = rows.decayed(half_life)
        name = "all" if half_life is None else f"{half_life:.0f}"
        columns[f"count_{name}"] = counts
        columns[f"share_{name}"] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    first = np.full(rows.n * rows.labels, np.nan)
    cell = rows.example * rows.labels + rows.label
    # Rows are in order of time: backwards, the last assignment is the oldest.
    first[cell[::-1]] = rows.age[::-1]
    columns["recency"] = rows.newest()
    columns["first_age"] = first.reshape(rows.n, rows.labels)
    return columns


def _looked_columns(kind: str, rows: LabelRows) -> dict[str, Array]:
    """Decayed counts and shares of one type of event, by days and by how many came since, (n, labels) each."""
    columns = {}
    for half_life in LOOKED:
        counts = rows.decayed(half_life)
        columns[f"{kind}_{half_life:.0f}"] = counts
        columns[f"{kind}_share_{half_life:.0f}"] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    # Who looks once a month and who looks all day change their minds over as many looks, not days.
    place = rows.places()
    columns |= {f"{kind}_newest_{newest}": rows.total((place <= newest).astype(np.float64)) for newest in NEWEST}
    columns |= {f"{kind}_half_{newest}": rows.total(np.exp2(-place / newest)) for newest in NEWEST}
    columns[f"{kind}_recency"] = rows.newest()
    return columns


def _basket_columns(rows: LabelRows) -> dict[str, Array]:
    """In which share of the customer's baskets the label is, and how regularly."""
    key = (rows.moment.astype(np.int64) * rows.labels) + rows.label
    _, once = np.unique(key, return_index=True)
    one = LabelRows(rows.n, rows.labels, *(v[once] for v in (rows.example, rows.label, rows.age, rows.moment)))
    _, basket = np.unique(rows.moment, return_index=True)
    columns = {}
    for half_life in (28.0, 112.0):
        held = np.bincount(rows.example[basket], decay(rows.age[basket], half_life), minlength=rows.n)
        columns[f"baskets_{half_life:.0f}"] = one.decayed(half_life) / np.maximum(held, 1e-9)[:, None]
    times = one.decayed(None)
    first, last = (np.full(rows.n * rows.labels, np.nan) for _ in range(2))
    cell = one.example * rows.labels + one.label
    np.fmax.at(first, cell, one.age)
    np.fmin.at(last, cell, one.age)
    span = (first - last).reshape(rows.n, rows.labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(times > 1, span / (times - 1), np.nan)
        columns["mean_gap"] = gap
        columns["recency_per_gap"] = last.reshape(rows.n, rows.labels) / np.maximum(gap, 0.5)
    return columns


def _customer_columns(rows: LabelRows) -> dict[str, Array]:
    """How active the customer is, (n,) each."""
    _, basket = np.unique(rows.moment, return_index=True)
    example, age = rows.example[basket], rows.age[basket]
    recency = np.full(rows.n, np.nan)
    np.fmin.at(recency, example, age)
    baskets = np.bincount(example, minlength=rows.n)
    lines = np.bincount(rows.example, minlength=rows.n)
    labels = (rows.decayed(None) > 0).sum(axis=1)
    recent = np.bincount(rows.example, decay(rows.age, 28.0), minlength=rows.n)
    return {
        "lines": lines.astype(np.float64),
        "recent_lines": recent,
        "baskets": baskets.astype(np.float64),
        "lines_per_basket": lines / np.maximum(baskets, 1),
        "labels_bought": labels.astype(np.float64),
        "customer_recency": recency,
    }
