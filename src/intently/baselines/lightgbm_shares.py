"""Gradient-boosted trees that correct a customer's own past shares, label by label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, Self

import lightgbm
import numpy as np

from intently.baselines.own_shares import OwnShares
from intently.baselines.share_features import share_features, shop_shares
from intently.contract import Examples, Past, Scores, ShareLabels, Shares, Task
from intently.log import schema
from intently.log.pack import Array

BLOCK = 2048
# Of one cut-off, and of all.
CELLS_AT_ONCE, CELLS = 90_000, 700_000
_MOST_WEEKS = 26
_LEAST = 1e-6


class ShareReading(Protocol):
    """What a language model says of customers and labels."""

    def cells(
        self, task: Task, examples: Examples, past: Past, labels: tuple[str, ...]
    ) -> tuple[Array, tuple[str, ...]]:
        """Further columns of each cell, (n, labels, columns) float, NaN allowed, and their names."""
        ...


@dataclass(frozen=True)
class LightGBMShares:
    """softmax(log own shares + trees), the trees grown to lessen the Jensen-Shannon divergence itself.

    Trees fitted to the shares by cross-entropy gave .3425 on Complete Journey at 2017-10-08 even with their
    best power, no better than OwnShares (.3429); grown on the divergence .3325. Sixty trees at a rate of .16 are
    worth a hundred at .1 (.3319 both, five cut-offs to 2017-10-08) and answer in 60 % of the time; larger trees
    are worth less. With `reading` its columns join the features. The last `weeks` cut-offs are learned from,
    `at_most` customers of each: more of both where there are few labels, up to CELLS (customer, label) cells.
    """

    name: str = "lightgbm"
    reading: ShareReading | None = None
    threads: int = 2
    seed: int = 0
    weeks: int = 12
    at_most: int = 400
    trees: int = 60
    leaves: int = 31
    own: OwnShares | None = None
    shop: Array | None = None
    model: str = ""
    columns: tuple[str, ...] = ()

    def answers(self, task: Task) -> bool:
        """Shares of customers."""
        return isinstance(task.answer, Shares) and task.key == schema.USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Fit the own shares, then the trees that correct them."""
        answer = examples.task.answer
        assert isinstance(answer, Shares)
        own = OwnShares().fit(examples, past)
        fitted = replace(self, own=own)
        features, starts, truths = [], [], []
        rng = np.random.default_rng(self.seed)
        columns: tuple[str, ...] = ()
        for at, rows in self._learned_from(examples, len(own.labels), rng):
            some, before = examples.take(rows), past.take(rows)
            shop = shop_shares(past.shop(at), before.items, answer.of, own.labels)
            table, start, columns = fitted._table(some.hide(), before, shop)
            features.append(table)
            starts.append(start)
            truths.append(ShareLabels(own.labels).encode(some))
        model = self._train(np.concatenate(features), np.concatenate(starts), np.concatenate(truths))
        shop = shop_shares(past.shop(past.learned_until), past.items, answer.of, own.labels)
        return replace(fitted, shop=shop, model=model, columns=columns)

    def _learned_from(self, examples: Examples, labels: int, rng: np.random.Generator) -> list[tuple[datetime, Array]]:
        """The cut-offs to learn from, oldest first, and which examples of each."""
        at_most = max(self.at_most, CELLS_AT_ONCE // labels)
        everyone = [
            (at, np.flatnonzero((examples.at == at).to_numpy()))
            for at in examples.cutoffs[-max(self.weeks, _MOST_WEEKS) :]
        ]
        cells = np.cumsum([min(len(rows), at_most) * labels for _, rows in reversed(everyone)])
        weeks = max(self.weeks, int(np.searchsorted(cells, CELLS, side="right")))
        return [
            (at, rows if len(rows) <= at_most else np.sort(rng.choice(rows, at_most, replace=False)))
            for at, rows in everyone[-weeks:]
        ]

    def _table(self, examples: Examples, past: Past, shop: Array) -> tuple[Array, Array, tuple[str, ...]]:
        """Features (n, labels, columns), the log shares to start from (n, labels), and the columns' names."""
        assert self.own is not None
        told = self.own.told(examples, past)
        table, columns = share_features(told, shop)
        if self.reading is not None:
            more, names = self.reading.cells(examples.task, examples, past, self.own.labels)
            table, columns = np.concatenate([table, more.astype(np.float32)], axis=2), (*columns, *names)
        return table, np.log(np.maximum(self.own.shares(told), _LEAST)), columns

    def _train(self, features: Array, start: Array, truth: Array) -> str:
        cells = features.reshape(-1, features.shape[2])

        def objective(raw: Array, _: lightgbm.Dataset) -> tuple[Array, Array]:
            gradient, hessian = divergence_slope(softmax(raw.reshape(truth.shape)), truth)
            return gradient.ravel(), hessian.ravel()

        settings = {
            "objective": objective,
            "learning_rate": 0.16,
            "num_leaves": self.leaves,
            "min_data_in_leaf": min(100, max(1, len(cells) // 100)),
            # Hessians are scaled so that the cells of one customer sum to a quarter of the labels.
            "min_sum_hessian_in_leaf": min(5.0, len(cells) / 1000),
            "lambda_l2": 5.0,
            "feature_fraction": 0.6,
            "max_bin": 127,
            "num_threads": self.threads,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        names = [f"c{number}" for number in range(features.shape[2])]
        data = lightgbm.Dataset(cells, np.zeros(len(cells)), init_score=start.ravel(), feature_name=names)
        return str(lightgbm.train(settings, data, self.trees).model_to_string())

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Shares that sum to one, (n, labels)."""
        assert self.own is not None and self.shop is not None, "fit first"
        booster = self._booster
        values = np.zeros((len(examples), len(self.own.labels)), dtype=np.float32)
        examples = examples.hide()
        for first in range(0, len(examples), BLOCK):
            rows = np.arange(first, min(first + BLOCK, len(examples)))
            whole = len(rows) == len(examples)
            some, before = (examples, past) if whole else (examples.take(rows), past.take(rows))
            table, start, _ = self._table(some, before, self.shop)
            cells = table.reshape(-1, table.shape[2])
            raw = np.asarray(booster.predict(cells, raw_score=True, num_threads=self.threads))
            values[rows] = softmax(start + raw.reshape(start.shape))
        return Scores(examples.task.answer, values, labels=self.own.labels)

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.model)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved; a reading is not among them and is handed to `from_state`."""
        assert self.own is not None and self.shop is not None, "fit first"
        names = ("name", "threads", "seed", "weeks", "at_most", "trees", "leaves", "model")
        arrays, own = self.own.state()
        settings = {name: getattr(self, name) for name in names}
        return arrays | {"shop": self.shop}, settings | {"own": own, "columns": list(self.columns)}

    @classmethod
    def from_state(
        cls, arrays: dict[str, Array], settings: dict[str, Any], reading: ShareReading | None = None
    ) -> LightGBMShares:
        """The reverse of `state`."""
        settings = dict(settings)
        own, columns = OwnShares.from_state(arrays, settings.pop("own")), tuple(settings.pop("columns"))
        return cls(reading=reading, own=own, columns=columns, shop=arrays["shop"], **settings)


def softmax(raw: Array) -> Array:
    """exp(raw) as rows that sum to one."""
    grown = np.exp(raw - raw.max(axis=1, keepdims=True))
    shares: Array = grown / grown.sum(axis=1, keepdims=True)
    return shares


def divergence_slope(shares: Array, truth: Array) -> tuple[Array, Array]:
    """Gradient of labels * JSD(truth, shares) by the logits of the shares, and a bound for its curvature.

    With m = (p + q) / 2: dJSD/dq = log(q / m) / 2, and through the softmax q * (dJSD/dq - sum(q * dJSD/dq)).
    """
    labels = shares.shape[1]
    shares = np.maximum(shares, 1e-12)
    slope = np.log(2 * shares / (shares + truth)) / 2
    gradient = shares * (slope - (shares * slope).sum(axis=1, keepdims=True))
    return gradient * labels, (shares / 4 + 1e-5) * labels
