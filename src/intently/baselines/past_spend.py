"""Who spent, spends: past spend with the old counting less, brought to the level of today."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

import numpy as np

from intently.baselines.features import spending
from intently.baselines.level import level
from intently.baselines.spread import Spread, is_whole
from intently.baselines.windows import chunks, decayed
from intently.contract import Amount, Everyone, Examples, Past, Scores, Task
from intently.errors import ConfigError, TooFewExamples
from intently.log.pack import Array
from intently.log.schema import USER
from intently.metrics.amount import spearman

# What nothing spent so far counts as, in average amounts of those who buy: a multiple of nothing has no spread.
_LEAST = 0.02
# Half-lives in horizons; the last is as good as none.
_HALF_LIVES = (0.25, 0.5, 1.0, 2.0, 4.0, 100.0)


@dataclass(frozen=True)
class PastSpend:
    """Spend so far, halved every `half_life` days, and `least`, times one `factor`.

    The half-life is the one whose order of customers is nearest to that of the truths (rank correlation) over all
    training windows; the factor gives the level of today (`level`). Spend is net of returns, never negative.
    """

    name: str = "past_spend"
    half_life: float = 0.0
    least: float = 0.0
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
        half_life, spend = best_half_life(examples, past)
        more = least(truth)
        factor = level(examples, past, lambda _, today: spent(today, half_life) + more) or 1.0
        spread = Spread.of((spend + more) * factor, truth, whole=is_whole(truth), centred=True)
        return replace(self, half_life=half_life, least=more, factor=factor, spread=spread)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Mean and QUANTILES, (n, 20)."""
        spread = self._spread()
        mean = (spent(past, self.half_life) + self.least) * self.factor
        scores = np.column_stack([mean, spread.around(mean)])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        arrays, spread = self._spread().state()
        settings = {"half_life": self.half_life, "least": self.least, "factor": self.factor}
        return arrays, {"name": self.name, **settings, "spread": spread}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Self:
        """The fitted rule that `state` described."""
        spread = Spread.from_state(arrays, settings["spread"])
        return cls(settings["name"], settings["half_life"], settings["least"], settings["factor"], spread)

    def _spread(self) -> Spread:
        if self.spread is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        return self.spread


def best_half_life(examples: Examples, past: Past) -> tuple[float, Array]:
    """The half-life in days whose order of customers is nearest to that of the truths, and the spend (n,) it gives."""
    truth = examples.truth.cast(float).to_numpy()
    horizon = examples.task.horizon / timedelta(days=1)
    half_lives = tuple(share * horizon for share in _HALF_LIVES)
    spends = spent_by(past, half_lives)
    best = max(range(len(half_lives)), key=lambda number: spearman(truth, spends[number][:, None]))
    return half_lives[best], spends[best]


def spent(past: Past, half_life: float) -> Array:
    """Money of each asked one's past less returns, halved every `half_life` days, never negative; (n,)."""
    return spent_by(past, (half_life,))[0]


def spent_by(past: Past, half_lives: tuple[float, ...]) -> Array:
    """`spent` by several half-lives, in one reading of the past; (half-lives, n)."""
    parts: list[Array] = [np.zeros((len(half_lives), 0))]
    for asked in chunks(past.lengths):
        rows = past.take(asked).rows()
        moved, money = spending(rows, past.event_types)
        example, age = rows.example[moved], rows.age[moved]
        parts.append(np.stack([decayed(example, age, money, days, len(asked)) for days in half_lives]))
    return np.asarray(np.maximum(np.concatenate(parts, axis=1), 0.0))


def least(truth: Array) -> float:
    """What one who spent nothing so far counts as having spent."""
    return _LEAST * float(truth[truth > 0].mean()) if (truth > 0).any() else 0.0
