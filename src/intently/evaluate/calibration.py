"""Whether probabilities and intervals mean what they say, and the one-number repairs."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from intently.contract import QUANTILES
from intently.log.pack import Array

_TINY = 1e-7


def reliability(truth: Array, values: Array, bins: int = 10) -> list[dict[str, float]]:
    """Rows of equal-width bins that hold anything: `low`, `high`, mean `given`, `happened` share, `n`."""
    p = np.asarray(values, dtype=np.float64).reshape(-1)
    column = np.minimum((p * bins).astype(np.int64), bins - 1)
    n = np.bincount(column, minlength=bins)
    given = np.bincount(column, weights=p, minlength=bins)
    happened = np.bincount(column, weights=np.asarray(truth, dtype=np.float64), minlength=bins)
    return [
        {
            "low": i / bins,
            "high": (i + 1) / bins,
            "given": float(given[i] / n[i]),
            "happened": float(happened[i] / n[i]),
            "n": int(n[i]),
        }
        for i in np.flatnonzero(n)
    ]


def interval_coverage(truth: Array, values: Array) -> list[dict[str, float]]:
    """How often truth lies in the central interval of each nominal size, 0.1 to 0.9, of an Amount (n, 20)."""
    half = len(QUANTILES) // 2
    rows = []
    for i in range(half):
        low, high = values[:, 1 + i], values[:, len(QUANTILES) - i]
        nominal = round(QUANTILES[-1 - i] - QUANTILES[i], 2)
        rows.append({"nominal": nominal, "observed": float(((truth >= low) & (truth <= high)).mean())})
    return rows[::-1]


def fit_temperature(truth: Array, values: Array) -> float:
    """The temperature T that minimises log loss of `temper(values, T)` (Guo et al. 2017) and half of (log T)^2.

    truth: (n,) 0 or 1 with values (n,) or (n, 1); or label numbers with values (n, labels). Above 1
    softens. The loss is the sum over rows, so what is added weighs little where there are many; it keeps the few, or
    a perfectly separated sample, from making every answer certain. Searched between 1/20 and 20.
    """
    if len(values) == 0:
        return 1.0
    answer = np.asarray(truth).astype(np.int64)
    logits = _logits(values)

    def loss(log_temperature: float) -> float:
        p = _softmax(logits / math.exp(log_temperature))
        missed = -np.log(np.maximum(p[np.arange(len(p)), answer], _TINY)).sum()
        return float(missed + log_temperature**2 / 2)

    found = minimize_scalar(loss, bounds=(-math.log(20), math.log(20)), method="bounded")
    return math.exp(found.x)


def temper(values: Array, temperature: float) -> Array:
    """Probabilities with their logits divided by a temperature, in the shape and type they came."""
    p = _softmax(_logits(values) / temperature)
    if values.ndim == 2 and values.shape[1] > 1:
        return p.astype(values.dtype)
    return p[:, 1].reshape(values.shape).astype(values.dtype)


def conformal_scale(truth: Array, values: Array, level: float = 0.9) -> float:
    """By how much to stretch an Amount's quantiles about their median so that `level` of truths lie within 0.05-0.95.

    Split conformal (Vovk et al. 2005; Romano et al. 2019) with one score a row: the stretch it needs. Rows without
    width that are missed need any stretch at all, and are left to `highest`, 10.
    """
    low, median, high = (np.asarray(values[:, i], dtype=np.float64) for i in (1, 10, 19))
    truth = np.asarray(truth, dtype=np.float64)
    side = np.where(truth >= median, high - median, median - low)
    needed = np.abs(truth - median) / np.maximum(side, 1e-9)
    n = len(needed)
    if n == 0:
        return 1.0
    rank = min(math.ceil((n + 1) * level), n)
    return float(min(np.partition(needed, rank - 1)[rank - 1], 10.0))


def stretch(values: Array, scale: float) -> Array:
    """An Amount's quantiles stretched about their median, never below 0; the mean stays."""
    median = values[:, 10:11]
    quantiles = np.maximum(median + scale * (values[:, 1:] - median), 0.0)
    return np.concatenate([values[:, :1], quantiles], axis=1).astype(values.dtype)


def _logits(values: Array) -> Array:
    """(n, labels) log probabilities; a single column stands for (no, yes)."""
    p = np.asarray(values, dtype=np.float64)
    if p.ndim == 1 or p.shape[1] == 1:
        p = p.reshape(-1)
        p = np.stack([1 - p, p], axis=1)
    return np.log(np.clip(p, _TINY, 1.0))


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
