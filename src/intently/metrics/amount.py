"""Metrics of an Amount answer: truth (n,), values (n, 20) = the mean, then quantiles 0.05, 0.10 ... 0.95."""

from __future__ import annotations

import numpy as np

from intently.metrics.metric import Array, Drawn, Metric, average_ranks, places

KIND = "Amount"
LEVELS = np.round(np.arange(1, 20) * 0.05, 2)
PINBALL_LEVELS = (0.1, 0.5, 0.9)


def spearman(truth: Array, values: Array) -> float:
    """Rank correlation of truth and mean, ties at their average rank; 0 where either is constant."""
    return spearman_drawn(truth, values)(np.ones(len(truth)))


def spearman_drawn(truth: Array, values: Array) -> Drawn:
    """`spearman` of resamples."""
    true, given = places(truth), places(values[:, 0])

    def value(times: Array) -> float:
        middle = (times.sum() + 1) / 2
        a, b = average_ranks(true, times) - middle, average_ranks(given, times) - middle
        weighted = times * a
        scale = float(np.sqrt((weighted @ a) * (times @ (b * b))))
        return float(weighted @ b) / scale if scale else 0.0

    return value


def norm_gini(truth: Array, values: Array) -> float:
    """Gini index of truth ordered by mean, divided by that of truth ordered by itself.

    A Gini index is linear in cov(truth, rank) (Lerman and Yitzhaki 1984), so ties in the mean are
    shared evenly and a constant gives 0. 1 is the best order, -1 the worst.
    """
    return norm_gini_drawn(truth, values)(np.ones(len(truth)))


def norm_gini_drawn(truth: Array, values: Array) -> Drawn:
    """`norm_gini` of resamples."""
    amount = np.asarray(truth, dtype=np.float64)
    true, given = places(truth), places(values[:, 0])

    def value(times: Array) -> float:
        centred = times * (amount - times @ amount / times.sum())
        best = float(centred @ average_ranks(true, times))
        return float(centred @ average_ranks(given, times)) / best if best else 0.0

    return value


def decile_ratio(truth: Array, values: Array) -> float:
    """Average truth of the tenth of rows with the highest mean, as a multiple of everybody's average.

    Rows tied at the edge of the tenth each count in part, so their order does not matter.
    """
    total = float(np.mean(truth))
    weight = _top_tenth(_mean(values))
    return float(weight @ truth / weight.sum() / total) if total else float("nan")


def decile_total_ratio(truth: Array, values: Array) -> float:
    """What was foreseen for the tenth of rows with the highest mean, over what came of them. 1 is unbiased."""
    mean = _mean(values)
    weight = _top_tenth(mean)
    came = float(weight @ truth)
    return float(weight @ mean) / came if came else float("nan")


def mae(truth: Array, values: Array) -> Array:
    """Absolute error of the mean, (n,)."""
    error: Array = np.abs(_mean(values) - truth)
    return error


def rmse(truth: Array, values: Array) -> float:
    """Root of the average squared error of the mean."""
    return rmse_drawn(truth, values)(np.ones(len(truth)))


def rmse_drawn(truth: Array, values: Array) -> Drawn:
    """`rmse` of resamples."""
    square = (_mean(values) - truth) ** 2
    return lambda times: float(np.sqrt(times @ square / times.sum()))


def pinball(truth: Array, values: Array) -> Array:
    """Quantile loss max(q e, (q - 1) e), e = truth - quantile, averaged over levels 0.1, 0.5, 0.9; (n,)."""
    loss = np.zeros(len(values))
    for level in PINBALL_LEVELS:
        error = truth - _quantile(values, level)
        loss += np.maximum(level * error, (level - 1) * error)
    return loss / len(PINBALL_LEVELS)


def wape(truth: Array, values: Array) -> Array:
    """Absolute error of the mean and truth, (n, 2): sum of errors over sum of truth."""
    return np.stack([mae(truth, values), np.asarray(truth, dtype=np.float64)], axis=1)


def total_ratio(truth: Array, values: Array) -> Array:
    """The mean and truth, (n, 2): what was foreseen over what came. 1 is unbiased."""
    return np.stack([_mean(values), np.asarray(truth, dtype=np.float64)], axis=1)


def coverage_90(truth: Array, values: Array) -> Array:
    """Whether truth lies between the 0.05 and 0.95 quantiles, both included, (n,)."""
    inside = (truth >= _quantile(values, 0.05)) & (truth <= _quantile(values, 0.95))
    return np.asarray(inside, dtype=np.float64)


def randomised_pit_deviation(truth: Array, values: Array, rng: np.random.Generator) -> float:
    """How far the randomised probability integral transform is from uniform, for whole-number truths.

    For each row u is drawn evenly from [F(y - 1/2), F(y + 1/2)], which is uniform on [0, 1] when the
    forecast distribution is right (Czado, Gneiting and Held 2009). F is the quantile grid joined by
    straight lines, begun with level 0 at -1/2 (nothing lies lower) and ended with level 1 half a unit
    plus one grid step above the 0.95 quantile. The answer is the largest distance, over levels 0.05 ...
    0.95, between the share of u at or below the level and the level itself; 0 is best. The grid
    cannot resolve less than half a step (0.025) where much weight sits on few numbers.
    """
    quantiles = np.maximum.accumulate(np.asarray(values[:, 1:], dtype=np.float64), axis=1)
    lowest = np.minimum(quantiles[:, 0], -0.5)
    highest = 2 * quantiles[:, -1] - quantiles[:, -2] + 0.5
    grid = np.column_stack([lowest, quantiles, highest])  # (n, 21)
    truth = np.asarray(truth, dtype=np.float64)
    low, high = _cdf(grid, truth - 0.5), _cdf(grid, truth + 0.5)
    u = low + rng.random(len(truth)) * (high - low)
    share = np.searchsorted(np.sort(u), LEVELS, side="right") / len(u)
    return float(np.abs(share - LEVELS).max())


def _top_tenth(mean: Array) -> Array:
    """How much (n,) of each row is in the tenth with the highest mean: 1, 0, or a part where it ties at the edge."""
    size = max(1, round(len(mean) / 10))
    edge = np.partition(mean, len(mean) - size)[len(mean) - size]
    above, tied = mean > edge, mean == edge
    weight: Array = above + tied * (size - above.sum()) / tied.sum()
    return weight


def _cdf(grid: Array, x: Array) -> Array:
    """The level of x on each row's grid of values, whose levels are 0, 0.05 ... 1."""
    below = (grid <= x[:, None]).sum(axis=1)
    left = np.clip(below - 1, 0, grid.shape[1] - 2)
    row = np.arange(len(x))
    start, end = grid[row, left], grid[row, left + 1]
    part = np.clip((x - start) / np.maximum(end - start, 1e-12), 0.0, 1.0)
    return np.asarray((left + part) / (grid.shape[1] - 1))


def _mean(values: Array) -> Array:
    return np.asarray(values[:, 0], dtype=np.float64)


def _quantile(values: Array, level: float) -> Array:
    return np.asarray(values[:, round(level / 0.05)], dtype=np.float64)


METRICS = (
    Metric(
        "spearman", KIND, spearman, higher_is_better=True, rowwise=False, lowest=-1.0, highest=1.0, drawn=spearman_drawn
    ),
    Metric(
        "norm_gini",
        KIND,
        norm_gini,
        higher_is_better=True,
        rowwise=False,
        lowest=-1.0,
        highest=1.0,
        drawn=norm_gini_drawn,
    ),
    Metric("mae", KIND, mae, higher_is_better=False, rowwise=True),
    Metric("rmse", KIND, rmse, higher_is_better=False, rowwise=False, drawn=rmse_drawn),
    Metric("pinball", KIND, pinball, higher_is_better=False, rowwise=True),
    Metric("wape", KIND, wape, higher_is_better=False, rowwise=True),
    Metric("coverage_90", KIND, coverage_90, higher_is_better=True, rowwise=True, target=0.9, highest=1.0),
    Metric("total_ratio", KIND, total_ratio, higher_is_better=True, rowwise=True, target=1.0),
    Metric("decile_ratio", KIND, decile_ratio, higher_is_better=True, rowwise=False),
    Metric("decile_total_ratio", KIND, decile_total_ratio, higher_is_better=True, rowwise=False, target=1.0),
)
