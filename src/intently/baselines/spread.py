"""Quantiles around a predicted mean, learned from truths that the mean had not seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from intently.contract import QUANTILES, Examples
from intently.log.pack import Array

_LEAST = 1e-3
_BIN_WIDTH = 0.1
_BIN_ROWS = 150
_FEWEST_BIN_ROWS = 25


@dataclass(frozen=True, eq=False)
class Spread:
    """How truths lie around a mean: at `knots` (log of the mean) the quantiles at QUANTILES.

    `levels` (knots, 19) are multiples of the mean, or, for whole numbers, the numbers themselves;
    in between both are interpolated in the log of the mean. Means below 0.001 count as 0.001.
    """

    knots: Array
    levels: Array
    whole: bool

    @classmethod
    def of(cls, mean: Array, truth: Array, *, whole: bool, centred: bool = False) -> Spread:
        """Learn from means (n,) and the truths (n,) that came to pass.

        Rows are sorted by mean and cut into bins of at least 150 rows (a twelfth of them where there are few) and
        0.1 in the log of the mean; in wider bins, truths are scaled with their means to the middle of the bin.
        `centred` first scales the means to the total of the truths: the level of the few held-out cut-offs
        (a season, a trend) is theirs alone, and later means will have their own.
        """
        total = float(np.sum(mean))
        log_mean = _log(mean * (float(np.sum(truth)) / total) if centred and total > 0 else mean)
        order = np.argsort(log_mean, kind="stable")
        log_mean, truth = log_mean[order], np.asarray(truth, dtype=np.float64)[order]
        knots, levels = [], []
        start, n = 0, len(order)
        least = min(_BIN_ROWS, max(_FEWEST_BIN_ROWS, n // 12))
        while start < n:
            stop = max(start + least, int(np.searchsorted(log_mean, log_mean[start] + _BIN_WIDTH, "right")))
            # Equal means stay together: which of them came first must not matter.
            stop = int(np.searchsorted(log_mean, log_mean[min(stop, n) - 1], "right"))
            stop = n if n - stop < least else stop
            middle = float(log_mean[start:stop].mean())
            wide = log_mean[stop - 1] - log_mean[start] > 2 * _BIN_WIDTH
            scale = middle if whole and wide else log_mean[start:stop] if whole else 0.0
            values = truth[start:stop] * np.exp(scale - log_mean[start:stop])
            knots.append(middle)
            levels.append(np.quantile(values, QUANTILES, method="averaged_inverted_cdf" if whole else "linear"))
            start = stop
        return cls(np.array(knots), np.maximum(np.array(levels), 0.0), whole)

    def around(self, mean: Array) -> Array:
        """Quantiles at QUANTILES for means (n,): shape (n, 19), rising from left to right, never negative."""
        log_mean = _log(mean)
        quantiles = self._between(np.clip(log_mean, self.knots[0], self.knots[-1]))
        if self.whole:
            # Outside the knots nothing is known of the numbers; they are taken to grow with the mean.
            beyond = np.exp(log_mean - np.clip(log_mean, self.knots[0], self.knots[-1]))
            quantiles = np.rint(quantiles * beyond[:, None])
        else:
            quantiles *= np.exp(log_mean)[:, None]
        return np.maximum.accumulate(quantiles, axis=1)

    def _between(self, log_mean: Array) -> Array:
        """The levels at means within the knots, on straight lines between them, (n, 19)."""
        above = np.searchsorted(self.knots, log_mean, side="right").clip(1, max(len(self.knots) - 1, 1))
        below, above = above - 1, np.minimum(above, len(self.knots) - 1)
        width = self.knots[above] - self.knots[below]
        part = np.divide(log_mean - self.knots[below], width, out=np.zeros(len(log_mean)), where=width > 0)
        return np.asarray(self.levels[below] + part[:, None] * (self.levels[above] - self.levels[below]))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        return {"spread.knots": self.knots, "spread.levels": self.levels}, {"whole": self.whole}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Spread:
        """The spread that `state` described."""
        return cls(arrays["spread.knots"], arrays["spread.levels"], settings["whole"])


def is_whole(truth: Array) -> bool:
    """Whether every truth is a whole number, as counts are."""
    return bool(np.all(truth == np.rint(truth)))


def held_out(examples: Examples, share: float = 0.15) -> tuple[Array, Array]:
    """Row numbers to learn from, and later ones to judge by: no window of the first ends after the second begin.

    The last `share` of the cut-offs are held out. Where too few cut-offs are left before the gap of one
    horizon, a quarter of the customers (items) are held out instead.
    """
    cutoffs = examples.cutoffs
    for count in range(max(1, round(share * len(cutoffs))), 0, -1):
        first = cutoffs[-count]
        earlier = (examples.at + examples.task.horizon <= first).to_numpy()
        if earlier.sum() >= len(examples) / 4:
            return np.flatnonzero(earlier), np.flatnonzero((examples.at >= first).to_numpy())
    who = examples.household.rank("dense").to_numpy().astype(np.int64)
    # A fixed mixing of the rank, so that neighbours in the id order do not stay together.
    later = (who * 2_654_435_761 >> 7) % 4 == 0
    if later.all() or not later.any():
        later = np.arange(len(examples)) % 4 == 0
    return np.flatnonzero(~later), np.flatnonzero(later)


def _log(mean: Array) -> Array:
    return np.log(np.maximum(np.asarray(mean, dtype=np.float64), _LEAST))
