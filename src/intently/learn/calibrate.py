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
# An amount is made so many times as large, or as small, at most.
_MOST = 20.0


@dataclass(frozen=True)
class Calibration:
    """YesNo: the logit's slope and shift. OneOf: a temperature. Amount: a factor for the mean, and
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
                times = factor(float(truth.sum()), float(scores.values[:, 0].sum()))
                mean = scores.values[:, 0] * times
                return cls({"factor": times}, Spread.of(mean, truth, whole=is_whole(truth)))
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
    """Slope and shift of the logit (Platt 1999, with his targets, which are never quite 0 or 1).

    Half of (log slope)^2 is added to the sum of log losses: a slope is above 0, and what few or only alike truths say
    of it weighs little.
    """
    from scipy.optimize import minimize

    logit, yes = _logit(chance), truth.sum()
    target = np.where(truth > 0, (yes + 1) / (yes + 2), 1 / (len(truth) - yes + 2))
    middle = logit.mean()

    def loss(parameters: Array) -> float:
        z = np.exp(parameters[0]) * (logit - middle) + parameters[1]
        return float((np.logaddexp(0, z) - target * z).sum() + parameters[0] ** 2 / 2)

    log_slope, level = minimize(loss, np.array([0.0, middle]), method="Nelder-Mead").x
    return {"slope": float(np.exp(log_slope)), "shift": float(level - np.exp(log_slope) * middle)}


def factor(truth: float, told: float) -> float:
    """What a mean is multiplied by, by sums of truths and of means: a twentieth to twenty; 1 where means are 0."""
    return 1.0 if told <= 0 else min(max(truth / told, 1 / _MOST), _MOST)


def _logit(chance: Array) -> Array:
    p = np.clip(np.asarray(chance, dtype=np.float64), 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))


def _raised(shares: Array, power: float) -> Array:
    raised = np.asarray(shares, dtype=np.float64) ** power
    return (raised / raised.sum(axis=1, keepdims=True)).astype(np.float32)
