"""The plain rule of many shops: what sold per day over the last 56 days goes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from intently.baselines.features import bought, spending
from intently.baselines.spread import Spread, is_whole
from intently.baselines.windows import chunks
from intently.contract import Amount, Everyone, Examples, Past, Scores, Task
from intently.errors import ConfigError
from intently.log.pack import Array


@dataclass(frozen=True)
class Mean56Days:
    """The amount of the last 56 days, brought to the length of the horizon; nothing is tuned but the spread."""

    name: str = "mean_56_days"
    days: float = 56.0
    spread: Spread | None = None

    def answers(self, task: Task) -> bool:
        """Amounts of customers and of items."""
        return isinstance(task.answer, Amount) and isinstance(task.asks, Everyone)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn how truths lie around the rule; the rule itself has nothing to learn."""
        truth = examples.truth.cast(float).to_numpy()
        mean = recent(examples.task, past, self.days)
        return replace(self, spread=Spread.of(mean, truth, whole=is_whole(truth)))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Mean and QUANTILES, (n, 20)."""
        if self.spread is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        mean = recent(examples.task, past, self.days)
        scores = np.column_stack([mean, self.spread.around(mean)])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        if self.spread is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        arrays, spread = self.spread.state()
        return arrays, {"name": self.name, "days": self.days, "spread": spread}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Self:
        """The fitted rule that `state` described."""
        return cls(settings["name"], settings["days"], Spread.from_state(arrays, settings["spread"]))


def recent(task: Task, past: Past, days: float) -> Array:
    """What was bought in the last `days`, per asked one, brought to the length of the horizon; (n,).

    Quantities where the task counts units, else money less what was returned, never negative.
    """
    assert isinstance(task.answer, Amount)
    parts: list[Array] = [np.zeros(0)]
    for asked in chunks(past.lengths):
        rows = past.take(asked).rows()
        if task.answer.unit == "units":
            used = bought(rows, past.event_types)
            values = rows.quantity[used]
        else:
            used, values = spending(rows, past.event_types)
        recently = rows.age[used] <= days
        parts.append(np.bincount(rows.example[used][recently], weights=values[recently], minlength=len(asked)))
    total = np.concatenate(parts)
    scale = task.horizon.total_seconds() / 86_400 / days
    return np.asarray(np.maximum(total, 0.0) * scale)
