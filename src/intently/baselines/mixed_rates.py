"""A mixture of plain rules: sales a day over several windows, weighed by what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from intently.baselines.windows import WINDOWS
from intently.log.pack import Array

_LEAST_LOG = -12.0
_MOST_LOG = 4.0


@dataclass(frozen=True, eq=False)
class MixedRates:
    """mean = sum of weight * rate + floor, all of them positive: no rule counts against the others.

    Weights are those under which the truths are likeliest as Poisson counts; its mean-to-variance is wrong for
    crowded shelves, but the estimate stays right (Gourieroux, Monfort and Trognon 1984).
    """

    names: tuple[str, ...]
    weights: Array
    floor: float

    @classmethod
    def of(cls, values: Array, names: tuple[str, ...], truth: Array, weight: Array) -> MixedRates:
        """Learn from columns (n, k) of which some are rates, truths (n,) and how much each row counts (n,)."""
        used = tuple(name for name in names if _days(name) > 0)
        rates = cls(used, np.ones(len(used)), 0.0)._rates(values, names)
        share = weight / weight.sum()
        start = np.append(np.full(len(used), -np.log(max(len(used), 1))), np.log(max(float(share @ truth), 1e-3) / 10))

        def loss(logs: Array) -> tuple[float, Array]:
            grown = np.exp(logs)
            mean = rates @ grown[:-1] + grown[-1]
            slope = share * (1 - truth / mean)
            gradient = np.append(slope @ rates, slope.sum()) * grown
            return float(share @ (mean - truth * np.log(mean))), gradient

        bounds = [(_LEAST_LOG, _MOST_LOG)] * len(start)
        found = np.exp(minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x)
        return cls(used, found[:-1], float(found[-1]))

    def mean(self, values: Array, names: tuple[str, ...]) -> Array:
        """The mixture for rows with the columns `names`, (n,); above 0."""
        return np.asarray(self._rates(values, names) @ self.weights + self.floor)

    def state(self) -> dict[str, Any]:
        """JSON-able settings that `from_state` takes."""
        return {"names": list(self.names), "weights": self.weights.tolist(), "floor": self.floor}

    @classmethod
    def from_state(cls, settings: dict[str, Any]) -> MixedRates:
        """The mixture that `state` described."""
        return cls(tuple(settings["names"]), np.array(settings["weights"]), settings["floor"])

    def _rates(self, values: Array, names: tuple[str, ...]) -> Array:
        """Amounts a day, (n, rates)."""
        columns = [values[:, names.index(name)].astype(np.float64) / _days(name) for name in self.names]
        return np.nan_to_num(np.column_stack(columns)) if columns else np.zeros((len(values), 0))


def _days(name: str) -> float:
    """Over how many days a column of sales sums up; 1 for one that is a rate already, 0 for one that is no sales."""
    if name == "amount_per_day" or name.startswith("looked_half_"):
        return 1.0
    return {f"amount_{days}d": float(days) for days in WINDOWS}.get(name, 0.0)
