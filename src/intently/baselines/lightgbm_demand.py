"""LightGBM on lags: how many units of each item will be needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Self

import lightgbm
import numpy as np
import polars as pl

from intently.baselines.features import aligned, bought, group_codes
from intently.baselines.heldout import in_order, refuse_too_few
from intently.baselines.lightgbm_customer import Reading
from intently.baselines.lookers import looked
from intently.baselines.mixed_rates import MixedRates
from intently.baselines.once import Once
from intently.baselines.spread import Spread, held_out, is_whole
from intently.baselines.windows import LABELS, by_window, chunks, decayed, distinct_by_window, ratio
from intently.contract import Amount, Everyone, Examples, Past, Scores, Task
from intently.errors import ConfigError
from intently.log.pack import Array, codes
from intently.log.schema import AMOUNT, BRAND, BUY, CATEGORY, ITEM, QUANTITY, TYPE
from intently.log.sets import among, distinct

_HALF_LIVES = (7.0, 14.0, 28.0, 56.0)
_WEEKS = 12
_GROUPS = (CATEGORY, "department", BRAND)
_GROUP_DAYS = (14, 28, 84)
_MOST_TREES = 400
_PATIENCE = 15
# Items unsold for 56 days are most of a catalogue and nearly all stay unsold: one in ten stands for all.
_QUIET_DAYS = 56.0
_QUIET_WEIGHT = 10
_MANY_QUIET = 20_000
# From so few rows trees learn less than plain rules know; a quarter of Complete Journey's is already enough for trees.
_FEW_ROWS = 20_000


@dataclass(frozen=True, eq=False)
class _Fitted:
    names: tuple[str, ...]
    booster: lightgbm.Booster | None
    spread: Spread
    start: MixedRates | None


@dataclass(frozen=True)
class LightGBMDemand:
    """A Tweedie model of the amount (units, or money) of each item, and quantiles that were right out of time.

    Quantiles are those of held-out truths by predicted mean (`Spread`), centred on the level. On Complete
    Journey, 14 days from 2017-10-22, with one and the same mean, pinball loss was .2241 so, .2262 without
    centring (and bins of .15), .2252 as multiples of the mean, .2252 from a negative binomial with a dispersion
    by mean; the deviation of the randomised PIT from uniform .007, .046, .006 and .046.

    As fitted here, pinball loss at 2017-09-24, 2017-10-08, 2017-10-22 was .2188, .2107, .2268, against .2381,
    .2240, .2430 of the 56-day mean; PIT deviation .025, .038, .023; the total of means >= 1 over what came
    1.061, 1.086, .949: the shop's level moves more from week to week than 16 cut-offs can tell. With 26
    cut-offs pinball loss and totals were no better (.2195, .2109; 1.068, 1.112).
    """

    name: str = "lightgbm_lags"
    reading: Reading | None = None
    threads: int = 2
    seed: int = 0
    cutoffs: int = 16
    fitted: _Fitted | None = None

    def answers(self, task: Task) -> bool:
        """Amounts of items."""
        return isinstance(task.asks, Everyone) and task.key == ITEM and isinstance(task.answer, Amount)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Choose the number of trees and the spread out of time, then learn from the last `cutoffs` cut-offs.

        Raises TooFewExamples where there are under 20 examples or all truths are the same.
        """
        examples, past = in_order(examples, past)
        truth = examples.truth.cast(float).to_numpy()
        kinds = len(np.unique(truth))
        found = f"{len(truth)} examples, {kinds} distinct truths"
        refuse_too_few(examples.task, found, len(truth), differ=kinds > 1)
        recent = np.flatnonzero(examples.at.is_in(examples.cutoffs[-self.cutoffs :]).to_numpy())
        examples, past, truth = examples.take(recent), past.take(recent), truth[recent]
        earlier, later = held_out(examples)
        weight = self._weights(past)
        needed = distinct(np.concatenate([np.flatnonzero(weight), later]))
        examples, past, truth, weight = examples.take(needed), past.take(needed), truth[needed], weight[needed]
        earlier, later = np.flatnonzero(among(needed, earlier) & (weight > 0)), np.flatnonzero(among(needed, later))
        values, names = self._features(examples, past)
        table = _Table(values, names, truth, weight)
        first = self._train(table, None, earlier, later, _MOST_TREES)
        many = len(earlier) >= _FEW_ROWS
        start, trees = (None, first) if many else self._started(table, first, earlier, later, examples.asked)
        learn = np.flatnonzero(weight)
        booster = None if trees is None else self._train(table, start, learn, None, max(trees.best_iteration, 1))
        begin = start and MixedRates.of(values[learn], names, truth[learn], weight[learn])
        # A few weights bend to no single row, so what they missed of all rows tells the spread; trees do.
        known, mean = (learn, begin) if trees is None else (later, start)
        spread = Spread.of(
            _mean(trees, mean, values[known], names, self.threads), truth[known], whole=is_whole(truth), centred=True
        )
        return replace(self, fitted=_Fitted(names, booster, spread, begin))

    def _started(
        self, table: _Table, trees: lightgbm.Booster, earlier: Array, later: Array, items: pl.Series
    ) -> tuple[MixedRates | None, lightgbm.Booster | None]:
        """The best on the held-out rows of trees from nothing, a mixture of plain rates, and trees from that on.

        Their number was chosen on the same rows: they have to lead the mixture by two standard errors, item by item.
        """
        start = MixedRates.of(table.values[earlier], table.names, table.truth[earlier], table.weight[earlier])
        further = self._train(table, start, earlier, later, _MOST_TREES)
        losses = [
            _loss(_mean(booster, begin, table.values[later], table.names, self.threads), table.truth[later])
            for booster, begin in ((None, start), (further, start), (trees, None))
        ]
        begin, booster, loss = min(
            ((start, further, losses[1]), (None, trees, losses[2])), key=lambda tried: float(tried[2].mean())
        )
        lead = pl.DataFrame({"item": items[later], "lead": losses[0] - loss}).group_by("item").mean()["lead"].to_numpy()
        error = float(lead.std()) / np.sqrt(len(lead))
        return (begin, booster) if float(lead.mean()) > 2 * error else (start, None)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Mean and QUANTILES, (n, 20)."""
        fitted = self._fitted()
        values, names = self._features(examples, past)
        values = aligned(values, names, fitted.names)
        mean = _mean(fitted.booster, fitted.start, values, fitted.names, self.threads)
        scores = np.column_stack([mean, fitted.spread.around(mean)])  # (n, 1 + 19)
        return Scores(examples.task.answer, scores.astype(np.float32))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and JSON-able settings that `from_state` takes; the reading is kept by who made it."""
        fitted = self._fitted()
        arrays, spread = fitted.spread.state()
        return arrays, {
            "name": self.name,
            "threads": self.threads,
            "seed": self.seed,
            "cutoffs": self.cutoffs,
            "columns": list(fitted.names),
            "booster": None if fitted.booster is None else fitted.booster.model_to_string(),
            "spread": spread,
            "start": None if fitted.start is None else fitted.start.state(),
        }

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any], reading: Reading | None = None) -> Self:
        """The fitted predictor that `state` described."""
        fitted = _Fitted(
            tuple(settings["columns"]),
            settings["booster"] and lightgbm.Booster(model_str=settings["booster"]),
            Spread.from_state(arrays, settings["spread"]),
            None if settings.get("start") is None else MixedRates.from_state(settings["start"]),
        )
        return cls(settings["name"], reading, settings["threads"], settings["seed"], settings["cutoffs"], fitted)

    def _fitted(self) -> _Fitted:
        if self.fitted is None:
            raise ConfigError(f"{self.name} has not learned yet.", mend="Call fit first, and use what it returns.")
        return self.fitted

    def _weights(self, past: Past) -> Array:
        """What each row counts when learning: 1 where something was sold lately, else 0 but for a few drawn."""
        quiet = past.count(_QUIET_DAYS) == 0
        if quiet.sum() < _MANY_QUIET:
            return np.ones(len(quiet))
        drawn = np.random.default_rng(self.seed).random(len(quiet)) < 1 / _QUIET_WEIGHT
        return np.where(quiet, np.where(drawn, float(_QUIET_WEIGHT), 0.0), 1.0)

    def _features(self, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        values, names = lagged(examples, past)
        if self.reading is None:
            return values, names
        read, read_names = self.reading.columns(examples.task, examples.hide(), past)
        return np.column_stack([values, read]).astype(np.float32), (*names, *read_names)

    def _train(
        self, table: _Table, start: MixedRates | None, learn: Array, judge: Array | None, trees: int
    ) -> lightgbm.Booster:
        leaf = max(5, min(100, len(learn) // 50))
        parameters = {**_PARAMETERS, "min_data_in_leaf": leaf, "num_threads": self.threads, "seed": self.seed}
        learned = table.rows(learn, start)
        if judge is None:
            return lightgbm.train(parameters, learned, trees)
        stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
        later = table.rows(judge, start, learned)
        return lightgbm.train(parameters, learned, trees, valid_sets=[later], callbacks=[stop])


@dataclass(frozen=True, eq=False)
class _Table:
    """Features (n, columns) by name, truths (n,) and how much each row counts (n,)."""

    values: Array
    names: tuple[str, ...]
    truth: Array
    weight: Array

    def rows(self, some: Array, start: MixedRates | None, like: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        """Some rows to learn from, by weight; to judge by, all alike, where they are `like` those learned from."""
        begin = None if start is None else np.log(start.mean(self.values[some], self.names))
        weight = self.weight[some] if like is None else None
        return lightgbm.Dataset(
            self.values[some], self.truth[some], weight=weight, init_score=begin, reference=like, free_raw_data=False
        )


def _mean(
    booster: lightgbm.Booster | None, start: MixedRates | None, values: Array, names: tuple[str, ...], threads: int
) -> Array:
    """The mean that trees foresee, from their start on, or the start alone, (n,)."""
    if start is None:
        assert booster is not None, "fit first"
        return np.asarray(booster.predict(values, num_threads=threads))
    mean = start.mean(values, names)
    return mean if booster is None else mean * np.exp(booster.predict(values, raw_score=True, num_threads=threads))


def _loss(mean: Array, truth: Array) -> Array:
    """The Tweedie loss that the trees lessen, row by row."""
    power = _PARAMETERS["tweedie_variance_power"]
    mean = np.maximum(mean, 1e-9)
    return np.asarray(mean ** (2 - power) / (2 - power) - truth * mean ** (1 - power) / (1 - power))


_PARAMETERS: dict[str, Any] = {
    "objective": "tweedie",
    "tweedie_variance_power": 1.3,
    "learning_rate": 0.07,
    "num_leaves": 31,
    "max_bin": 127,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}


# By whether it is units that are counted, or money.
_ONCE = {True: Once(), False: Once()}


def lagged(examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
    """Features (n, k) float32 of the asked items, and their names.

    The item's own lags, prices and buyers, and the level and growth of its category, department and
    brand over everything the shop sold. NaN says that there is nothing to measure.
    """
    units = examples.task.answer == Amount("units")
    return _ONCE[units].of(past, lambda: _lagged(examples, past, units=units))


def _lagged(examples: Examples, past: Past, *, units: bool) -> tuple[Array, tuple[str, ...]]:
    items = past.items
    groups = {name: group_codes(items[name]) for name in _GROUPS if name in items.columns}
    at = examples.at.dt.epoch("us").to_numpy()
    parts, order = [], []
    names: tuple[str, ...] = ()
    for instant, time in zip(distinct(at), examples.cutoffs, strict=True):
        asked = np.flatnonzero(at == instant)
        # What the shop sold of every item before this time, per window: (items, 3).
        amounts = sold(past, time, items[ITEM], units=units)
        looks = looked(past, time, items[ITEM], units=units)
        for rows in (asked[some] for some in chunks(past.lengths[asked])):
            here = past.take(rows)
            columns = _own(here, units=units) | _groups(here.code, amounts, groups)
            columns |= {name: np.where(here.code >= 0, of[here.code], 0.0) for name, of in looks.items()}
            parts.append(np.column_stack(list(columns.values())).astype(np.float32))
            order.append(rows)
            names = tuple(columns)
    values = np.empty((len(examples), len(names)), dtype=np.float32)
    values[np.concatenate(order)] = np.concatenate(parts)
    return values, names


def _own(past: Past, *, units: bool) -> dict[str, Array]:
    """An item's own lags. A week is seven days counted back from the time asked at."""
    n = len(past)
    rows = past.rows()
    buys = bought(rows, past.event_types)
    example, age = rows.example[buys], rows.age[buys]
    value = (rows.quantity if units else rows.amount)[buys].astype(np.float64)
    total = by_window(example, age, value, n)
    lines = by_window(example, age, None, n)
    money = by_window(example, age, rows.amount[buys], n)
    buyers = distinct_by_window(example, age, rows.user[buys].astype(np.int64), n)
    columns = {f"amount_{label}": total[:, i] for i, label in enumerate(LABELS)}
    columns |= {f"lines_{label}": lines[:, i] for i, label in enumerate(LABELS)}
    columns |= {f"buyers_{label}": buyers[:, i] for i, label in enumerate(LABELS) if label in ("14d", "56d", "all")}
    for half_life in _HALF_LIVES:
        columns[f"amount_half_{half_life:g}d"] = decayed(example, age, value, half_life, n)
    newest, oldest = np.full(n, np.nan), np.full(n, np.nan)
    newest[example] = age
    oldest[example[::-1]] = age[::-1]
    columns |= {"recency": newest, "tenure": oldest, "amount_per_line": ratio(total[:, -1], lines[:, -1])}
    columns["amount_per_day"] = total[:, -1] / np.maximum(np.nan_to_num(oldest), 14.0)
    week = np.minimum(np.floor(age / 7).astype(np.int64), _WEEKS)
    weekly = np.bincount(example * (_WEEKS + 1) + week, value, n * (_WEEKS + 1)).reshape(n, -1)[:, :_WEEKS]
    columns |= {f"week_{back + 1}": weekly[:, back] for back in range(6)}
    columns["weekly_std"], columns["weekly_max"] = weekly.std(axis=1), weekly.max(axis=1)
    columns["weekly_median"] = np.median(weekly, axis=1)
    columns["weeks_sold"] = (weekly > 0).sum(axis=1)
    columns["trend_14d_56d"] = ratio(total[:, 1] * 4, total[:, 3])
    columns["trend_56d_168d"] = ratio(total[:, 3] * 3, total[:, 5])
    pieces = by_window(example, age, rows.quantity[buys], n)
    price = ratio(money[:, -1], pieces[:, -1])
    columns |= {"price": price, "price_level_28d": ratio(ratio(money[:, 2], pieces[:, 2]), price)}
    for name, values in rows.extra.items():
        extra = by_window(example, age, values[buys], n)
        columns |= {f"{name}_share_28d": ratio(extra[:, 2], money[:, 2])}
        columns |= {f"{name}_share_14d": ratio(extra[:, 1], money[:, 1])}
        columns |= {f"{name}_share_all": ratio(extra[:, -1], money[:, -1])}
    return columns


def sold(past: Past, at: Any, items: pl.Series, *, units: bool) -> Array:
    """What the shop sold of each item in the last 14, 28 and 84 days, (items, 3)."""
    shop = past.shop(at)
    columns = []
    for length in _GROUP_DAYS:
        events = shop.between(at - timedelta(days=length), at)
        if BUY in past.event_types:
            events = events.filter(pl.col(TYPE) == BUY)
        code = codes(events[ITEM], items)
        name = QUANTITY if units else AMOUNT
        value = events[name].cast(pl.Float64).fill_null(0).to_numpy() if name in events.columns else None
        known = code >= 0
        weight = None if value is None else value[known]
        columns.append(np.bincount(code[known], weight, minlength=len(items)))
    return np.stack(columns, axis=1)


def _groups(code: Array, sold: Array, groups: dict[str, Array]) -> dict[str, Array]:
    """Level and growth of all that an item's groups sold, and the item's share of it.

    Not the growth of the whole shop: it is one number a cut-off, by which trees learn cut-offs by heart
    (on 2017-10-22 the total came out 3.1 % too high with it and exact without).
    """
    columns: dict[str, Array] = {}
    item = np.maximum(code, 0)
    for name, group in groups.items():
        width = int(group.max(initial=0)) + 1
        known = group >= 0
        own = np.where(code >= 0, group[item], -1)
        level = np.stack([np.bincount(group[known], each[known], width) for each in sold.T], axis=1)
        size = np.bincount(group[known], (sold[:, 2] > 0)[known], width)
        of = np.where((own >= 0)[:, None], level[np.maximum(own, 0)], np.nan)  # (n, 3)
        columns[f"{name}_amount_28d"] = of[:, 1]
        columns[f"{name}_growth_14d"] = ratio(of[:, 0] * 6, of[:, 2])
        columns[f"{name}_growth_28d"] = ratio(of[:, 1] * 3, of[:, 2])
        columns[f"{name}_amount_per_item_28d"] = ratio(of[:, 1], np.where(own >= 0, size[np.maximum(own, 0)], np.nan))
        columns[f"{name}_share_84d"] = ratio(np.where(code >= 0, sold[item, 2], np.nan), of[:, 2])
    return columns
