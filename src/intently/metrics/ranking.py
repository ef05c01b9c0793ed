"""Metrics of a Ranking answer: truth is `Relevant`, values (n, k) are item codes, best first, -1 for none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intently.metrics.metric import Array, Drawn, Metric

KIND = "Ranking"


@dataclass(frozen=True)
class Relevant:
    """The items each row should find: row i has the distinct codes `codes[offsets[i]:offsets[i + 1]]`.

    `catalogue` is how many items could have been ranked, for `coverage`; 0 is unknown.
    """

    offsets: Array
    codes: Array
    catalogue: int = 0

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, rows: Array) -> Relevant:
        """The rows of these numbers, or where a boolean array holds."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        counts = self.counts[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        index = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], counts)
        return Relevant(offsets, self.codes[index], self.catalogue)

    @property
    def counts(self) -> Array:
        """How many items each row should find, (n,)."""
        return np.diff(self.offsets)


def hits(truth: Relevant, values: Array) -> Array:
    """Which places hold an item that should be found, (n, k) bool; an item counts at its first place only."""
    width = int(max(truth.codes.max(initial=0), values.max(initial=0))) + 1
    wanted = np.sort(np.repeat(np.arange(len(truth)), truth.counts) * width + truth.codes)
    row = np.arange(len(values))[:, None]
    asked = np.where(values >= 0, row * width + values, -1)
    if not len(wanted):
        return np.zeros(values.shape, dtype=bool)
    found = wanted[np.minimum(np.searchsorted(wanted, asked), len(wanted) - 1)] == asked
    places = np.flatnonzero(found)
    _, first = np.unique(asked.reshape(-1)[places], return_index=True)
    once = np.zeros(found.size, dtype=bool)
    once[places[first]] = True
    return once.reshape(values.shape)


def ndcg_at_10(truth: Relevant, values: Array) -> Array:
    """Sum of 1 / log2(place + 1) over hits in the first ten, over that of min(10, relevant) hits on top, (n,)."""
    discount = 1 / np.log2(np.arange(2, 12))
    gain = hits(truth, values[:, :10]) @ discount[: values.shape[1]]
    ideal = np.concatenate([[1.0], np.cumsum(discount)])[np.minimum(truth.counts, 10)]
    return np.asarray(gain / ideal)


def recall_at_10(truth: Relevant, values: Array) -> Array:
    """The share of the relevant items that are in the first ten, (n,)."""
    return _recall(truth, values, 10)


def recall_at_100(truth: Relevant, values: Array) -> Array:
    """The share of the relevant items that are in the first hundred, (n,)."""
    return _recall(truth, values, 100)


def mrr_at_10(truth: Relevant, values: Array) -> Array:
    """One over the place of the first hit, 0 where the first ten hold none, (n,)."""
    found = hits(truth, values[:, :10])
    return np.where(found.any(axis=1), 1 / (found.argmax(axis=1) + 1), 0.0)


def coverage(truth: Relevant, values: Array) -> float:
    """The share of the catalogue that stands in somebody's first ten; NaN where its size is not known."""
    return _coverage_drawn(truth, values)(np.ones(len(values)))


def diversity(truth: Relevant, values: Array) -> float:
    """How little the first tens of two customers, drawn at random, have in common: the share not in the other's.

    0 where all see the same ten, near 1 where no two see the same item; NaN where nobody sees any.
    """
    return _diversity_drawn(truth, values)(np.ones(len(values)))


def _coverage_drawn(truth: Relevant, values: Array) -> Drawn:
    shown = _Shown.of(values)
    catalogue = truth.catalogue or float("nan")
    return lambda times: float((shown.counts(times) > 0).sum() / catalogue)


def _diversity_drawn(truth: Relevant, values: Array) -> Drawn:
    shown = _Shown.of(values)

    def drawn(times: Array) -> float:
        counts, rows = shown.counts(times), float(times.sum())
        total = float(counts.sum())
        return float(1 - (counts * counts).sum() / (rows * total)) if total else float("nan")

    return drawn


@dataclass(frozen=True)
class _Shown:
    """The items of everybody's first ten: the row and the number of each, among `items` distinct ones."""

    row: Array
    item: Array
    items: int

    @classmethod
    def of(cls, values: Array) -> _Shown:
        row, place = np.nonzero(values[:, :10] >= 0)
        distinct, item = np.unique(values[row, place], return_inverse=True)
        return cls(row, item.reshape(-1), len(distinct))

    def counts(self, times: Array) -> Array:
        """How often each item is shown where row i stands `times[i]` times, (items,)."""
        return np.bincount(self.item, weights=times[self.row], minlength=self.items)


def _recall(truth: Relevant, values: Array, k: int) -> Array:
    return np.asarray(hits(truth, values[:, :k]).sum(axis=1) / np.maximum(truth.counts, 1))


METRICS = (
    Metric("ndcg_at_10", KIND, ndcg_at_10, higher_is_better=True, rowwise=True, highest=1.0),
    Metric("recall_at_10", KIND, recall_at_10, higher_is_better=True, rowwise=True, highest=1.0),
    Metric("recall_at_100", KIND, recall_at_100, higher_is_better=True, rowwise=True, highest=1.0),
    Metric("mrr_at_10", KIND, mrr_at_10, higher_is_better=True, rowwise=True, highest=1.0),
    Metric("coverage", KIND, coverage, higher_is_better=True, rowwise=False, highest=1.0, drawn=_coverage_drawn),
    Metric("diversity", KIND, diversity, higher_is_better=True, rowwise=False, highest=1.0, drawn=_diversity_drawn),
)
