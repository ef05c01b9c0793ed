"""Metrics of a Shares answer: truth and values (n, labels), rows that sum to 1."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from intently.metrics.metric import Array, Metric

KIND = "Shares"


def jensen_shannon(truth: Array, values: Array) -> Array:
    """Jensen-Shannon divergence of each row in nats (not its root), (n,); between 0 and log 2 (Lin 1991)."""
    p, q = np.asarray(truth, dtype=np.float64), np.asarray(values, dtype=np.float64)
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2
    return np.asarray(np.maximum(divergence, 0.0))


def top_share(truth: Array, values: Array) -> Array:
    """The true share of the label that was given the largest share, (n,)."""
    return np.asarray(truth[np.arange(len(truth)), values.argmax(axis=1)], dtype=np.float64)


METRICS = (
    # float32 rows sum to 1 within 1e-6, so a row may pass log 2 by as much.
    Metric("jensen_shannon", KIND, jensen_shannon, higher_is_better=False, rowwise=True, highest=np.log(2) + 1e-6),
    Metric("top_share", KIND, top_share, higher_is_better=True, rowwise=True, highest=1.0),
)
