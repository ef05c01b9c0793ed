"""Who spent, spends: past spend with the old counting less, brought to the level of the training windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from intently.baselines.features import chunks, decayed, spending
from intently.baselines.spread import Spread, is_whole
from intently.contract import Amount, Everyone, Examples, Past, Scores, Task
from intently.errors import ConfigError, TooFewExamples
from intently.log.pack import Array
from intently.log.schema import USER
from intently.metrics.amount import spearman

# Half-lives in horizons; the last is as good as none.
_HALF_LIVES = (0.25, 0.5, 1.0, 2.0, 4.0, 100.0)


@dataclass(frozen=True)
class PastSpend:
    """Spend so far, halved every `half_life` days, times one `factor`.

    The half-life is the one whose order of customers is nearest to that of the truths (rank correlation) over all
    training windows; the factor gives the training windows their total. Spend is net of returns, never negative.
    """

    name: str = "past_spend"
    half_life: float = 0.0
    factor: float = 1.0
    spread: Spread | None = None

    def answers(self, task: Task) -> bool:
        """Amounts of money of customers."""
        money = isinstance(task.answer, Amount) and task.answer.unit != "units"
        return money and isinstance(task.asks, Everyone) and task.key == USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Choose the half-life, then the factor. Raises TooFewExamples where there is no example."""
        if not len(examples):
            raise TooFewExamples(f"There is no example of {examples.task.name}.", mend="Choose more cut-offs.")
        truth = examples.truth.cast(float).to_numpy()
        horizon = examples.task.horizon.total_seconds() / 86_400
        spends = {share * horizon: spent(past, share * horizon) for share in _HALF_LIVES}
        half_life = max(spends, key=lambda days: spearman(truth, spends[days][:, None]))
        total = spends[half_life].sum()
        factor = float(truth.sum() / total) if total > 0 else 0.0
        spread = Spread.of(spends[half_life] * factor, truth, whole=is_whole(truth))
        return replace(self, half_life=half_life, factor=factor, spread=spread)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Mean and QUANTILES, (n, 20)."""
        spread = self._spread()
        mean = spent(past, self.half_life) * self.factor
        scores = np.column_stack([mean, spread.around(mean)])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        arrays, spread = self._spread().state()
        return arrays, {"name": self.name, "half_life": self.half_life, "factor": self.factor, "spread": spread}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Self:
        """The fitted rule that `state` described."""
        spread = Spread.from_state(arrays, settings["spread"])
        return cls(settings["name"], settings["half_life"], settings["factor"], spread)

    def _spread(self) -> Spread:
        if self.spread is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        return self.spread


def spent(past: Past, half_life: float) -> Array:
    """Money of each asked one's past, less what was returned, halved every `half_life` days and never negative; (n,)."""
    parts: list[Array] = [np.zeros(0)]
    for asked in chunks(past.lengths):
        rows = past.take(asked).rows()
        moved, money = spending(rows, past.event_types)
        parts.append(decayed(rows.example[moved], rows.age[moved], money, half_life, len(asked)))
    return np.asarray(np.maximum(np.concatenate(parts), 0.0))
