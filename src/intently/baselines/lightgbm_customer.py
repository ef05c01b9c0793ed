"""LightGBM on windowed features: the opponent that a careful analyst brings for intent and spend.

With a `Reading` of the past (the language model's vector and scores) as further columns it is the stack;
rows, features and tuning stay the same, so the two differ in the reading alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import lightgbm
import numpy as np

from intently.baselines.features import aligned, windowed
from intently.baselines.heldout import in_order, refuse_too_few
from intently.baselines.mixed_roots import MixedRoots
from intently.baselines.spread import Spread, held_out, is_whole
from intently.contract import QUANTILES, Amount, Answer, Examples, Past, Scores, Task, YesNo
from intently.errors import ConfigError
from intently.log.pack import Array
from intently.log.schema import EVENT, USER

_MOST_TREES = 600
_PATIENCE = 25


class Reading(Protocol):
    """Further columns that something read from the same past."""

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """Float columns (n, k), NaN where nothing is known, and their names."""
        ...


@dataclass(frozen=True, eq=False)
class _Table:
    """Columns (n, k) by name, truths (n,), and the columns in bins: made once, for every objective."""

    values: Array
    names: tuple[str, ...]
    truth: Array
    binned: lightgbm.Dataset

    @classmethod
    def of(cls, values: Array, names: tuple[str, ...], truth: Array, like: _Table | None = None) -> _Table:
        reference = None if like is None else like.binned
        return cls(values, names, truth, lightgbm.Dataset(values, truth, reference=reference, free_raw_data=False))

    def labelled(self, label: Array, start: Array | None) -> lightgbm.Dataset:
        """The same bins with what is to be learned of each row, and from where; what they had before is gone."""
        # LightGBM keeps an earlier start where it is told of none.
        assert start is not None or self.binned.init_score is None, "objectives without a start come first"
        return self.binned.set_label(label).set_init_score(start)


@dataclass(frozen=True, eq=False)
class _Trees:
    """A booster, and the mixture that it begins with (none: a constant)."""

    booster: lightgbm.Booster
    start: MixedRoots | None

    def predict(self, values: Array, names: tuple[str, ...], threads: int) -> Array:
        """What the objective is of: a chance, an amount or its root, (n,)."""
        raw = np.asarray(self.booster.predict(values, num_threads=threads))
        return raw if self.start is None else raw + self.start.root(values, names)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """What fitting found: the columns, trees per objective with their scale, and the spread of an Amount."""

    names: tuple[str, ...]
    trees: tuple[_Trees, ...]
    scales: tuple[float, ...]
    spread: Spread | None


@dataclass(frozen=True)
class LightGBMCustomer:
    """Gradient boosted trees for yes-or-no questions and amounts of customers.

    Yes or no is log loss as it is, without a further calibration (on 2017-10-08 the mean probability was 2 % under
    what came). The mean of an amount is the average of two models, least squares on the amount and on its square root
    (squared and scaled to the right total), and the latter begins with a mixture of roots of past sums (`MixedRoots`).
    On Complete Journey, 28-day spend, six cut-offs from 2017-07-30 to 2017-10-08, rank correlation and normalised Gini
    are .7909 and .8393; the root alone .791 and .838, the amount alone .788 and .839 (decision 005 has more).
    The number of trees is chosen on the last cut-offs, with a gap of one horizon before them; then all
    examples are learned from. `seed` drives every draw.
    """

    name: str = "lightgbm"
    reading: Reading | None = None
    threads: int = 2
    seed: int = 0
    fitted: _Fitted | None = None

    def answers(self, task: Task) -> bool:
        """Yes-or-no questions and amounts, of customers and of what they did."""
        return task.key in (USER, EVENT) and isinstance(task.answer, YesNo | Amount)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Choose the number of trees out of time, then learn from all examples.

        Raises TooFewExamples where there are under 20 examples or all truths are the same.
        """
        examples, past = in_order(examples, past)
        truth = examples.truth.cast(float).to_numpy()
        kinds = len(np.unique(truth))
        found = f"{len(truth)} examples, {kinds} distinct truths"
        refuse_too_few(examples.task, found, len(truth), differ=kinds > 1)
        values, names = windowed(past)
        values, names = self._with_reading(values, names, examples, past)
        earlier, later = held_out(examples)
        every = _Table.of(values, names, truth)
        learned = _Table.of(values[earlier], names, truth[earlier])
        judge = _Table.of(values[later], names, truth[later], like=learned)
        answer = examples.task.answer
        fitted, scales, judged = [], [], []
        for objective in _YES_NO if isinstance(answer, YesNo) else _AMOUNT:
            first = self._train(learned, objective, answer, judge)
            judged.append(self._amount(first, objective, judge) * self._scale(first, objective, learned))
            # More rows bear more trees; for amounts, though, 500 were worse than 300 out of time.
            growth = min(len(truth) / len(earlier), 1.5) if isinstance(answer, YesNo) else 1.0
            count = max(round(first.booster.best_iteration * growth), 1)
            fitted.append(self._train(every, objective, answer, None, count))
            scales.append(self._scale(fitted[-1], objective, every))
        spread = None
        if isinstance(answer, Amount):
            spread = Spread.of(np.mean(judged, axis=0), truth[later], whole=is_whole(truth), centred=True)
        return replace(self, fitted=_Fitted(names, tuple(fitted), tuple(scales), spread))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Probability (n, 1), or mean and QUANTILES (n, 20)."""
        fitted = self._fitted()
        values, names = windowed(past)
        values, names = self._with_reading(values, names, examples, past)
        values = aligned(values, names, fitted.names)
        if isinstance(examples.task.answer, YesNo):
            chance = fitted.trees[0].predict(values, fitted.names, self.threads)
            return Scores(examples.task.answer, chance.astype(np.float32)[:, None])
        assert fitted.spread is not None
        means = [
            objective.amount(trees.predict(values, fitted.names, self.threads)) * scale
            for objective, trees, scale in zip(_AMOUNT, fitted.trees, fitted.scales, strict=True)
        ]
        mean = np.mean(means, axis=0)
        scores = np.column_stack([mean, fitted.spread.around(mean)])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes; the reading is kept by who made it."""
        fitted = self._fitted()
        arrays, spread = ({}, None) if fitted.spread is None else fitted.spread.state()
        return arrays, {
            "name": self.name,
            "threads": self.threads,
            "seed": self.seed,
            "columns": list(fitted.names),
            "boosters": [trees.booster.model_to_string() for trees in fitted.trees],
            "starts": [trees.start and trees.start.state() for trees in fitted.trees],
            "scales": list(fitted.scales),
            "quantiles": list(QUANTILES),
            "spread": spread,
        }

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any], reading: Reading | None = None) -> Self:
        """The fitted predictor that `state` described."""
        boosters = [lightgbm.Booster(model_str=text) for text in settings["boosters"]]
        # Those saved before there were starts have none.
        starts = [told and MixedRoots.from_state(told) for told in settings.get("starts", [None] * len(boosters))]
        fitted = _Fitted(
            tuple(settings["columns"]),
            tuple(map(_Trees, boosters, starts)),
            tuple(settings["scales"]),
            None if settings["spread"] is None else Spread.from_state(arrays, settings["spread"]),
        )
        return cls(settings["name"], reading, settings["threads"], settings["seed"], fitted)

    def _fitted(self) -> _Fitted:
        if self.fitted is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        return self.fitted

    def _with_reading(
        self, values: Array, names: tuple[str, ...], examples: Examples, past: Past
    ) -> tuple[Array, tuple[str, ...]]:
        if self.reading is None:
            return values, names
        read, read_names = self.reading.columns(examples.task, examples.hide(), past)
        return np.column_stack([values, read]).astype(np.float32), (*names, *read_names)

    def _train(
        self, table: _Table, objective: _Objective, answer: Answer, judge: _Table | None, trees: int = _MOST_TREES
    ) -> _Trees:
        """So many trees, or with a judge those after which it does not get better."""
        start = objective.start(table, answer)

        def lesson(table: _Table) -> lightgbm.Dataset:
            begin = None if start is None else start.root(table.values, table.names)
            return table.labelled(objective.into(table.truth), begin)

        parameters = {
            **_PARAMETERS,
            **objective.parameters,
            "min_data_in_leaf": max(5, min(100, len(table.truth) // 50)),
            "num_threads": self.threads,
            "seed": self.seed,
        }
        if judge is None:
            return _Trees(lightgbm.train(parameters, lesson(table), trees), start)
        stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
        booster = lightgbm.train(parameters, lesson(table), trees, valid_sets=[lesson(judge)], callbacks=[stop])
        return _Trees(booster, start)

    def _amount(self, trees: _Trees, objective: _Objective, table: _Table) -> Array:
        return objective.amount(trees.predict(table.values, table.names, self.threads))

    def _scale(self, trees: _Trees, objective: _Objective, table: _Table) -> float:
        """The factor that gives the rows their true total; 1 where the objective is not of a root.

        A root's mean squared falls short of the mean: Duan's smearing estimate (1983), as one factor.
        """
        if not objective.root:
            return 1.0
        return float(table.truth.sum() / max(self._amount(trees, objective, table).sum(), 1e-12))


@dataclass(frozen=True)
class _Objective:
    """What a booster minimises, and on which root of the truth."""

    parameters: dict[str, Any]
    root: bool = False

    def into(self, truth: Array) -> Array:
        """The truth as the booster sees it."""
        return np.sqrt(np.maximum(truth, 0.0)) if self.root else truth

    def amount(self, raw: Array) -> Array:
        """Predictions in the unit of the truth, before scaling, never negative."""
        raw = np.maximum(raw, 0.0)
        return np.asarray(np.square(raw) if self.root else raw)

    def start(self, table: _Table, answer: Answer) -> MixedRoots | None:
        """What the trees begin with: roots of past sums for a root, nothing else."""
        if not self.root or not isinstance(answer, Amount):
            return None
        return MixedRoots.of(table.values, table.names, self.into(table.truth), money=answer.unit != "units")


_PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.05,
    "max_bin": 127,
    "num_leaves": 24,
    # Against .5, at five cut-offs to 2017-10-08: spend Spearman .7858 and .7853, normalised Gini .8291 and .8280.
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
_YES_NO = (_Objective({"objective": "binary"}),)
_AMOUNT = (
    _Objective({"objective": "regression"}),
    # The order of these two matters to `_Table.labelled`. Random splits and the start: see decision 005.
    _Objective({"objective": "regression", "extra_trees": True}, root=True),
)
