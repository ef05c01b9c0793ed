"""Two questions for one amount: will they buy at all, and on what scale do they buy?

Made for young logs and heavy tails, where trees on the amount itself do badly: they cannot say more than the largest
they were shown, and what they were shown is a log of a few weeks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

import lightgbm
import numpy as np

from intently.baselines.features import aligned, windowed
from intently.baselines.heldout import in_order, refuse_too_few
from intently.baselines.level import level
from intently.baselines.past_spend import PastSpend, best_half_life, least, spent
from intently.baselines.spread import Spread, is_whole
from intently.contract import Examples, Past, Scores, Task
from intently.errors import ConfigError
from intently.log.pack import Array

# The chance is learned of windows this long at most: of longer ones a young log has few, and they are old.
_WINDOW = timedelta(days=14)
_WEEK = timedelta(days=7)
_CUTOFFS = 14
_FEWEST = 20
_LEAST_SHARE = 0.1
# Who is unlikely to buy spends more than their past says when they do: the chance counts by its root, and by less of
# it the longer the question is than the window.
_POWER = 0.5
# Few and small trees: one pass over a chance, not a search.
_TREES = 80
_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "max_bin": 127,
    "num_leaves": 8,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 20.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The columns, the booster and the power of the chance, the half-life and least of the spend, level and spread."""

    names: tuple[str, ...]
    booster: lightgbm.Booster
    power: float
    half_life: float
    least: float
    factor: float = 1.0
    spread: Spread | None = None


@dataclass(frozen=True)
class LightGBMHurdle:
    """The chance that an amount is not 0 in the next two weeks, by boosted trees on windowed features, to a power below
    one, times past spend.

    A hurdle (Cragg 1971) whose second part is not learned: the worth of those who buy is taken to go with decayed past
    spend, which goes as far as customers do. The power is half the root of the window's part of the question's horizon.
    One factor (`level`) brings it to what the shop sells today. Decision 012 has what a learned second part, other
    windows and other powers of the chance came to.
    """

    name: str = "lightgbm_hurdle"
    threads: int = 1
    seed: int = 0
    fitted: _Fitted | None = None

    def answers(self, task: Task) -> bool:
        """Amounts of money of customers."""
        return PastSpend().answers(task)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn the chance from all examples. Raises TooFewExamples under 20, or where all or none of them buy."""
        examples, past = in_order(examples, past)
        truth = examples.truth.cast(float).to_numpy()
        buys = truth > 0
        found = f"{len(truth)} examples, {int(buys.sum())} of them above 0"
        refuse_too_few(examples.task, found, len(truth), differ=0 < buys.sum() < len(buys))
        soon, before = _soon(examples, past)
        values, names = windowed(before)
        parameters = {
            **_PARAMETERS,
            "min_data_in_leaf": max(5, min(100, len(soon) // 50)),
            "num_threads": self.threads,
            "seed": self.seed,
        }
        booster = lightgbm.train(parameters, lightgbm.Dataset(values, _buys(soon).astype(np.float64)), _TREES)
        power = _POWER * float(np.sqrt(soon.task.horizon / examples.task.horizon))
        half_life, _ = best_half_life(examples, past)
        fitted = _Fitted(names, booster, power, half_life, least(truth))
        today = level(examples, past, lambda asked, now: self._mean(fitted, asked, now))
        fitted = replace(fitted, factor=today or 1.0)
        mean = self._mean(fitted, examples, past)
        spread = Spread.of(mean, truth, whole=is_whole(truth), centred=True)
        return replace(self, fitted=replace(fitted, spread=spread))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Mean and QUANTILES, (n, 20)."""
        fitted = self._fitted()
        mean = self._mean(fitted, examples, past)
        assert fitted.spread is not None
        scores = np.column_stack([mean, fitted.spread.around(mean)])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes."""
        fitted = self._fitted()
        assert fitted.spread is not None
        arrays, spread = fitted.spread.state()
        return arrays, {
            "name": self.name,
            "threads": self.threads,
            "seed": self.seed,
            "columns": list(fitted.names),
            "booster": fitted.booster.model_to_string(),
            "power": fitted.power,
            "half_life": fitted.half_life,
            "least": fitted.least,
            "factor": fitted.factor,
            "spread": spread,
        }

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Self:
        """The fitted predictor that `state` described."""
        fitted = _Fitted(
            tuple(settings["columns"]),
            lightgbm.Booster(model_str=settings["booster"]),
            settings.get("power", _POWER),
            settings["half_life"],
            settings["least"],
            settings["factor"],
            Spread.from_state(arrays, settings["spread"]),
        )
        return cls(settings["name"], settings["threads"], settings["seed"], fitted)

    def _fitted(self) -> _Fitted:
        if self.fitted is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        return self.fitted

    def _mean(self, fitted: _Fitted, examples: Examples, past: Past) -> Array:
        values, names = windowed(past)
        values = aligned(values, names, fitted.names)
        chance = np.asarray(fitted.booster.predict(values, num_threads=self.threads))
        return np.asarray(fitted.factor * chance**fitted.power * (spent(past, fitted.half_life) + fitted.least))


def _buys(examples: Examples) -> Array:
    """Whose amount is not 0, bool (n,)."""
    return np.asarray(examples.truth.cast(float).to_numpy() > 0)


def _soon(examples: Examples, past: Past) -> tuple[Examples, Past]:
    """The question asked of two weeks, of everyone, at weekly cut-offs whose last window ends where the examples' do.

    The examples themselves, in place of these, where they ask of no more; where few or nearly all would buy in two
    weeks; or where so short a window seldom holds what the question counts (an amount from the third visit on).
    """
    if examples.task.horizon <= _WINDOW:
        return examples, past
    last = past.learned_until - _WINDOW
    cutoffs = [last - week * _WEEK for week in range(_CUTOFFS) if last - week * _WEEK >= examples.first]
    if not cutoffs:
        return examples, past
    shop = past.shop(past.learned_until)
    soon = replace(examples.task, horizon=_WINDOW).examples(shop, cutoffs)
    count, usual = int(_buys(soon).sum()), float(_buys(examples).mean())
    enough = max(_FEWEST, _LEAST_SHARE * usual * len(soon))
    return in_order(soon, Past(shop, soon)) if enough <= count <= len(soon) - _FEWEST else (examples, past)
