"""Metrics of a YesNo answer: truth (n,) of 0 and 1, values (n,) or (n, 1) probabilities."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from intently.metrics.metric import Array, Metric

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
    yes = np.asarray(truth) > 0
    positives = int(yes.sum())
    negatives = len(yes) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = rankdata(_flat(values))
    return float((ranks[yes].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auprc(truth: Array, values: Array) -> float:
    """Average precision, sum over thresholds of (recall step x precision); NaN without a yes."""
    yes = np.asarray(truth) > 0
    if not yes.any():
        return float("nan")
    p = _flat(values)
    order = np.argsort(-p)
    hits = np.cumsum(yes[order])
    last = np.append(np.diff(p[order]) != 0, True)  # rows of one score are one threshold
    hits, seen = hits[last], np.flatnonzero(last) + 1
    return float((np.diff(hits, prepend=0) * hits / seen).sum() / hits[-1])


def ece(truth: Array, values: Array) -> float:
    """Expected calibration error: |mean truth - mean probability| over 10 equal-width bins, by their rows."""
    p = _flat(values)
    column = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(column, weights=np.asarray(truth, dtype=np.float64) - p, minlength=BINS)
    return float(np.abs(gap).sum() / len(p))


def _flat(values: Array) -> Array:
    return np.asarray(values, dtype=np.float64).reshape(-1)


METRICS = (
    Metric("log_loss", KIND, log_loss, higher_is_better=False, rowwise=True),
    Metric("auroc", KIND, auroc, higher_is_better=True, rowwise=False, highest=1.0),
    Metric("auprc", KIND, auprc, higher_is_better=True, rowwise=False, highest=1.0),
    Metric("brier", KIND, brier, higher_is_better=False, rowwise=True, highest=1.0),
    Metric("ece", KIND, ece, higher_is_better=False, rowwise=False, highest=1.0),
)
