"""Metrics of a OneOf answer: truth (n,) label numbers, values (n, labels) rows that sum to 1."""

from __future__ import annotations

import numpy as np

from intently.metrics.metric import Array, Metric

KIND = "OneOf"
CLIP = 1e-7


def accuracy(truth: Array, values: Array) -> Array:
    """Whether the likeliest label is the true one, (n,)."""
    return np.asarray(values.argmax(axis=1) == truth, dtype=np.float64)


def macro_f1(truth: Array, values: Array) -> float:
    """F1 of each label that is true or given at least once, averaged without weights."""
    labels = values.shape[1]
    given = values.argmax(axis=1)
    right = np.bincount(given[given == truth], minlength=labels)
    both = np.bincount(truth, minlength=labels) + np.bincount(given, minlength=labels)
    return float((2 * right[both > 0] / both[both > 0]).mean())


def log_loss(truth: Array, values: Array) -> Array:
    """Negative log probability of the true label in nats, (n,); clipped at 1e-7."""
    loss: Array = -np.log(np.clip(values[np.arange(len(truth)), truth].astype(np.float64), CLIP, 1.0))
    return loss


METRICS = (
    Metric("accuracy", KIND, accuracy, higher_is_better=True, rowwise=True, highest=1.0),
    Metric("macro_f1", KIND, macro_f1, higher_is_better=True, rowwise=False, highest=1.0),
    Metric("log_loss", KIND, log_loss, higher_is_better=False, rowwise=True),
)
