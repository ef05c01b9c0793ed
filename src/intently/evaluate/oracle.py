"""The Bayes-optimal answers of a toy shop, from the planted process itself: the ceiling of every task.

The oracle knows the laws and each customer's latent state of the day that begins at `at`, and nothing drawn later:
whoever scores above it, beyond chance, has seen the future. It knows more than the log shows, so nobody need reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from intently.contract import OTHER, QUANTILES, Examples, Past, Scores, Task
from intently.errors import ConfigError
from intently.log import schema
from intently.log.pack import Array
from intently.log.toy_planted import Planted
from intently.log.toy_words import CATEGORIES
from intently.metrics import Metric

_CUSTOMERS_AT_ONCE = 150


@dataclass(frozen=True)
class Oracle:
    """Answers the five customer and item tasks. `replicates` windows are drawn where there is no closed form.

    Chances, means and rankings are closed forms; quantiles and the shares that are best by Jensen-Shannon divergence
    are Monte Carlo of the planted process, with `seed`. A ranking names `ranked` items.
    """

    planted: Planted
    replicates: int = 400
    seed: int = 0
    ranked: int = 100
    name: str = "bayes"

    def answers(self, task: Task) -> bool:
        """The tasks whose truth was planted."""
        return task.name in _ANSWERS

    def fit(self, examples: Examples, past: Past) -> Self:
        """There is nothing to learn."""
        return self

    def predict(self, examples: Examples, past: Past) -> Scores:
        """`answer`, as any other predictor gives it; the past is not read."""
        return self.answer(examples.task, examples)

    def answer(self, task: Task, examples: Examples) -> Scores:
        """The optimal answers. Raises ConfigError for a task that was not planted, or a time inside a day."""
        if not self.answers(task):
            raise ConfigError(
                f"No truth was planted for {task.name}.", mend=f"The oracle answers {', '.join(_ANSWERS)}."
            )
        asked = examples.asked
        rows = self.planted.customers_of(asked) if task.key == schema.USER else self.planted.items_of(asked)
        rng = np.random.default_rng(self.seed)
        parts, places = [], []
        for at in examples.cutoffs:
            place = np.flatnonzero((examples.at == at).to_numpy())
            parts.append(_ANSWERS[task.name](self, task, self.planted.day(at), rows[place], rng))
            places.append(place)
        order = np.argsort(np.concatenate(places))
        ids = None if parts[0].ids is None else np.concatenate([part.ids for part in parts])[order]
        return replace(parts[0], values=np.concatenate([part.values for part in parts])[order], ids=ids)

    def _intent(self, task: Task, day: int, rows: Array, rng: np.random.Generator) -> Scores:
        chance = self.planted.any_purchase(day, task.horizon.days)[rows]
        return Scores(task.answer, chance[:, None].astype(np.float32))

    def _spend(self, task: Task, day: int, rows: Array, rng: np.random.Generator) -> Scores:
        days, parts = task.horizon.days, []
        for some in _chunks(rows):
            total = np.zeros(len(some) * self.replicates)
            for lines in self.planted.drawn(day, days, np.repeat(some, self.replicates), rng):
                # The till rounds to cents.
                np.add.at(total, lines.column, lines.amount.round(2))
            parts.append(np.quantile(total.reshape(len(some), -1), QUANTILES, axis=1).T)
        mean = self.planted.spend(day, days)[rows]
        return Scores(task.answer, np.column_stack([mean, np.concatenate(parts)]).astype(np.float32))

    def _demand(self, task: Task, day: int, rows: Array, rng: np.random.Generator) -> Scores:
        days, n = task.horizon.days, len(self.planted.process.customers)
        items = len(self.planted.process.catalogue.price)
        units = np.zeros(self.replicates * items)
        for lines in self.planted.drawn(day, days, np.tile(np.arange(n), self.replicates), rng):
            np.add.at(units, lines.column // n * items + lines.item, lines.units)
        quantiles = np.quantile(units.reshape(-1, items), QUANTILES, axis=0).T
        mean = self.planted.demand(day, days)
        return Scores(task.answer, np.column_stack([mean, quantiles])[rows].astype(np.float32))

    def _ranking(self, task: Task, day: int, rows: Array, rng: np.random.Generator) -> Scores:
        expected = self.planted.items(day, task.horizon.days)[rows]
        best = np.argsort(-expected, axis=1, kind="stable")[:, : self.ranked]
        values = np.take_along_axis(expected, best, axis=1).astype(np.float32)
        return Scores(task.answer, values, ids=self.planted.item_ids.to_numpy()[best])

    def _shares(self, task: Task, day: int, rows: Array, rng: np.random.Generator) -> Scores:
        days, k = task.horizon.days, len(CATEGORIES)
        buys = self.planted.any_purchase(day, days)
        per_category = self.planted.items(day, days).reshape(len(buys), k, -1).sum(axis=2)
        expected = per_category / per_category.sum(axis=1, keepdims=True)
        parts = []
        for some in _chunks(rows):
            # Only windows with a purchase have a truth: who seldom buys is drawn more often.
            often = np.ceil(self.replicates / np.clip(buys[some], 0.05, 1.0)).astype(np.int64)
            counts = np.zeros(int(often.sum()) * k)
            for lines in self.planted.drawn(day, days, np.repeat(some, often), rng):
                np.add.at(counts, lines.column * k + lines.item // self.planted.process.base.shape[3], 1)
            windows = counts.reshape(-1, k)
            ends = np.cumsum(often)
            for who, end, count in zip(some, ends, often, strict=True):
                window = windows[end - count : end]
                parts.append(best_shares(window[window.sum(axis=1) > 0], expected[who]))
        values = np.column_stack([np.stack(parts), np.zeros(len(rows))]).astype(np.float32)
        return Scores(task.answer, values, labels=(*CATEGORIES, OTHER))


_ANSWERS: Mapping[str, Callable[[Oracle, Task, int, Array, np.random.Generator], Scores]] = {
    "purchase_intent": Oracle._intent,
    "purchasing_power": Oracle._spend,
    "interest": Oracle._shares,
    "next_item": Oracle._ranking,
    "demand": Oracle._demand,
}


def best_shares(counts: Array, start: Array, rounds: int = 60) -> Array:
    """The shares (labels,) with the least average Jensen-Shannon divergence from the shares of counts (n, labels).

    The mean of the shares is not it: where few purchases are foreseen, the best answer is more pointed. At the best
    answer q, E log((p + q) / 2q) is the same for each label; the rounds are steps towards that (convex in q, Lin 1991).
    """
    if not len(counts):
        return start
    shares = counts / counts.sum(axis=1, keepdims=True)
    best = np.maximum(start, 1e-9)
    for _ in range(rounds):
        best = best * np.exp(2 * np.log((shares + best) / (2 * best)).mean(axis=0))
        best = np.maximum(best / best.sum(), 1e-9)
    return best / best.sum()


def skill(metric: Metric, model: float, constant: float, bayes: float) -> float:
    """How much of what there is to find was found; 1 is the oracle's own score.

    For a metric where higher is better, model / bayes. Where lower is better (a loss has no zero that can be reached),
    the improvement over the constant predictor as a part of the oracle's: (constant - model) / (constant - bayes).
    """
    if metric.higher_is_better:
        return model / bayes
    return (constant - model) / (constant - bayes)


def _chunks(rows: Array) -> list[Array]:
    return [rows[first : first + _CUSTOMERS_AT_ONCE] for first in range(0, len(rows), _CUSTOMERS_AT_ONCE)]
