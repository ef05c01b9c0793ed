"""Where trees on the root of an amount begin: a mixture of the roots of what a customer has spent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls

from intently.baselines.windows import LABELS
from intently.log.pack import Array

_SUMS = ("money", "units", "baskets", "items")
_WINDOWS = frozenset((*LABELS, *(f"half_{label}" for label in LABELS), "per_day"))


@dataclass(frozen=True, eq=False)
class MixedRoots:
    """Root of the mean = sum of weight * root of a windowed sum + floor, none of them negative.

    So it grows with the past as far as customers do, where trees end at the largest truth that they were shown, and
    more in any window never means less.
    """

    names: tuple[str, ...]
    weights: Array
    floor: float

    @classmethod
    def of(cls, values: Array, names: tuple[str, ...], root: Array, *, money: bool) -> MixedRoots:
        """Least squares under the sign (Lawson and Hanson 1974) of roots (n,) on windowed features (n, k).

        Of an amount of `money` on what was paid alone, else on whatever is counted.
        """
        used = tuple(name for name in names if _is_sum(name, money=money))
        columns = np.column_stack([cls._roots(values, names, used), np.ones(len(root))])
        scale = np.maximum(np.sqrt(np.square(columns).mean(axis=0)), 1e-12)
        # The same problem in as many rows as columns.
        triangle = np.asarray(np.linalg.qr(np.column_stack([columns / scale, root]), mode="r"))
        weights = nnls(triangle[:, :-1], triangle[:, -1])[0] / scale
        return cls(used, weights[:-1], float(weights[-1]))

    def root(self, values: Array, names: tuple[str, ...]) -> Array:
        """The root of the mean for windowed features (n, k) of these names, shape (n,), not negative."""
        return np.asarray(self._roots(values, names, self.names) @ self.weights + self.floor)

    def state(self) -> dict[str, Any]:
        """What `from_state` takes, as JSON."""
        return {"columns": list(self.names), "weights": self.weights.tolist(), "floor": self.floor}

    @classmethod
    def from_state(cls, told: dict[str, Any]) -> MixedRoots:
        """The mixture that `state` described."""
        return cls(tuple(told["columns"]), np.array(told["weights"], dtype=np.float64), told["floor"])

    @staticmethod
    def _roots(values: Array, names: tuple[str, ...], used: tuple[str, ...]) -> Array:
        place = {name: column for column, name in enumerate(names)}
        picked = values[:, [place[name] for name in used]].astype(np.float64)
        return np.sqrt(np.maximum(np.nan_to_num(picked), 0.0))


def _is_sum(name: str, *, money: bool) -> bool:
    """Whether a windowed feature is a sum over a window, or one in which the old counts less; of money, or any."""
    kind, _, window = name.partition("_")
    if kind == "events":
        # Between them stands the shop's own name of a type.
        return not money and window.rpartition("_")[2] in LABELS
    return kind in (_SUMS[:1] if money else _SUMS) and window in _WINDOWS
