"""A customer's interests stay as they were: own past shares, leaning on the population's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from intently.baselines.heldout import last_cutoffs
from intently.baselines.label_rows import Told, kinds_with_items
from intently.contract import Examples, Past, Scores, ShareLabels, Shares, Task
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.pack import Array
from intently.metrics.shares import jensen_shannon

HALF_LIVES: tuple[float | None, ...] = (14.0, 28.0, 56.0, 84.0, 112.0, 168.0, 336.0, None)
STRENGTHS = (0.3, 1.0, 3.0, 6.0, 10.0, 20.0, 40.0)
POWERS = (1.0, 1.15, 1.3, 1.45, 1.6)
LOOKS = (0.0, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class OwnShares:
    """(own decayed counts + strength * mean shares of all) ** power, divided by their sum.

    `strength` is in purchases, `half_life` in days (None: no decay). Whatever else speaks of an item (a view, the
    cart) counts as `looks` of a purchase: rare purchases say less of an interest than many looks. A `power` above 1
    leans towards the greatest shares: what is bought in a few weeks touches fewer labels than a year does. All four
    are chosen on the held-out last cut-offs by Jensen-Shannon divergence. A stranger gets the mean of all.
    """

    name: str = "own_shares"
    labels: tuple[str, ...] = ()
    half_life: float | None = None
    strength: float = 1.0
    power: float = 1.0
    looks: float = 0.0
    kinds: tuple[str, ...] = ()
    mean: Array | None = None

    def answers(self, task: Task) -> bool:
        """Shares of customers."""
        return isinstance(task.answer, Shares) and task.key == schema.USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn the labels, the mean shares, and the four numbers."""
        if not len(examples):
            raise TooFewExamples(f"There is no example of {examples.task.name}.", mend="Choose more cut-offs.")
        labels = ShareLabels.of(examples)
        parts = [(some, before) for _, some, before in last_cutoffs(examples, past)]
        kinds = kinds_with_items(parts[0][1])
        held_out = [(labels.encode(some), Told.of(some, before, labels.labels, kinds)) for some, before in parts]
        truths = [truth for truth, _ in held_out]
        mean = labels.encode(examples).mean(axis=0, dtype=np.float64)
        best = (np.inf, HALF_LIVES[0], STRENGTHS[0], LOOKS[0])
        for half_life in HALF_LIVES:
            for looks in LOOKS if kinds else LOOKS[:1]:
                counts = [told.decayed(half_life, looks) for _, told in held_out]
                for strength in STRENGTHS:
                    value = _divergence(truths, counts, mean, strength, 1.2)
                    best = min(best, (value, half_life, strength, looks), key=lambda choice: choice[0])
        _, half_life, strength, looks = best
        counts = [told.decayed(half_life, looks) for _, told in held_out]
        power = min(POWERS, key=lambda choice: _divergence(truths, counts, mean, strength, choice))
        chosen = replace(self, half_life=half_life, strength=strength, power=power, looks=looks)
        return replace(chosen, labels=labels.labels, kinds=kinds, mean=mean)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Shares that sum to one, (n, labels)."""
        assert self.mean is not None, "fit first"
        values = self.shares(self.told(examples, past)).astype(np.float32)
        return Scores(examples.task.answer, values, labels=self.labels)

    def told(self, examples: Examples, past: Past) -> Told:
        """What the past tells of the labels that were learned, by the types of event that were learned from."""
        return Told.of(examples, past, self.labels, self.kinds)

    def shares(self, told: Told) -> Array:
        """Shares from what the past tells of labels, (n, labels) float64."""
        assert self.mean is not None, "fit first"
        return smoothed(told.decayed(self.half_life, self.looks), self.mean, self.strength, self.power)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.mean is not None, "fit first"
        names = ("name", "half_life", "strength", "power", "looks")
        settings = {name: getattr(self, name) for name in names}
        return {"mean": self.mean}, settings | {"labels": list(self.labels), "kinds": list(self.kinds)}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> OwnShares:
        """The reverse of `state`."""
        lists = {name: tuple(settings.get(name, ())) for name in ("labels", "kinds")}
        return cls(**(settings | lists), mean=arrays["mean"])


def smoothed(counts: Array, mean: Array, strength: float, power: float = 1.0) -> Array:
    """(counts + strength * mean) ** power as rows that sum to one."""
    total = counts + strength * mean
    total = (total / total.sum(axis=1, keepdims=True)) ** power
    shares: Array = total / total.sum(axis=1, keepdims=True)
    return shares


def _divergence(truths: Sequence[Array], counts: Sequence[Array], mean: Array, strength: float, power: float) -> float:
    parts = [
        jensen_shannon(truth, smoothed(own, mean, strength, power)).mean()
        for truth, own in zip(truths, counts, strict=True)
    ]
    return float(np.mean(parts))
