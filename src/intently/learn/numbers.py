"""What an analyst would count of a past, on the scale that a network reads.

A transformer learns sums over windows slowly; told outright, they leave it the rest to learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intently.baselines.features import windowed
from intently.contract import Past
from intently.log.pack import Array

# So far from the usual, in standard deviations, numbers are read as equally far.
_FURTHEST = 4.0


@dataclass(frozen=True)
class Numbers:
    """Windowed features by name, with the mean and the spread of their logs in training, (columns,) each."""

    names: tuple[str, ...]
    mean: Array
    spread: Array

    @classmethod
    def of(cls, past: Past) -> Numbers:
        """Learn the scale of a past's features."""
        values, names = windowed(past)
        logs = _logs(values)
        return cls(names, logs.mean(axis=0), logs.std(axis=0) + 1e-3)

    def apply(self, past: Past) -> Array:
        """The features of each example, about unit variance, (n, columns) float32; 0 where there is nothing to tell."""
        values, _ = windowed(past, self.names)
        return np.clip((_logs(values) - self.mean) / self.spread, -_FURTHEST, _FURTHEST).astype(np.float32)


def _logs(values: Array) -> Array:
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return np.sign(finite) * np.log1p(np.abs(finite))
