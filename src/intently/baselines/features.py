"""Windowed features of customers: what a careful analyst would compute from their past by hand.

Every number is read from `Past`, so it is of the time asked at. Columns depend on what the log has: event types
and further numeric columns give their own, a catalogue without categories gives none of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from intently.baselines.once import Once
from intently.baselines.visits import is_browsed, visit_columns
from intently.baselines.windows import (
    LABELS,
    WINDOWS,
    by_window,
    chunks,
    decayed,
    distinct_by_window,
    newest_age,
    ratio,
)
from intently.contract import Past, Rows
from intently.log.pack import Array
from intently.log.schema import BRAND, BUY, CATEGORY, RETURN

_HALF_LIVES = (7.0, 14.0, 28.0, 56.0)
_GROUPS = (CATEGORY, "department", BRAND)
_NEWEST = (2, 3, 5, 10)

Columns = dict[str, Array]

_ONCE = Once()


def windowed(past: Past, names: tuple[str, ...] | None = None) -> tuple[Array, tuple[str, ...]]:
    """Features (n, k) float32 of the asked ones of a past, and their names.

    With `names`, exactly these columns in this order; one that this log cannot give (an event type it
    never saw) is 0. NaN says that there is nothing to measure, such as the gap of a single basket.
    """
    values, found = _ONCE.of(past, lambda: _windowed(past))
    return (values, found) if names is None else (aligned(values, found, names), names)


def _windowed(past: Past) -> tuple[Array, tuple[str, ...]]:
    groups = past.of_items("groups", lambda: _groups(past.items))
    widest = max((int(codes.max(initial=0)) + 1 for codes in groups.values()), default=1)
    parts = []
    found: tuple[str, ...] = ()
    for rows in chunks(past.lengths, widest):
        columns = _columns(past.take(rows), groups)
        found = tuple(columns)
        # To stack some two hundred columns takes as long as to compute them, where there is one customer.
        table = np.array(list(columns.values()), dtype=np.float64)
        parts.append(table.T.astype(np.float32, order="C"))
    return np.concatenate(parts), found


def _groups(items: pl.DataFrame) -> Mapping[str, Array]:
    """Codes of the groups of items; the last is that of rows without an item, whose code is -1: none."""
    return {name: np.append(group_codes(items[name]), -1) for name in _GROUPS if name in items.columns}


def aligned(values: Array, found: tuple[str, ...], names: tuple[str, ...]) -> Array:
    """Columns `names` of a matrix whose columns are `found`; those not found are 0."""
    if found == names:
        return values.astype(np.float32, copy=False)
    place = {name: column for column, name in enumerate(found)}
    picked = np.zeros((len(values), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        if name in place:
            picked[:, column] = values[:, place[name]]
    return picked


def group_codes(values: pl.Series) -> Array:
    """Whole-number codes of a catalogue column by value, -1 where it is empty; int64."""
    return values.cast(pl.String).rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1


def bought(rows: Rows, event_types: tuple[str, ...]) -> Array:
    """Which rows are purchases; in a log without purchases, every row."""
    if BUY not in event_types:
        return np.ones(len(rows), dtype=bool)
    return np.asarray(rows.event_type == event_types.index(BUY))


def spending(rows: Rows, event_types: tuple[str, ...]) -> tuple[Array, Array]:
    """Which rows move money, and the money of these: what is bought, less what is returned (whatever its sign)."""
    buys = bought(rows, event_types)
    back = rows.event_type == event_types.index(RETURN) if RETURN in event_types else np.zeros(len(rows), dtype=bool)
    moved = buys | back
    return moved, np.where(back, -np.abs(rows.amount), rows.amount)[moved]


@dataclass(frozen=True)
class _Baskets:
    """Purchases made at one moment, oldest first within an example."""

    example: Array
    age: Array
    money: Array
    newest: Array

    @classmethod
    def of(cls, rows: Rows, buys: Array, n: int) -> _Baskets:
        moment = rows.moment[buys]
        number, first = np.unique(moment, return_index=True)
        example = rows.example[buys][first]
        money = np.bincount(moment, weights=rows.amount[buys], minlength=number[-1] + 1 if len(number) else 0)[number]
        stop = np.cumsum(np.bincount(example, minlength=n))
        return cls(example, rows.age[buys][first], money, stop[example] - np.arange(len(example)))

    def nth_age(self, nth: int, n: int) -> Array:
        """Age in days of the nth newest basket."""
        ages = np.full(n, np.nan)
        rows = self.newest == nth
        ages[self.example[rows]] = self.age[rows]
        return ages


def _columns(past: Past, groups: Mapping[str, Array]) -> Columns:
    n = len(past)
    rows = past.rows()
    buys = bought(rows, past.event_types)
    baskets = _Baskets.of(rows, buys, n)
    columns: Columns = {}
    for code, kind in enumerate(past.event_types):
        of_kind = rows.event_type == code
        _add(columns, f"events_{kind}", by_window(rows.example[of_kind], rows.age[of_kind], None, n))
        columns[f"recency_{kind}"] = newest_age(rows.example[of_kind], rows.age[of_kind], n)
    example, age = rows.example[buys], rows.age[buys]
    moved, paid = spending(rows, past.event_types)
    money = by_window(rows.example[moved], rows.age[moved], paid, n)
    visits = by_window(baskets.example, baskets.age, None, n)
    _add(columns, "money", money)
    _add(columns, "units", by_window(example, age, rows.quantity[buys], n))
    _add(columns, "baskets", visits)
    _add(columns, "items", distinct_by_window(example, age, rows.item[buys].astype(np.int64), n))
    day = np.floor(rows.age).astype(np.int64)
    # Counted forwards, days come in order, and sorting what is sorted is quick.
    _add(columns, "active_days", distinct_by_window(rows.example, rows.age, day.max(initial=0) - day, n))
    for name, values in rows.extra.items():
        _add(columns, name, by_window(rows.example, rows.age, values, n), ("28d", "84d", "all"))
    columns["recency"] = newest_age(rows.example, rows.age, n)
    columns["tenure"] = newest_age(rows.example[::-1], rows.age[::-1], n)
    columns |= _trends(money, visits, columns["tenure"])
    columns |= _levels(baskets, (rows.example[moved], rows.age[moved], paid), n)
    columns |= _rhythm(baskets, n)
    if is_browsed(past.event_types):
        columns |= visit_columns(rows, past.event_types, visits, n)
    for name, codes in groups.items():
        columns |= _concentration(name, rows, buys, codes, n)
    return columns


def _add(columns: Columns, name: str, values: Array, labels: tuple[str, ...] = LABELS) -> None:
    columns.update({f"{name}_{label}": values[:, LABELS.index(label)] for label in labels})


def _trends(money: Array, visits: Array, tenure: Array) -> Columns:
    columns: Columns = {}
    for name, totals in (("money", money), ("baskets", visits)):
        for short, long in ((0, 2), (1, 3), (2, 4), (2, 5), (4, 5)):
            rate = ratio(totals[:, short], totals[:, long]) * WINDOWS[long] / WINDOWS[short]
            columns[f"{name}_trend_{LABELS[short]}_{LABELS[long]}"] = rate
        columns[f"{name}_per_day"] = totals[:, -1] / np.maximum(np.nan_to_num(tenure), 28.0)
    columns["money_29_to_56d"] = money[:, 3] - money[:, 2]
    columns["money_57_to_84d"] = money[:, 4] - money[:, 3]
    return columns


def _levels(baskets: _Baskets, paid: tuple[Array, Array, Array], n: int) -> Columns:
    """Size of baskets, and money (example, age, amount) and visits with the old ones counting less."""
    columns: Columns = {}
    example, age, money = baskets.example, baskets.age, baskets.money
    count = np.bincount(example, minlength=n)
    mean = ratio(np.bincount(example, weights=money, minlength=n), count)
    square = np.bincount(example, weights=(money - mean[example]) ** 2, minlength=n)
    largest = np.zeros(n)
    np.maximum.at(largest, example, money)
    columns["basket_mean"], columns["basket_max"] = mean, largest
    columns["basket_std"] = np.sqrt(ratio(square, count))
    recent = age <= 84
    columns["basket_mean_84d"] = ratio(
        np.bincount(example[recent], weights=money[recent], minlength=n), np.bincount(example[recent], minlength=n)
    )
    columns["basket_last"] = newest_age(example, money, n)
    for half_life in _HALF_LIVES:
        columns[f"money_half_{half_life:g}d"] = decayed(*paid, half_life, n)
        columns[f"baskets_half_{half_life:g}d"] = decayed(example, age, np.ones(len(age)), half_life, n)
    return columns


def _rhythm(baskets: _Baskets, n: int) -> Columns:
    """Gaps between baskets, and the day of the week, counted back from the time asked at."""
    example, age = baskets.example, baskets.age.astype(np.float64)
    columns: Columns = {"recency_basket": newest_age(example, age, n)}
    columns |= {f"recency_basket_{nth}": baskets.nth_age(nth, n) for nth in _NEWEST}
    own = np.flatnonzero(example[1:] == example[:-1])
    who, gap = example[own], age[own] - age[own + 1]
    count = np.bincount(who, minlength=n)
    mean = ratio(np.bincount(who, weights=gap, minlength=n), count)
    columns["gap_mean"] = mean
    columns["gap_std"] = np.sqrt(ratio(np.bincount(who, weights=(gap - mean[who]) ** 2, minlength=n), count))
    middle = np.full(n, np.nan)
    ordered = gap[np.lexsort((gap, who))]
    some = count > 0
    start = (np.cumsum(count) - count)[some]
    middle[some] = (ordered[start + (count[some] - 1) // 2] + ordered[start + count[some] // 2]) / 2
    columns["gap_median"] = middle
    columns["gap_last"] = newest_age(who, gap, n)
    columns["recency_by_gap_mean"] = ratio(columns["recency_basket"], mean)
    columns["recency_by_gap_median"] = ratio(columns["recency_basket"], middle)
    weekday = np.floor(age).astype(np.int64) % 7
    shares = np.bincount(example * 7 + weekday, minlength=n * 7).reshape(n, 7)
    for back in range(7):
        columns[f"weekday_{back}_days_back"] = ratio(shares[:, back], shares.sum(axis=1))
    return columns


def _concentration(name: str, rows: Rows, buys: Array, codes: Array, n: int) -> Columns:
    """How many groups a customer buys from, and how much of the money goes to the largest."""
    code = codes[rows.item]
    used = buys & (code >= 0)
    width = int(codes.max(initial=0)) + 1
    columns: Columns = {}
    distinct = distinct_by_window(rows.example[used], rows.age[used], code[used], n)
    _add(columns, f"{name}_distinct", distinct, ("7d", "28d", "84d", "all"))
    for days in (28, 84):
        recent = used & (rows.age <= days)
        spent = np.bincount(rows.example[recent] * width + code[recent], rows.amount[recent], n * width)
        spent = np.maximum(spent.reshape(n, width), 0.0)
        total = spent.sum(axis=1)
        columns[f"{name}_top_share_{days}d"] = ratio(spent.max(axis=1), total)
        columns[f"{name}_concentration_{days}d"] = ratio((spent**2).sum(axis=1), total**2)
    return columns
