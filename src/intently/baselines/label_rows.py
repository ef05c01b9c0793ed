"""What customers did by label (a category): rows of their past that speak of an item with a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from intently.baselines.purchases import decay
from intently.contract import Examples, Past, Shares
from intently.log import schema
from intently.log.pack import UNKNOWN, Array, codes

MOST_KINDS = 6


@dataclass(frozen=True)
class LabelRows:
    """Rows of n examples by label: equally long arrays, oldest first; rows without a label are left out."""

    n: int
    labels: int
    example: Array
    label: Array
    age: Array
    moment: Array

    @classmethod
    def none(cls, n: int, labels: int) -> LabelRows:
        """No row at all."""
        number = np.zeros(0, dtype=np.int64)
        return cls(n, labels, number, number, np.zeros(0), number)

    def decayed(self, half_life: float | None) -> Array:
        """Decayed number of rows of each label, (n, labels)."""
        return self.total(decay(self.age, half_life))

    def total(self, weight: Array) -> Array:
        """Sums of a number per row over each label, (n, labels)."""
        cell = self.example * self.labels + self.label
        return np.bincount(cell, weight, minlength=self.n * self.labels).reshape(self.n, self.labels)

    def newest(self) -> Array:
        """Age in days of the last row of each label, (n, labels); NaN where there is none."""
        last = np.full(self.n * self.labels, np.nan)
        # Rows are in order of time: the last assignment is the newest.
        last[self.example * self.labels + self.label] = self.age
        return last.reshape(self.n, self.labels)

    def places(self) -> Array:
        """How manieth each row is of its example's, (rows,); the newest is 1."""
        stop = np.cumsum(np.bincount(self.example, minlength=self.n))
        return np.asarray(stop[self.example] - np.arange(len(self.example)))


@dataclass(frozen=True)
class Told:
    """Purchases by the label of their item, and by type of event whatever else speaks of an item with a label."""

    bought: LabelRows
    others: Mapping[str, LabelRows]

    @classmethod
    def of(cls, examples: Examples, past: Past, labels: tuple[str, ...], kinds: tuple[str, ...]) -> Told:
        """What the past tells of labels by purchases and by `kinds`; a label that is not known is "other", the last."""
        answer = examples.task.answer
        assert isinstance(answer, Shares)
        rows = past.rows()
        # The last stands for rows without an item, whose code is -1.
        label = past.of_items(
            f"labels by {answer.of}", lambda: np.append(label_codes(past.items, answer.of, labels), UNKNOWN), labels
        )[rows.item]
        age = np.maximum(rows.age.astype(np.float64), 0.0)
        found = {kind: LabelRows.none(len(examples), len(labels)) for kind in (schema.BUY, *kinds)}
        for kind in found.keys() & set(past.event_types):
            of_kind = rows.event_type == past.event_types.index(kind)
            keep = np.flatnonzero(of_kind & (rows.item >= 0) & (label != UNKNOWN))
            arrays = (values[keep] for values in (rows.example, label, age, rows.moment))
            found[kind] = LabelRows(len(examples), len(labels), *arrays)
        return cls(found.pop(schema.BUY), found)

    def decayed(self, half_life: float | None, looks: float) -> Array:
        """Decayed purchases of each label, and everything else at `looks` of a purchase; (n, labels)."""
        counts = self.bought.decayed(half_life)
        return counts + looks * sum(rows.decayed(half_life) for rows in self.others.values()) if looks else counts


def kinds_with_items(past: Past) -> tuple[str, ...]:
    """The types of what customers do about items, but for purchases and returns: the commonest six, commonest first."""
    rows = past.rows()
    count = np.bincount(rows.event_type[rows.item >= 0], minlength=len(past.event_types))
    order = np.argsort(-count, kind="stable")
    names = [past.event_types[code] for code in order if count[code] > 0]
    return tuple(name for name in names if name not in (schema.BUY, schema.RETURN, *schema.PASSIVE))[:MOST_KINDS]


def label_codes(items: pl.DataFrame, of: str, labels: tuple[str, ...]) -> Array:
    """The column of each item's label; "other" for an unknown label, -1 for an item without any."""
    if of not in items.columns:
        return np.full(len(items), UNKNOWN, dtype=np.int64)
    named = items[of].cast(pl.String)
    column = codes(named, pl.Series(list(labels), dtype=pl.String)).astype(np.int64)
    column = np.where(column == UNKNOWN, len(labels) - 1, column)
    return np.where(named.is_null().to_numpy(), UNKNOWN, column)
