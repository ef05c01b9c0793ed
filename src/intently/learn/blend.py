"""Several answers as one: the boosters in equal parts, and the reader with one weight learned out of time.

A booster with the reader's columns has to learn from noisy rows how far to trust them, split by split. Half of it
and half of the booster without them keeps most of what it gains and loses half of the noise; a weight is one
number more. What it brought is in `docs/decisions/005-stack.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np
import polars as pl

from intently.baselines.top_k import top_pairs
from intently.contract import OTHER, Amount, Examples, OneOf, Past, Predictor, Ranking, Scores, Shares, Task, YesNo
from intently.learn.breath import breathe
from intently.log.pack import Array

# Of fourteen weights the best at three cut-offs was no better at others than the best of these three, or .2 for all
# (bench/blend.py), and judged without its own cut-off it seemed worse than it was: it had been found on two.
# The last is for text readers beside n-grams: with few labels it is better than .6 and than the reader alone.
WEIGHTS = (0.2, 0.4, 0.6, 0.8)
_LEAST = 1e-6


@dataclass(frozen=True)
class Blend:
    """`weight` of the reader's answer, the rest of the boosters' in equal parts, by name."""

    boosters: Mapping[str, Predictor]
    reader: Predictor | None
    weight: float
    name: str = "blend"

    def answers(self, task: Task) -> bool:
        """What all of them answer."""
        return all(one.answers(task) for one in self._parts())

    def fit(self, examples: Examples, past: Past) -> Self:
        """Fit them all; the weight stays."""
        boosters = {name: one.fit(examples, past) for name, one in self.boosters.items()}
        return replace(self, boosters=boosters, reader=None if self.reader is None else self.reader.fit(examples, past))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The mixture of all answers."""
        reader = None if self.reader is None else self.reader.predict(examples, past)
        boosters = []
        for booster in self.boosters.values():
            breathe()
            boosters.append(booster.predict(examples, past))
        return blended(boosters, reader, self.weight)

    def of(self, told: Mapping[str, Scores], by: Mapping[str, Predictor]) -> Scores | None:
        """The mixture of answers that were given already, by the names of who gave them; None where one is missing."""
        names = {id(one): name for name, one in by.items() if name in told}
        if not all(id(part) in names for part in self._parts()):
            return None
        boosters = [told[names[id(booster)]] for booster in self.boosters.values()]
        return blended(boosters, None if self.reader is None else told[names[id(self.reader)]], self.weight)

    def _parts(self) -> list[Predictor]:
        return [*self.boosters.values(), *([] if self.reader is None else [self.reader])]


def blended(boosters: Sequence[Scores], reader: Scores | None, weight: float) -> Scores:
    """Boosters' answers in equal parts, and `weight` of the reader's: probabilities and shares in the log, amounts
    quantile by quantile, rankings by log chance (a booster's scores; 0 and less are below all chances) and logit
    (the reader's).
    """
    if isinstance(boosters[0].answer, Ranking):
        parts = [replace(scores, values=_log_chances(scores.values)) for scores in boosters]
        shares = [(1.0 if reader is None else 1 - weight) / len(boosters)] * len(boosters)
        return (
            _mixed_rankings(parts, shares) if reader is None else _mixed_rankings([*parts, reader], [*shares, weight])
        )
    found = boosters[0]
    for number, scores in enumerate(boosters[1:], start=2):
        found = mixed(found, scores, 1 / number)
    return found if reader is None else mixed(found, reader, weight)


def mixed(a: Scores, b: Scores, weight: float) -> Scores:
    """`1 - weight` of `a` and `weight` of `b`, for all answers but rankings."""
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
            return _mixed_rankings([a, b], [1 - weight, weight])


def _log_chances(values: Array) -> Array:
    """Logs of chances; below all chances the order of the list is kept."""
    low = np.log(_LEAST) + 1e-3 * values
    return np.where(values > _LEAST, np.log(np.maximum(values, _LEAST)), low).astype(np.float32)


def _mixed_rankings(parts: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """Items of any list by the weighted sum of their scores; what a list does not hold comes below its last by 1."""
    n, k = parts[0].values.shape
    ids = [scores.ids.reshape(-1) for scores in parts if scores.ids is not None]
    code = pl.concat([pl.Series(each) for each in ids]).rank("dense").to_numpy().astype(np.int64) - 1
    row = np.concatenate([np.repeat(np.arange(n), scores.values.shape[1]) for scores in parts])
    width = code.max(initial=0) + 1
    cell, place = np.unique(row * width + code, return_inverse=True)
    owner = cell // width
    value, listed, begin = np.zeros(len(cell)), np.zeros(len(cell), dtype=bool), 0
    for scores, weight in zip(parts, weights, strict=True):
        known = np.isfinite(scores.values)
        mine = place[begin : begin + known.size][known.reshape(-1)]
        begin += known.size
        last = np.where(known, scores.values, np.inf).min(axis=1, initial=np.inf)
        one = np.where(np.isfinite(last), last, 0.0)[owner] - 1.0
        one[mine] = scores.values[known]
        listed[mine] = True
        value += weight * one
    # The first place at which each cell's item stands among all ids.
    first = np.zeros(len(cell), dtype=np.int64)
    first[place[::-1]] = np.arange(len(place))[::-1]
    best, values = top_pairs(owner[listed], first[listed], value[listed], np.zeros(listed.sum()), n, k)
    return replace(parts[0], values=values.astype(np.float32), ids=np.concatenate(ids)[best])


def _onto(scores: Scores, labels: tuple[str, ...]) -> Array:
    """Scores over other labels; a label that is not among them goes to "other" where there is one."""
    if scores.labels == labels:
        return scores.values
    here, there, beside, other = _places(scores.labels, labels)
    values = np.zeros((len(scores), len(labels)), dtype=np.float32)
    values[:, there] = scores.values[:, here]
    if other is not None:
        values[:, other] += scores.values[:, beside].sum(axis=1)
    return values


@lru_cache(maxsize=64)
def _places(given: tuple[str, ...], labels: tuple[str, ...]) -> tuple[Array, Array, Array, int | None]:
    """Columns of `given` that have one among `labels`, and that one; those that have none, and where they go."""
    place = {label: number for number, label in enumerate(labels)}
    found = np.array([place.get(label, -1) for label in given], dtype=np.int64)
    return np.flatnonzero(found >= 0), found[found >= 0], np.flatnonzero(found < 0), place.get(OTHER)


def _logit(chance: Array) -> Array:
    p = np.clip(chance.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))
