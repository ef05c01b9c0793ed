"""Runs of one to three characters, counted: what any language model that reads a text must beat.

TF-IDF with a logistic regression, in any script and without a tokenizer (in Chinese two or three characters are a
word). Of two labels, runs also count the more the better they tell them apart, as in naive Bayes features for a linear
model (Wang and Manning 2012): the regression would hold back a rare run that tells much as it holds back any other.
The runs are hashed, so that nothing but numbers is kept.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from scipy import optimize, sparse, special

from intently.contract import EachEvent, Examples, OneOf, Past, Scores, Task, YesNo
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.pack import Array

_BUCKETS = 2**22
_LONGEST = 3
_CHARACTERS = 4_000
# A run met in a single text tells nothing of others.
_FEWEST_TEXTS = 2
# A run's labels are counted with so many texts more of the usual labels, and what tells nothing counts a little. Chosen
# on a fifth of the training reviews of bench/chinese_reviews.py: accuracy .9377 instead of .9315 (.937 with half or
# twice as many). Of the 77 intents of bench/banking77.py it was .898 instead of .9045, so more labels are left alone.
_USUAL, _NOTHING_TOLD = 1.0, 0.03
# Of two labels: whether runs count as they tell them apart, and the freedom of weights; the best on every fifth text.
# Texts that tell little need less freedom, and of reviews of which one in ten is bad the first lost by log loss.
_WAYS = ((True, 10.0), (True, 3.0), (True, 1.0), (False, 10.0), (False, 1.0))
_EVERY, _FEWEST_HELD_OUT = 5, 20
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class NGrams:
    """Logistic regression on the texts of events, weights the freer the higher `freedom` (its C; of two labels it is
    chosen by `fit` where there are texts enough).

    `buckets` (runs,) are the hashes of the runs that are known, in order, `rarity` their inverse document frequency
    (of two labels, times how well they tell them apart), `weights` (runs + 1, labels) with the bias last; of two labels
    the second's alone.
    """

    name: str = "n_grams"
    freedom: float = 10.0
    labels: tuple[str, ...] = ()
    buckets: Array | None = None
    rarity: Array | None = None
    weights: Array | None = None

    def answers(self, task: Task) -> bool:
        """Yes or no and labels of events whose text is seen."""
        return isinstance(task.asks, EachEvent) and schema.TEXT in task.sees and isinstance(task.answer, YesNo | OneOf)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn from the texts. Raises TooFewExamples where there is one label only, or no run of characters twice."""
        match examples.task.answer:
            case OneOf(labels=labels):
                place = {label: number for number, label in enumerate(labels)}
                truth = np.array([place[label] for label in examples.truth.cast(pl.String)], dtype=np.int64)
            case _:
                labels, truth = (), examples.truth.cast(pl.Int64).to_numpy()
        counts = _counts(_texts(examples))
        fitted = None
        if len(np.unique(truth)) > 1:
            way = _best_way(counts, truth, self.freedom) if len(labels) <= 2 else (False, self.freedom)
            fitted = replace(self, labels=tuple(labels))._fitted(counts, truth, way)
        if fitted is None:
            raise TooFewExamples(
                f"The {len(truth)} texts of {examples.task.name} have one label only, or nothing in common.",
                mend="Bring more of what was written, or leave the task out with --tasks.",
            )
        return fitted

    def _fitted(self, counts: sparse.csr_matrix, truth: Array, way: tuple[bool, float]) -> Self | None:
        """Itself, fitted on rows of counts; None where no run stands in two texts."""
        often = np.bincount(counts.indices, minlength=_BUCKETS)
        buckets = np.flatnonzero(often >= _FEWEST_TEXTS)
        if not len(buckets):
            return None
        apart, freedom = way
        rarity = np.log((1 + len(truth)) / (1 + often[buckets])) + 1
        if apart:
            rarity = rarity * _told_apart(counts[:, buckets], truth, often[buckets])
        blank = replace(self, freedom=freedom, buckets=buckets, rarity=rarity.astype(np.float32))
        weights = _regression(blank._features(counts), truth, max(len(self.labels), 2), freedom)
        return replace(blank, weights=weights)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Chances by the text alone."""
        chances = self._chances(_counts(_texts(examples))).astype(np.float32)
        return Scores(examples.task.answer, chances if self.labels else chances[:, 1:], labels=self.labels)

    def _chances(self, counts: sparse.csr_matrix) -> Array:
        assert self.weights is not None, "fit first"
        logits = self._features(counts) @ self.weights
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        return np.asarray(special.softmax(logits, axis=1))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.buckets is not None, "fit first"
        assert self.rarity is not None
        assert self.weights is not None
        arrays = {"buckets": self.buckets, "rarity": self.rarity, "weights": self.weights}
        return arrays, {"name": self.name, "freedom": self.freedom, "labels": list(self.labels)}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> NGrams:
        """The reverse of `state`."""
        return cls(
            settings["name"],
            settings["freedom"],
            tuple(settings["labels"]),
            arrays["buckets"],
            arrays["rarity"],
            arrays["weights"],
        )

    def _features(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """Rows of length 1, (texts, runs + 1): 1 + log count, by rarity; and a last column of ones."""
        assert self.buckets is not None
        assert self.rarity is not None
        known = counts[:, self.buckets]
        known.data = (1 + np.log(known.data)) * self.rarity[known.indices]
        length = np.sqrt(np.asarray(known.multiply(known).sum(axis=1)).ravel())
        scaled = sparse.diags_array(1 / np.maximum(length, 1e-12)) @ known
        return sparse.hstack([scaled, np.ones((known.shape[0], 1))], format="csr", dtype=np.float32)


def _texts(examples: Examples) -> list[str]:
    event = examples.asked_event
    if schema.TEXT not in event.columns:
        return [""] * len(examples)
    return event[schema.TEXT].fill_null("").to_list()


def _counts(texts: Sequence[str]) -> sparse.csr_matrix:
    """How often each run of characters stands in each text, (texts, buckets)."""
    plain = [" ".join(unicodedata.normalize("NFKC", text[:_CHARACTERS]).lower().split()) for text in texts]
    lengths = np.array([len(text) for text in plain], dtype=np.int64)
    letters = np.frombuffer("".join(plain).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(plain)), lengths)
    rows, columns = [], []
    run = np.zeros(len(letters), dtype=np.uint64)
    for length in range(_LONGEST):
        whole = len(letters) - length
        if whole <= 0:
            break
        # What begins at each place, one letter longer than before.
        run = (run[:whole] + letters[length:] + np.uint64(1)) * _MIX
        run ^= run >> np.uint64(29)
        within = owner[:whole] == owner[length:]
        rows.append(owner[:whole][within])
        columns.append(((run[within] * _MIX) >> np.uint64(42)).astype(np.int64))
    if not rows:
        return sparse.csr_matrix((len(plain), _BUCKETS))
    row, column = np.concatenate(rows), np.concatenate(columns)
    counts = sparse.coo_matrix((np.ones(len(row)), (row, column)), shape=(len(plain), _BUCKETS)).tocsr()
    counts.sum_duplicates()
    return counts


def _best_way(counts: sparse.csr_matrix, truth: Array, freedom: float) -> tuple[bool, float]:
    """The way of _WAYS with the least log loss on every fifth text; the plain one where those are few or all alike."""
    held_out = np.arange(len(truth)) % _EVERY == _EVERY - 1
    asked, told = truth[held_out], truth[~held_out]
    if len(asked) < _FEWEST_HELD_OUT or len(np.unique(asked)) < 2 or len(np.unique(told)) < 2:
        return False, freedom

    def loss(way: tuple[bool, float]) -> float:
        fitted = NGrams()._fitted(counts[~held_out], told, way)
        if fitted is None:
            return np.inf
        chance = fitted._chances(counts[held_out])[np.arange(len(asked)), asked]
        return float(-np.log(np.maximum(chance, 1e-9)).mean())

    return min(_WAYS, key=loss)


def _told_apart(counts: sparse.csr_matrix, truth: Array, often: Array) -> Array:
    """How far the labels of the texts with each run are from those of all texts, (runs,): the root of their relative
    entropy in nats. `often` is how many texts have it.
    """
    usual = np.array([1 - truth.mean(), truth.mean()])
    second = np.bincount(counts.indices, weights=np.repeat(truth, np.diff(counts.indptr)), minlength=counts.shape[1])
    share = (np.stack([often - second, second], axis=1) + _USUAL * usual) / (often[:, None] + _USUAL)
    return np.asarray(np.sqrt((share * np.log(share / usual)).sum(axis=1) + _NOTHING_TOLD))


def _regression(features: sparse.csr_matrix, truth: Array, labels: int, freedom: float) -> Array:
    """Weights (features, labels) of the least cross-entropy plus squares / 2C; of two labels the second's alone."""
    columns = 1 if labels == 2 else labels
    strength = 1 / freedom
    target = (truth[:, None] == (np.arange(1, 2) if columns == 1 else np.arange(labels))).astype(np.float64)
    free = np.ones((features.shape[1], 1))
    free[-1] = 0.0  # the bias is not held back

    def loss(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(-1, columns)
        logits = features @ weights
        if columns == 1:
            value = float((np.logaddexp(0, logits) - target * logits).sum())
            chance = special.expit(logits)
        else:
            value = float((special.logsumexp(logits, axis=1) - (target * logits).sum(axis=1)).sum())
            chance = special.softmax(logits, axis=1)
        held = free * weights
        slope = features.T @ (chance - target) + strength * held
        return value + strength / 2 * float((held * weights).sum()), slope.ravel()

    found = optimize.minimize(
        loss, np.zeros(features.shape[1] * columns), jac=True, method="L-BFGS-B", options={"maxiter": 300}
    )
    return np.asarray(found.x.reshape(-1, columns), dtype=np.float32)
