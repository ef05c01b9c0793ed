"""A customer's interests stay as they were: own past shares, leaning on the population's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl

from intently.baselines.heldout import last_cutoffs
from intently.baselines.purchases import Purchases, decay
from intently.contract import Examples, Past, Scores, ShareLabels, Shares, Task
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.pack import UNKNOWN, Array, codes
from intently.metrics.shares import jensen_shannon

HALF_LIVES: tuple[float | None, ...] = (14.0, 28.0, 56.0, 84.0, 112.0, 168.0, 336.0, None)
STRENGTHS = (0.3, 1.0, 3.0, 6.0, 10.0, 20.0, 40.0)
POWERS = (1.0, 1.15, 1.3, 1.45, 1.6)


@dataclass(frozen=True)
class OwnShares:
    """(own decayed counts + strength * mean shares of all) ** power, divided by their sum.

    `strength` is in purchases, `half_life` in days (None: no decay). A `power` above 1 leans towards the
    greatest shares: what is bought in a few weeks touches fewer labels than a year does. All three are
    chosen on the held-out last cut-offs by Jensen-Shannon divergence. A stranger gets the mean of all.
    """

    name: str = "own_shares"
    labels: tuple[str, ...] = ()
    half_life: float | None = None
    strength: float = 1.0
    power: float = 1.0
    mean: Array | None = None

    def answers(self, task: Task) -> bool:
        """Shares of customers."""
        return isinstance(task.answer, Shares) and task.key == schema.USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn the labels, the mean shares, and the two numbers."""
        if not len(examples):
            raise TooFewExamples(f"There is no example of {examples.task.name}.", mend="Choose more cut-offs.")
        labels = ShareLabels.of(examples)
        held_out = [
            (labels.encode(some), LabelRows.of(some, before, labels.labels))
            for _, some, before in last_cutoffs(examples, past)
        ]
        mean = labels.encode(examples).mean(axis=0, dtype=np.float64)
        best = (np.inf, HALF_LIVES[0], STRENGTHS[0])
        for half_life in HALF_LIVES:
            counts = [rows.decayed(half_life) for _, rows in held_out]
            for strength in STRENGTHS:
                value = _divergence(held_out, counts, mean, strength, 1.2)
                best = min(best, (value, half_life, strength), key=lambda choice: choice[0])
        _, half_life, strength = best
        counts = [rows.decayed(half_life) for _, rows in held_out]
        power = min(POWERS, key=lambda choice: _divergence(held_out, counts, mean, strength, choice))
        return replace(self, labels=labels.labels, half_life=half_life, strength=strength, power=power, mean=mean)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Shares that sum to one, (n, labels)."""
        assert self.mean is not None, "fit first"
        values = self.shares(LabelRows.of(examples, past, self.labels)).astype(np.float32)
        return Scores(examples.task.answer, values, labels=self.labels)

    def shares(self, rows: LabelRows) -> Array:
        """Shares from purchase rows by label, (n, labels) float64."""
        assert self.mean is not None, "fit first"
        return smoothed(rows.decayed(self.half_life), self.mean, self.strength, self.power)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.mean is not None, "fit first"
        numbers = {"half_life": self.half_life, "strength": self.strength, "power": self.power}
        return {"mean": self.mean}, {"name": self.name, "labels": list(self.labels), **numbers}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> OwnShares:
        """The reverse of `state`."""
        return cls(**(settings | {"labels": tuple(settings["labels"])}), mean=arrays["mean"])


@dataclass(frozen=True)
class LabelRows:
    """Purchase rows of n examples by label: equally long arrays; rows without a label are left out."""

    n: int
    labels: int
    example: Array
    label: Array
    age: Array
    moment: Array

    @classmethod
    def of(cls, examples: Examples, past: Past, labels: tuple[str, ...]) -> LabelRows:
        """Purchases by the label of their item; labels that are not known are "other", the last."""
        answer = examples.task.answer
        assert isinstance(answer, Shares)
        bought = Purchases.of(past)
        code = past.of_items(f"labels by {answer.of}", lambda: label_codes(past.items, answer.of, labels), labels)
        label = code[bought.item]
        keep = label != UNKNOWN
        arrays = (bought.example, label, bought.age, bought.moment)
        return cls(len(examples), len(labels), *(values[keep] for values in arrays))

    def decayed(self, half_life: float | None) -> Array:
        """Decayed number of purchases of each label, (n, labels)."""
        return self.total(decay(self.age, half_life))

    def total(self, weight: Array) -> Array:
        """Sums of a number per row over each label, (n, labels)."""
        cell = self.example * self.labels + self.label
        return np.bincount(cell, weight, minlength=self.n * self.labels).reshape(self.n, self.labels)


def label_codes(items: pl.DataFrame, of: str, labels: tuple[str, ...]) -> Array:
    """The column of each item's label; "other" for an unknown label, -1 for an item without any."""
    if of not in items.columns:
        return np.full(len(items), UNKNOWN, dtype=np.int64)
    named = items[of].cast(pl.String)
    column = codes(named, pl.Series(list(labels), dtype=pl.String)).astype(np.int64)
    column = np.where(column == UNKNOWN, len(labels) - 1, column)
    return np.where(named.is_null().to_numpy(), UNKNOWN, column)


def smoothed(counts: Array, mean: Array, strength: float, power: float = 1.0) -> Array:
    """(counts + strength * mean) ** power as rows that sum to one."""
    total = counts + strength * mean
    total = (total / total.sum(axis=1, keepdims=True)) ** power
    shares: Array = total / total.sum(axis=1, keepdims=True)
    return shares


def _divergence(
    held_out: Sequence[tuple[Array, LabelRows]], counts: Sequence[Array], mean: Array, strength: float, power: float
) -> float:
    parts = [
        jensen_shannon(truth, smoothed(own, mean, strength, power)).mean()
        for (truth, _), own in zip(held_out, counts, strict=True)
    ]
    return float(np.mean(parts))
