"""95 % intervals by a paired bootstrap that resamples households whole.

A household's rows at several cut-offs are alike, so rows are no independent draws: resampling them
one by one makes noise look significant. Every candidate is judged on the same resamples, so that
what they share cancels out of a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intently.metrics import Metric
from intently.metrics.metric import Array, Drawn, parts

REPLICATES = 1000
LEVEL = 0.95
# Draws held at once: 16 MB of int32.
_DRAWS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval; all NaN where the metric is not defined."""

    value: float
    low: float
    high: float


def interval(
    metric: Metric,
    truth: Any,
    values: Array,
    household: Array,
    *,
    replicates: int = REPLICATES,
    rng: np.random.Generator,
) -> Interval:
    """A metric with its interval. `household` (n,) says whose each row is."""
    found = resampled((metric,), truth, (values,), household, replicates=replicates, rng=rng)
    return spread(metric, metric.value(truth, values), found[:, 0, 0])


def difference(
    metric: Metric,
    truth: Any,
    a: Array,
    b: Array,
    household: Array,
    *,
    replicates: int = REPLICATES,
    rng: np.random.Generator,
) -> Interval:
    """How much better a is than b, whatever the metric's direction: positive is better."""
    found = resampled((metric,), truth, (a, b), household, replicates=replicates, rng=rng)
    points = (metric.value(truth, a), metric.value(truth, b))
    return advantage(metric, points, (found[:, 0, 0], found[:, 1, 0]))


def spread(metric: Metric, value: float, found: Array) -> Interval:
    """The interval of a metric from its replicates (replicates,)."""
    low, high = np.clip(_quantiles(recentred(value, found)), metric.lowest, metric.highest)
    return Interval(value, float(low), float(high))


def advantage(metric: Metric, points: tuple[float, float], found: tuple[Array, Array]) -> Interval:
    """The interval of goodness(a) - goodness(b) from values and replicates of both."""
    a, b = (metric.goodness(recentred(point, replicate)) for point, replicate in zip(points, found, strict=True))
    # Where both are infinitely bad (a ratio to truths that are all 0) there is no difference to tell: NaN.
    with np.errstate(invalid="ignore"):
        value = float(metric.goodness(points[0]) - metric.goodness(points[1]))
        low, high = _quantiles(a - b)
    return Interval(value, float(low), float(high))


def recentred(value: float, found: Array) -> Array:
    """Replicates moved so that their mean is the value.

    Some metrics shift when rows repeat (ECE grows, coverage of a catalogue shrinks); what the
    bootstrap tells is the spread. It does not matter to averages, whose replicates are centred already.
    """
    known = found[np.isfinite(found)]
    # A resample may hold one class only: it says nothing (NaN), and is passed over.
    return found - known.mean() + value if len(known) else found


def resampled(
    metrics: Sequence[Metric],
    truth: Any,
    candidates: Sequence[Array],
    household: Array,
    *,
    replicates: int = REPLICATES,
    rng: np.random.Generator,
) -> Array:
    """Every metric of every candidate on the same resamples, (replicates, candidates, metrics), float64.

    Rowwise metrics are sums per household times how often each was drawn, one matrix product for all
    of them. Whole metrics are told how often each row was drawn, or are computed on the drawn rows.
    """
    owner, households = _numbered(household)
    found = np.full((replicates, len(candidates), len(metrics)), np.nan)
    quick = [i for i, metric in enumerate(metrics) if metric.rowwise]
    whole = [
        (c, i, (metric.drawn or _by_rows(metric))(truth, candidate))
        for i, metric in enumerate(metrics)
        if not metric.rowwise
        for c, candidate in enumerate(candidates)
    ]
    sums = _sums([metrics[i] for i in quick], truth, candidates, owner, households)
    done = 0
    for drawn in _draws(households, replicates, rng):
        times = _times(drawn, households)
        if quick:
            total = (times @ sums).reshape(len(drawn), len(candidates), len(quick), 2)
            with np.errstate(divide="ignore", invalid="ignore"):
                found[done : done + len(drawn), :, quick] = total[..., 0] / total[..., 1]
        for replicate, count in enumerate(times if whole else ()):
            by_row = count[owner]
            for c, i, value in whole:
                found[done + replicate, c, i] = value(by_row)
        done += len(drawn)
    return found


def _by_rows(metric: Metric) -> Callable[[Any, Array], Drawn]:
    """Resamples of a metric that has no quicker way: the rows as often as they were drawn."""

    def drawn(truth: Any, values: Array) -> Drawn:
        def value(times: Array) -> float:
            rows = np.repeat(np.arange(len(times)), times.astype(np.int64))
            return float(metric.function(truth[rows], values[rows]))

        return value

    return drawn


def _numbered(household: Array) -> tuple[Array, int]:
    names, owner = np.unique(household, return_inverse=True)
    return owner, len(names)


def _draws(households: int, replicates: int, rng: np.random.Generator) -> Iterator[Array]:
    """Household numbers drawn with replacement, (chunk, households) at a time."""
    chunk = max(1, _DRAWS // max(households, 1))
    for start in range(0, replicates, chunk):
        yield rng.integers(0, households, (min(chunk, replicates - start), households), dtype=np.int32)


def _times(drawn: Array, households: int) -> Array:
    """How often each household was drawn, (chunk, households) float64."""
    return np.stack([np.bincount(row, minlength=households) for row in drawn]).astype(np.float64)


def _sums(metrics: Sequence[Metric], truth: Any, candidates: Sequence[Array], owner: Array, households: int) -> Array:
    """Numerators and denominators summed by household, (households, candidates * metrics * 2)."""
    columns = []
    for values in candidates:
        for metric in metrics:
            rows = parts(metric.function(truth, values))
            columns += [np.bincount(owner, weights=rows[:, side], minlength=households) for side in (0, 1)]
    return np.stack(columns, axis=1) if columns else np.zeros((households, 0))


def _quantiles(found: Array) -> Array:
    known = found[np.isfinite(found)]
    tail = (1 - LEVEL) / 2
    return np.quantile(known, (tail, 1 - tail)) if len(known) else np.full(2, np.nan)
