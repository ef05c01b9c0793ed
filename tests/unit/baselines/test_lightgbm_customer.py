"""LightGBM on customers: it learns a planted difference, repeats itself, and can be saved."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from intently.baselines.features import windowed
from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.contract import Amount, Examples, Past, Scores, Task
from intently.errors import ConfigError, TooFewExamples
from intently.log.log import Log
from intently.log.pack import Array
from intently.tasks import demand, purchase_intent, purchasing_power
from small_logs import day

CUTOFFS = [day(number) for number in range(30, 100, 7)]
NOW = day(105)


def regulars() -> Log:
    """80 customers over 140 days; the even come every 3 days or so and spend 20, the odd every 30 and spend 4."""
    rng = np.random.default_rng(3)
    rows = []
    for user in range(80):
        often = user % 2 == 0
        time = rng.uniform(0, 5)
        while time < 140:
            rows.append((user, int(rng.integers(9)), day(time), (20.0 if often else 4.0) + rng.normal()))
            time += rng.exponential(3.0 if often else 30.0)
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "amount"], orient="row")
    return Log.of(events.with_columns(event_type=pl.lit("buy")), observed_from=day(0), observed_until=day(140))


LOG = regulars()


def fitted(task: Task, **options: object) -> LightGBMCustomer:
    examples = task.examples(LOG.before(NOW), CUTOFFS)
    return LightGBMCustomer(threads=1, **options).fit(examples, Past(LOG.before(NOW), examples))  # type: ignore[arg-type]


def answered(model: LightGBMCustomer, task: Task) -> tuple[Scores, Array, Examples]:
    examples = task.examples(LOG, [NOW])
    questions = examples.hide()
    return model.predict(questions, Past(LOG, questions)), examples.truth.cast(float).to_numpy(), examples


def test_intent_tells_the_regular_from_the_rare():
    scores, truth, examples = answered(fitted(purchase_intent.TASK), purchase_intent.TASK)
    often = (examples.asked % 2 == 0).to_numpy()
    assert scores.values.shape == (len(truth), 1)
    assert scores.values[often, 0].mean() > 0.8
    assert scores.values[~often, 0].mean() < 0.4


def test_spend_is_right_in_total_and_its_quantiles_hold_it():
    scores, truth, _ = answered(fitted(purchasing_power.TASK), purchasing_power.TASK)
    assert scores.values.shape == (len(truth), 20)
    assert scores.values[:, 0].sum() == pytest.approx(truth.sum(), rel=0.15)
    inside = (truth >= scores.quantile(0.05)) & (truth <= scores.quantile(0.95))
    assert 0.75 < inside.mean() <= 1.0
    assert (np.diff(scores.values[:, 1:], axis=1) >= 0).all()


@pytest.mark.parametrize("task", [purchase_intent.TASK, purchasing_power.TASK], ids=lambda task: task.name)
def test_twice_fitted_and_saved_and_loaded_it_says_the_same(task: Task):
    model = fitted(task)
    scores = answered(model, task)[0].values
    np.testing.assert_array_equal(answered(fitted(task), task)[0].values, scores)
    arrays, settings = model.state()
    again = LightGBMCustomer.from_state(arrays, json.loads(json.dumps(settings)))
    np.testing.assert_array_equal(answered(again, task)[0].values, scores)


def test_one_who_spends_ten_times_what_anybody_did_is_foreseen_above_them():
    model = fitted(purchasing_power.TASK)
    rich = pl.col("user_id") == 0
    paid = pl.when(rich).then(pl.col("amount") * 10).otherwise(pl.col("amount")).alias("amount")
    log = Log.of(LOG.events.with_columns(paid), observed_from=day(0), observed_until=day(140))
    questions = purchasing_power.TASK.examples(log, [NOW]).hide()
    mean = model.predict(questions, Past(log, questions)).values[:, 0]
    as_before = answered(model, purchasing_power.TASK)[0].values[:, 0]
    who = (questions.asked == 0).to_numpy()
    assert mean[who][0] > 1.5 * as_before[who][0]
    assert mean[who][0] > 1.5 * mean[~who].max()


def test_trees_learn_what_their_start_leaves_over():
    model = fitted(purchasing_power.TASK)
    assert model.fitted is not None
    examples = purchasing_power.TASK.examples(LOG.before(NOW), CUTOFFS)
    values, names = windowed(Past(LOG.before(NOW), examples))
    root = np.sqrt(examples.truth.cast(float).to_numpy())
    trees = model.fitted.trees[1]
    assert trees.start is not None
    start, said = trees.start.root(values, names), trees.predict(values, names, 1)
    assert said.mean() == pytest.approx(root.mean(), rel=0.02)
    assert np.abs(said - root).mean() < np.abs(start - root).mean()


@pytest.mark.parametrize(("unit", "first"), [("money", "money"), ("EUR", "money"), ("units", "events")])
def test_an_amount_starts_from_money_but_one_of_units(unit: str, first: str):
    model = fitted(replace(purchasing_power.TASK, answer=Amount(unit)))
    starts = model.state()[1]["starts"]
    assert starts[0] is None
    assert {name.split("_")[0] for name in starts[1]["columns"]} >= {first}
    assert all(name.startswith("money") for name in starts[1]["columns"]) == (first == "money")


def test_one_saved_before_there_were_starts_is_read():
    model = fitted(purchasing_power.TASK)
    arrays, settings = model.state()
    before = {name: value for name, value in settings.items() if name != "starts"}
    again = LightGBMCustomer.from_state(arrays, before)
    assert again.fitted is not None
    assert [trees.start for trees in again.fitted.trees] == [None, None]
    assert np.isfinite(answered(again, purchasing_power.TASK)[0].values).all()


class Parity:
    """A reading that knows what the planted truth is made of."""

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        assert "truth" not in examples.frame.columns
        even = (examples.asked % 2 == 0).cast(float).to_numpy()
        return np.column_stack([even, np.full(len(even), np.nan)]), ("even", "unknown")


def test_a_reading_adds_its_columns_and_nothing_else_changes():
    plain, stack = fitted(purchase_intent.TASK), fitted(purchase_intent.TASK, reading=Parity())
    assert plain.fitted is not None
    assert stack.fitted is not None
    assert stack.fitted.names == (*plain.fitted.names, "even", "unknown")
    assert (answered(stack, purchase_intent.TASK)[0].values != answered(plain, purchase_intent.TASK)[0].values).any()
    assert replace(stack, reading=None, fitted=None) == replace(plain, fitted=None)


def test_one_class_is_too_few_and_no_fit_is_an_error():
    examples = purchase_intent.TASK.examples(LOG, CUTOFFS)
    bought = examples.where(pl.col("truth"))
    with pytest.raises(TooFewExamples, match="1 distinct"):
        LightGBMCustomer().fit(bought, Past(LOG, bought))
    with pytest.raises(ConfigError, match="not learned"):
        LightGBMCustomer().predict(examples.hide(), Past(LOG, examples.hide()))


def test_it_answers_for_customers_only():
    assert LightGBMCustomer().answers(purchase_intent.TASK)
    assert LightGBMCustomer().answers(purchasing_power.TASK)
    assert not LightGBMCustomer().answers(demand.TASK)
