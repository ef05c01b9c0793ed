"""What a customer looked at, as features of (customer, item) pairs, where a log knows who looks."""

from __future__ import annotations

from functools import partial

import numpy as np

from intently.baselines.features import group_codes
from intently.baselines.pair_features import OwnTable
from intently.baselines.purchases import Purchases, decay
from intently.contract import Past, Rows
from intently.log import schema
from intently.log.pack import Array

HALF_LIVES = (7.0, 28.0, 84.0, 336.0)
_GROUP_HALF_LIVES = (14.0, 84.0)
_GROUPS = (schema.CATEGORY, schema.BRAND)


def looked_table(past: Past, items: int) -> OwnTable:
    """The pairs of what customers did about items, but for what they bought, brought back, or had done to them."""
    rows = past.rows()
    return OwnTable.from_rows(_looks(rows, past.event_types), len(past), items)


def look_features(looked: OwnTable, past: Past, example: Array, item: Array) -> tuple[Array, tuple[str, ...]]:
    """Features of candidate pairs, (pairs, features) float32 with NaN where the customer has looked at nothing."""
    pair = looked.find(example * looked.items + item)
    whole = {
        days: np.bincount(looked.bought.example, decay(looked.bought.age, days), looked.examples) for days in HALF_LIVES
    }
    columns: dict[str, Array] = {}
    for days, total in whole.items():
        own = np.append(looked.total(decay(looked.bought.age, days)), 0.0)[pair]
        columns[f"looked_{days:.0f}"] = own
        columns[f"looked_share_{days:.0f}"] = _shared(own, total[example])
    columns["looked_count"] = np.append(looked.count, 0)[pair]
    columns["looked_recency"] = np.append(looked.nth_last_age(1), np.nan)[pair]
    columns["looked_second_recency"] = np.append(looked.nth_last_age(2), np.nan)[pair]
    for group in _GROUPS:
        if group in past.items.columns:
            label = past.of_items(f"{group} of looks", partial(group_codes, past.items[group]))
            columns |= _group_columns(group, label, looked, example, item)
    return np.stack([values.astype(np.float32) for values in columns.values()], axis=1), tuple(columns)


def _looks(rows: Rows, event_types: tuple[str, ...]) -> Purchases:
    apart = (schema.BUY, schema.RETURN, *schema.PASSIVE)
    kinds = [code for code, kind in enumerate(event_types) if kind not in apart]
    return Purchases.kept(rows, np.flatnonzero(np.isin(rows.event_type, kinds) & (rows.item >= 0)))


def _group_columns(name: str, label: Array, looked: OwnTable, example: Array, item: Array) -> dict[str, Array]:
    """How much of what the customer looks at is of the item's group, (pairs,) each."""
    width = int(label.max(initial=0)) + 2
    # The last stands for items without a label.
    label = np.where(label < 0, width - 1, label)
    cell = looked.bought.example * width + label[looked.bought.item]
    asked = example * width + label[item]
    columns: dict[str, Array] = {}
    for days in _GROUP_HALF_LIVES:
        counts = np.bincount(cell, decay(looked.bought.age, days), minlength=looked.examples * width)
        total = counts.reshape(-1, width).sum(axis=1)
        columns[f"looked_{name}_{days:.0f}"] = counts[asked]
        columns[f"looked_{name}_share_{days:.0f}"] = _shared(counts[asked], total[example])
    return columns


def _shared(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
