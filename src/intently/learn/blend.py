"""Two answers as one: a booster's and the reader's, with a weight learned on a cut-off that neither was fitted on.

A booster with the reader's columns has to learn from noisy rows how far to trust them, split by split. A
weight is one number. What it brought is in `docs/decisions/005-stack.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl

from intently.baselines.top_k import top_pairs
from intently.contract import OTHER, Amount, Examples, OneOf, Past, Predictor, Ranking, Scores, Shares, Task, YesNo
from intently.log.pack import Array

WEIGHTS = tuple(round(0.05 * step, 2) for step in range(1, 15))
_LEAST = 1e-6


@dataclass(frozen=True)
class Blend:
    """`weight` of the reader's answer and 1 - `weight` of the booster's; `base` is the booster's name."""

    base: str
    booster: Predictor
    reader: Predictor
    weight: float
    name: str = "blend"

    def answers(self, task: Task) -> bool:
        """What both answer."""
        return self.booster.answers(task) and self.reader.answers(task)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Fit both; the weight stays."""
        return replace(self, booster=self.booster.fit(examples, past), reader=self.reader.fit(examples, past))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The mixture of both answers."""
        return mixed(self.booster.predict(examples, past), self.reader.predict(examples, past), self.weight)


def mixed(a: Scores, b: Scores, weight: float) -> Scores:
    """`1 - weight` of `a` and `weight` of `b`: probabilities and shares in the log, amounts quantile by quantile.

    Of rankings, `a` gives chances (0 and less: below all chances) and `b` logits.
    """
    match a.answer:
        case YesNo():
            logit = (1 - weight) * _logit(a.values) + weight * _logit(b.values)
            return replace(a, values=(1 / (1 + np.exp(-logit))).astype(np.float32))
        case Amount():
            return replace(a, values=((1 - weight) * a.values + weight * b.values).astype(np.float32))
        case OneOf() | Shares():
            other = _onto(b, a.labels)
            log = (1 - weight) * np.log(np.maximum(a.values, _LEAST)) + weight * np.log(np.maximum(other, _LEAST))
            share = np.exp(log - log.max(axis=1, keepdims=True))
            return replace(a, values=(share / share.sum(axis=1, keepdims=True)).astype(np.float32))
        case Ranking():
            return _mixed_rankings(a, b, weight)


def _mixed_rankings(a: Scores, b: Scores, weight: float) -> Scores:
    """Items of either list by log chance and logit; what one list does not hold comes just below its last."""
    assert a.ids is not None and b.ids is not None
    n, k = a.values.shape
    ids = pl.concat([pl.Series(scores.ids.reshape(-1)) for scores in (a, b) if scores.ids is not None])
    code = ids.rank("dense").to_numpy().astype(np.int64) - 1
    row = np.concatenate([np.repeat(np.arange(n), scores.values.shape[1]) for scores in (a, b)])
    chance = a.values.astype(np.float64)
    # Below all chances the order of the list is kept.
    said = (np.where(chance > _LEAST, np.log(np.maximum(chance, _LEAST)), np.log(_LEAST) + 1e-3 * chance), b.values)
    cell, place = np.unique(row * (code.max(initial=0) + 1) + code, return_inverse=True)
    value = np.zeros(len(cell))
    open_ = np.zeros(len(cell), dtype=bool)
    owner = cell // (code.max(initial=0) + 1)
    begin = 0
    for part, values in zip((1 - weight, weight), said, strict=True):
        mine = place[begin : begin + values.size]
        begin += values.size
        known = np.isfinite(values)
        below = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
        one = np.where(np.isfinite(below), below, 0.0)[owner] - 1.0
        one[mine[known.reshape(-1)]] = values[known]
        open_[mine[known.reshape(-1)]] = True
        value += part * one
    first = np.zeros(len(cell), dtype=np.int64)
    first[place[::-1]] = np.arange(len(place))[::-1]
    best, values = top_pairs(owner[open_], first[open_], value[open_], np.zeros(open_.sum()), n, k)
    both = np.concatenate([a.ids.reshape(-1), b.ids.reshape(-1)])
    return replace(a, values=values.astype(np.float32), ids=both[best])


def _onto(scores: Scores, labels: tuple[str, ...]) -> Array:
    """Scores over other labels; a label that is not among them goes to "other" where there is one."""
    values = np.zeros((len(scores), len(labels)), dtype=np.float32)
    for column, label in enumerate(scores.labels):
        if label in labels:
            values[:, labels.index(label)] += scores.values[:, column]
        elif OTHER in labels:
            values[:, labels.index(OTHER)] += scores.values[:, column]
    return values


def _logit(chance: Array) -> Array:
    p = np.clip(chance.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))
