"""Calibration of a reader's answers on windows it was not trained on, one way per kind of answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from intently.baselines.spread import Spread, is_whole
from intently.contract import Amount, Examples, OneOf, Ranking, Scores, ShareLabels, Shares, Task, YesNo
from intently.evaluate.calibration import fit_temperature, temper
from intently.log.pack import Array
from intently.metrics.shares import jensen_shannon

_POWERS = tuple(round(0.7 + 0.05 * step, 2) for step in range(29))
_FEWEST = 100


@dataclass(frozen=True)
class Calibration:
    """YesNo: the logit's slope and shift (Platt 1999). OneOf: a temperature. Amount: a factor for the mean, and
    the spread of truths around it. Shares: the power to which shares are raised. Ranking: nothing.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    spread: Spread | None = None

    @classmethod
    def of(cls, task: Task, examples: Examples, scores: Scores) -> Calibration:
        """Learn from scores of examples that were not trained on; nothing is changed where they are few."""
        if len(examples) < _FEWEST:
            return cls()
        match task.answer:
            case YesNo():
                return cls(_platt(examples.truth.cast(float).to_numpy(), scores.values[:, 0]))
            case OneOf(labels=labels):
                truth = np.array([labels.index(value) for value in examples.truth])
                return cls({"temperature": fit_temperature(truth, scores.values)})
            case Amount():
                truth = examples.truth.cast(float).to_numpy()
                factor = float(truth.sum() / max(scores.values[:, 0].sum(), 1e-9))
                mean = scores.values[:, 0] * factor
                return cls({"factor": factor}, Spread.of(mean, truth, whole=is_whole(truth)))
            case Shares():
                truth = ShareLabels(scores.labels).encode(examples)
                loss = {power: float(jensen_shannon(truth, _raised(scores.values, power)).mean()) for power in _POWERS}
                return cls({"power": min(loss, key=lambda power: loss[power])})
            case Ranking():
                return cls()

    def apply(self, task: Task, values: Array) -> Array:
        """Calibrated values, in the shape they came."""
        numbers = self.numbers
        if not numbers:
            return values
        match task.answer:
            case YesNo():
                logit = _logit(values) * numbers["slope"] + numbers["shift"]
                return (1 / (1 + np.exp(-logit))).astype(np.float32)
            case OneOf():
                return temper(values, numbers["temperature"])
            case Amount():
                assert self.spread is not None
                mean = values[:, 0] * numbers["factor"]
                return np.column_stack([mean, self.spread.around(mean)]).astype(np.float32)
            case Shares():
                return _raised(values, numbers["power"])
            case Ranking():
                return values

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        arrays, spread = ({}, None) if self.spread is None else self.spread.state()
        return arrays, {"numbers": dict(self.numbers), "spread": spread}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Calibration:
        """The calibration that `state` described."""
        spread = None if settings["spread"] is None else Spread.from_state(arrays, settings["spread"])
        return cls(settings["numbers"], spread)


def _platt(truth: Array, chance: Array) -> dict[str, float]:
    from scipy.optimize import minimize

    logit = _logit(chance)

    def loss(parameters: Array) -> float:
        z = parameters[0] * logit + parameters[1]
        return float((np.logaddexp(0, z) - truth * z).mean())

    slope, shift = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return {"slope": float(max(slope, 0.05)), "shift": float(shift)}


def _logit(chance: Array) -> Array:
    p = np.clip(np.asarray(chance, dtype=np.float64), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def _raised(shares: Array, power: float) -> Array:
    raised = np.asarray(shares, dtype=np.float64) ** power
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
