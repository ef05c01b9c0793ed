"""What a metric is: a name, a direction and a pure function of (truth, values)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray

# A metric of one truth and values, given how often each row (n,) is drawn.
Drawn = Callable[[Array], float]


@dataclass(frozen=True)
class Metric:
    """A measure of one kind of answer.

    `function(truth, values)` gives one float; with `rowwise` it gives (n,) values to be averaged, or
    (n, 2) numerators and denominators whose sums are divided. `target` is set where neither high nor
    low is good (a coverage of 0.9, a ratio of 1). `drawn(truth, values)` may do a whole metric's sorting
    once and then give the metric of many resamples of the rows, as if each stood there as often
    as it was drawn. `kind` is the answer it belongs to, and
    `lowest`, `highest` bound what it can be.
    """

    name: str
    kind: str
    function: Callable[[Any, Array], Any]
    higher_is_better: bool
    rowwise: bool
    target: float | None = None
    lowest: float = 0.0
    highest: float = np.inf
    drawn: Callable[[Any, Array], Drawn] | None = None

    def value(self, truth: Any, values: Array) -> float:
        """The metric over all rows; NaN where it is not defined (no rows, one class only)."""
        if len(values) == 0:
            return float("nan")
        found = self.function(truth, values)
        if not self.rowwise:
            return float(found)
        total = parts(found).sum(axis=0)
        return float(total[0] / total[1]) if total[1] else float("nan")

    def goodness(self, value: Any) -> Any:
        """The value (or an array of values) turned so that more is better."""
        if self.target is not None:
            return -abs(value - self.target)
        return value if self.higher_is_better else -value


def parts(rows: Array) -> Array:
    """What a rowwise function gave, as numerators and denominators (n, 2), float64."""
    rows = np.asarray(rows, dtype=np.float64)
    return rows if rows.ndim == 2 else np.stack([rows, np.ones(len(rows))], axis=1)


def places(values: Array) -> Array:
    """The place (n,) of each value among the distinct values, from the smallest up."""
    return np.unique(values, return_inverse=True)[1].reshape(-1)


def average_ranks(place: Array, times: Array) -> Array:
    """The rank (n,) of each row, ties at their average, where each row stands `times` times."""
    count = np.bincount(place, weights=times)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])
