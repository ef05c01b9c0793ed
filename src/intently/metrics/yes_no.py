"""Metrics of a YesNo answer: truth (n,) of 0 and 1, values (n,) or (n, 1) probabilities."""

from __future__ import annotations

import numpy as np

from intently.metrics.metric import Array, Drawn, Metric, average_ranks, places

KIND = "YesNo"
CLIP = 1e-7
BINS = 10


def log_loss(truth: Array, values: Array) -> Array:
    """Negative log likelihood of each row in nats, (n,); probabilities clipped to [1e-7, 1 - 1e-7]."""
    p = np.clip(_flat(values), CLIP, 1 - CLIP)
    loss: Array = -np.log(np.where(np.asarray(truth) > 0, p, 1 - p))
    return loss


def brier(truth: Array, values: Array) -> Array:
    """Squared error of the probability of each row, (n,)."""
    return np.asarray((_flat(values) - truth) ** 2)


def auroc(truth: Array, values: Array) -> float:
    """Chance that a yes is given more than a no, ties counting half (Mann-Whitney U); NaN with one class."""
    return auroc_drawn(truth, values)(np.ones(len(truth)))


def auroc_drawn(truth: Array, values: Array) -> Drawn:
    """`auroc` of resamples."""
    yes, place = np.asarray(truth) > 0, places(_flat(values))

    def value(times: Array) -> float:
        positives, total = float(times[yes].sum()), float(times.sum())
        if positives in (0.0, total):
            return float("nan")
        ranks = float((average_ranks(place, times) * times)[yes].sum())
        return (ranks - positives * (positives + 1) / 2) / (positives * (total - positives))

    return value


def auprc(truth: Array, values: Array) -> float:
    """Average precision, sum over thresholds of (recall step x precision); NaN without a yes."""
    return auprc_drawn(truth, values)(np.ones(len(truth)))


def auprc_drawn(truth: Array, values: Array) -> Drawn:
    """`auprc` of resamples."""
    yes, place = np.asarray(truth, dtype=np.float64) > 0, places(-_flat(values))

    def value(times: Array) -> float:
        right = np.bincount(place, weights=times * yes)  # rows of one score are one threshold
        hits, seen = np.cumsum(right), np.cumsum(np.bincount(place, weights=times))
        return float((right * hits / np.maximum(seen, 1)).sum() / hits[-1]) if hits[-1] else float("nan")

    return value


def ece(truth: Array, values: Array) -> float:
    """Expected calibration error: |mean truth - mean probability| over 10 equal-width bins, by their rows."""
    return ece_drawn(truth, values)(np.ones(len(truth)))


def ece_drawn(truth: Array, values: Array) -> Drawn:
    """`ece` of resamples."""
    p = _flat(values)
    column = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    gap = np.asarray(truth, dtype=np.float64) - p
    return lambda times: float(np.abs(np.bincount(column, weights=times * gap)).sum() / times.sum())


def _flat(values: Array) -> Array:
    return np.asarray(values, dtype=np.float64).reshape(-1)


METRICS = (
    Metric("log_loss", KIND, log_loss, higher_is_better=False, rowwise=True),
    Metric("auroc", KIND, auroc, higher_is_better=True, rowwise=False, highest=1.0, drawn=auroc_drawn),
    Metric("auprc", KIND, auprc, higher_is_better=True, rowwise=False, highest=1.0, drawn=auprc_drawn),
    Metric("brier", KIND, brier, higher_is_better=False, rowwise=True, highest=1.0),
    Metric("ece", KIND, ece, higher_is_better=False, rowwise=False, highest=1.0, drawn=ece_drawn),
)
