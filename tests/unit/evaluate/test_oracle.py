"""The oracle is right about its own shop, cannot see the future, and is a ceiling that a cheat breaks through."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently import metrics
from intently.baselines.constant import Constant
from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.baselines.mean_56_days import Mean56Days
from intently.baselines.own_shares import OwnShares
from intently.baselines.repeat_purchase import RepeatPurchase
from intently.contract import QUANTILES, Amount, Examples, Past, Ranking, Scores, Shares, Task, YesNo, share_matrix
from intently.errors import ConfigError
from intently.evaluate.compare import Report, compare
from intently.evaluate.oracle import Oracle, best_shares, skill
from intently.log import toy_shop
from intently.log.log import Log
from intently.log.toy_planted import Planted
from intently.metrics import amount
from intently.tasks import BUILT_IN, demand, interest, next_item, purchase_intent, purchasing_power

WEEK = timedelta(days=7)
UNTIL = toy_shop.START + 24 * WEEK
CUTOFFS = [UNTIL + week * WEEK for week in range(5)]
TASKS = {task.name: task for task in BUILT_IN}


@pytest.fixture(scope="module")
def shop() -> tuple[Log, Planted]:
    return toy_shop.plant(600, 32 * 7, seed=5)


@pytest.fixture(scope="module")
def asked(shop) -> dict[str, Examples]:
    return {name: task.examples(shop[0], CUTOFFS) for name, task in TASKS.items()}


@pytest.fixture(scope="module")
def bayes(shop, asked) -> dict[str, Scores]:
    oracle = Oracle(shop[1], replicates=150)
    return {name: oracle.answer(TASKS[name], examples) for name, examples in asked.items()}


def apart(examples: Examples, horizon: timedelta) -> np.ndarray:
    """The rows of cut-offs whose windows do not overlap: independent of each other, given the oracle."""
    step = -(-horizon // WEEK)
    chosen = pl.Series(examples.cutoffs[::step]).implode()
    return examples.frame.select(pl.col("at").is_in(chosen)).to_series().to_numpy()


# --- The oracle's own chances come true. ---


def test_purchases_come_as_often_as_foreseen(asked, bayes):
    truth = asked["purchase_intent"].truth.cast(pl.Float64).to_numpy()
    chance = bayes["purchase_intent"].values[:, 0].astype(float)
    for part in (np.arange(len(chance)), *np.array_split(np.argsort(chance), 10)):
        error = np.sqrt((chance[part] * (1 - chance[part])).sum())
        assert abs((truth[part] - chance[part]).sum()) < 4 * error
    # A right chance has the log loss of its own entropy; one that is too sure or too shy has more.
    entropy = -(chance * np.log(chance) + (1 - chance) * np.log1p(-chance))
    spread = np.sqrt((chance * (1 - chance) * np.log(chance / (1 - chance)) ** 2).sum())
    loss = -np.log(np.where(truth > 0, chance, 1 - chance))
    assert abs((loss - entropy).sum()) < 4 * spread


def test_money_comes_as_foreseen(asked, bayes, shop):
    task, scores = asked["purchasing_power"], bayes["purchasing_power"]
    some = apart(task, TASKS["purchasing_power"].horizon)
    truth, values = task.truth.to_numpy()[some], scores.values[some].astype(float)
    _, planted = shop
    day = planted.day(task.cutoffs[0])
    totals = np.zeros((600, 200))
    for lines in planted.drawn(day, 28, np.repeat(np.arange(600), 200), np.random.default_rng(8)):
        np.add.at(totals.reshape(-1), lines.column, lines.amount)
    # The shop's whole sum, with the spread that the process itself gives it.
    assert abs(totals.sum(axis=0).mean() - planted.spend(day, 28).sum()) < 4 * totals.sum(axis=0).std() / np.sqrt(200)
    spread = np.sqrt(totals.var(axis=1).sum() * some.mean() * len(task.cutoffs))
    assert abs(truth.sum() - values[:, 0].sum()) < 4 * spread
    for level in (0.5, 0.75, 0.9, 0.95):
        quantile = values[:, 1 + QUANTILES.index(level)]
        # Zero has weight of its own: where the quantile is zero, at least `level` is foreseen.
        inside = (truth <= quantile)[quantile > 0]
        assert abs(inside.mean() - level) < 4 * np.sqrt(level * (1 - level) / len(inside)) + 0.01


def test_units_of_items_come_as_foreseen(asked, bayes):
    examples, scores = asked["demand"], bayes["demand"]
    some = apart(examples, TASKS["demand"].horizon)
    truth, values = examples.truth.to_numpy()[some], scores.values[some].astype(float)
    # Units of a line are 1 + Poisson(0.3): their sum has variance mean x E[units^2] / E[units].
    for part in (np.arange(len(truth)), *np.array_split(np.argsort(values[:, 0]), 5)):
        foreseen = values[part, 0].sum()
        assert abs(truth[part].sum() - foreseen) < 4 * np.sqrt(foreseen * 1.99 / 1.3)
    assert amount.randomised_pit_deviation(truth, values, np.random.default_rng(1)) < 0.06


def test_closed_forms_agree_with_draws_of_the_process(shop):
    _, planted = shop
    day, days, windows = planted.day(UNTIL), 28, 400
    who = np.flatnonzero(planted.process.customers.rate > 0.5)[:20]
    items, any_ = np.zeros((len(who) * windows, 12)), np.zeros(len(who) * windows)
    for lines in planted.drawn(day, days, np.repeat(who, windows), np.random.default_rng(2)):
        np.add.at(items, (lines.column, lines.item // 25), 1)
        any_[np.unique(lines.column)] = 1
    mean = items.reshape(len(who), windows, 12)
    expected = planted.items(day, days)[who].reshape(len(who), 12, 25).sum(axis=2)
    assert np.abs((mean.mean(axis=1) - expected) / (mean.std(axis=1) / np.sqrt(windows) + 1e-2)).max() < 4.5
    chance = planted.any_purchase(day, days)[who]
    error = np.sqrt(chance * (1 - chance) / windows) + 1e-3
    assert (np.abs(any_.reshape(len(who), windows).mean(axis=1) - chance) < 4 * error).all()
    assert planted.lines(day, days).sum() == pytest.approx(planted.items(day, days).sum())


def test_best_shares_are_better_than_the_mean_and_than_their_neighbours():
    rng = np.random.default_rng(3)
    theta = np.array([0.55, 0.25, 0.1, 0.06, 0.04])
    counts = rng.multinomial(rng.integers(1, 4, 4000)[:, None].ravel(), theta)
    shares = counts / counts.sum(axis=1, keepdims=True)
    js = metrics.of("Shares", ["jensen_shannon"])[0]

    def loss(q: np.ndarray) -> float:
        return js.value(shares, np.tile(q, (len(shares), 1)))

    best = best_shares(counts, theta)
    assert best.sum() == pytest.approx(1)
    assert loss(best) < loss(theta) - 1e-3
    for i in range(5):
        for j in range(5):
            near = best + 0.01 * (np.eye(5)[i] - np.eye(5)[j])
            assert loss(np.maximum(near, 1e-9) / np.maximum(near, 1e-9).sum()) >= loss(best) - 1e-6


# --- It knows the state at `at`, and nothing later. ---


def test_what_is_drawn_later_does_not_change_an_answer(shop, asked):
    _, planted = shop
    day = planted.day(CUTOFFS[0])
    rng = np.random.default_rng(0)
    states, pairs = planted.states.copy(), planted.pairs.copy()
    states[day + 1 :] = rng.integers(2, size=states[day + 1 :].shape)
    pairs[day + 1 :] = rng.integers(144, size=pairs[day + 1 :].shape)
    other = replace(planted, states=states, pairs=pairs)
    for name, task in TASKS.items():
        first = asked[name].where(pl.col("at") == CUTOFFS[0]).take(np.arange(40))
        a, b = (Oracle(one, replicates=20).answer(task, first.hide()) for one in (planted, other))
        assert np.array_equal(a.values, b.values), name
        assert a.ids is None or np.array_equal(a.ids, b.ids)


def test_a_truth_that_was_not_planted_is_refused(shop, asked):
    other = replace(purchase_intent.TASK, name="tea_again")
    with pytest.raises(ConfigError, match="No truth was planted for tea_again"):
        Oracle(shop[1]).answer(other, asked["purchase_intent"])


# --- The ceiling can be broken: by a cheat, and by nothing honest. ---


def told(examples: Examples, honest: Scores, some: np.ndarray) -> Scores:
    """The honest answers, but the truth itself for `some` of the rows."""
    values, ids = honest.values.copy(), None if honest.ids is None else honest.ids.copy()
    match examples.task.answer:
        case YesNo():
            values[some, 0] = examples.truth.cast(pl.Float32).to_numpy()[some].clip(0.01, 0.99)
        case Amount():
            values[some] = examples.truth.cast(pl.Float32).to_numpy()[some, None]
        case Shares():
            values[some] = share_matrix(examples.truth, honest.labels)[some]
        case Ranking():
            assert ids is not None
            for row in np.flatnonzero(some):
                bought = examples.truth[int(row)].to_list()
                ids[row] = [*bought, *[item for item in ids[row] if item not in bought]][: ids.shape[1]]
        case _:
            raise AssertionError
    return replace(honest, values=values, ids=ids)


def judged(task: Task, examples: Examples, predictions: dict[str, Scores]) -> Report:
    return compare(task, examples, predictions, replicates=200, rng=np.random.default_rng(0))


@pytest.mark.parametrize("name", list(TASKS))
def test_who_sees_a_part_of_the_future_lands_above_the_ceiling(name, asked, bayes):
    examples = asked[name]
    some = np.random.default_rng(4).random(len(examples)) < 0.25
    report = judged(TASKS[name], examples, {"bayes": bayes[name], "cheat": told(examples, bayes[name], some)})
    assert report.beats("cheat", "bayes") == "better"


BASELINES = {
    purchase_intent.TASK.name: LightGBMCustomer(),
    purchasing_power.TASK.name: Mean56Days(),
    interest.TASK.name: OwnShares(),
    next_item.TASK.name: RepeatPurchase(),
    demand.TASK.name: Mean56Days(),
}


@pytest.mark.parametrize("name", list(TASKS))
def test_an_honest_baseline_lands_between_the_constant_and_the_ceiling(name, shop, asked, bayes):
    log, task = shop[0].before(UNTIL), TASKS[name]
    earlier = task.examples(log, [UNTIL - task.horizon - week * WEEK for week in range(6)])
    predictions = {"bayes": bayes[name]}
    for made in (Constant(), replace(BASELINES[name], name="baseline")):
        fitted = made.fit(earlier, Past(log, earlier))
        predictions[made.name] = fitted.predict(asked[name].hide(), Past(shop[0], asked[name]))
    report = judged(task, asked[name], predictions)
    assert report.beats("baseline", "constant") == "better"
    assert report.beats("baseline", "bayes") == "worse"


def test_skill_is_one_for_the_oracle_and_none_for_the_constant():
    loss, gain = metrics.of("YesNo", ["log_loss", "auroc"])
    assert skill(loss, 0.4, 0.7, 0.4) == 1.0
    assert skill(loss, 0.7, 0.7, 0.4) == 0.0
    assert skill(loss, 0.43, 0.7, 0.4) == pytest.approx(0.9)
    assert skill(gain, 0.81, 0.5, 0.9) == pytest.approx(0.9)
