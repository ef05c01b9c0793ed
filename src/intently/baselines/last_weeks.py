"""The naive forecast: the next window will be as the last one was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from intently.baselines.mean_56_days import recent
from intently.baselines.spread import Spread, is_whole
from intently.contract import Amount, Everyone, Examples, Past, Scores, Task
from intently.errors import ConfigError
from intently.log.pack import Array


@dataclass(frozen=True)
class LastWeeks:
    """The amount of the last `horizon` days, unchanged (the naive method of forecasting text books)."""

    name: str = "last_weeks"
    spread: Spread | None = None

    def answers(self, task: Task) -> bool:
        """Amounts of customers and of items."""
        return isinstance(task.answer, Amount) and isinstance(task.asks, Everyone)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn how truths lie around the last window's amount."""
        truth = examples.truth.cast(float).to_numpy()
        return replace(self, spread=Spread.of(_last(examples.task, past), truth, whole=is_whole(truth)))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Mean and QUANTILES, (n, 20)."""
        mean = _last(examples.task, past)
        scores = np.column_stack([mean, self._spread().around(mean)])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        arrays, spread = self._spread().state()
        return arrays, {"name": self.name, "spread": spread}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Self:
        """The fitted rule that `state` described."""
        return cls(settings["name"], Spread.from_state(arrays, settings["spread"]))

    def _spread(self) -> Spread:
        if self.spread is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        return self.spread


def _last(task: Task, past: Past) -> Array:
    return recent(task, past, task.horizon.total_seconds() / 86_400)
