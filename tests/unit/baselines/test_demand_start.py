"""The start of demand: plain rules weighed, and looks weighed by what lookers buy."""

import numpy as np
import polars as pl

from intently.baselines.lightgbm_demand import LightGBMDemand
from intently.baselines.lookers import looked
from intently.baselines.mean_56_days import Mean56Days
from intently.baselines.mixed_rates import MixedRates
from intently.contract import Past, weekly
from intently.log.log import Log
from intently.metrics.amount import pinball
from intently.tasks import demand
from small_logs import START, day, tiny


def test_weights_are_those_that_the_truths_were_made_with() -> None:
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, 10.0, (4000, 3))
    names = ("amount_14d", "recency", "looked_half_7d")
    mean = 3.0 * values[:, 0] / 14 + 0.5 * values[:, 2] + 0.2
    truth = rng.poisson(mean).astype(float)
    found = MixedRates.of(values, names, truth, np.ones(len(truth)))
    assert found.names == ("amount_14d", "looked_half_7d")
    np.testing.assert_allclose(found.weights, [3.0, 0.5], rtol=0.05)
    np.testing.assert_allclose(found.mean(values, names).mean(), truth.mean(), rtol=1e-3)
    again = MixedRates.from_state(found.state())
    np.testing.assert_array_equal(again.mean(values, names), found.mean(values, names))


def test_a_row_of_weight_ten_counts_like_ten_rows() -> None:
    rng = np.random.default_rng(0)
    values, truth = rng.gamma(2.0, 10.0, (300, 1)), rng.poisson(5.0, 300).astype(float)
    weight = rng.integers(1, 10, 300)
    once = MixedRates.of(values, ("amount_28d",), truth, weight.astype(float))
    rows = np.repeat(np.arange(300), weight)
    many = MixedRates.of(values[rows], ("amount_28d",), truth[rows], np.ones(len(rows)))
    np.testing.assert_allclose(once.weights, many.weights, rtol=1e-3)


def test_a_look_counts_what_its_customer_buys_a_look() -> None:
    log = tiny()
    asked = demand.TASK.questions(log, day(26))
    past = Past(log, asked)
    found = looked(past, day(26), past.items["item_id"], units=True)["looked_half_7d"]
    # Ann bought 5 units at one look, bo 4 at one, cy none at two; all of them 9 at four looks.
    usual = 9 / 4
    ann, bo, cy = ((own + 20 * usual) / (looks + 20) for own, looks in ((5, 1), (4, 1), (0, 2)))
    weighs = 7 / np.log(2) * (1 - 2 ** (-26 / 7))
    expected = [ann * 2 ** (-25.5 / 7) + bo * 2 ** (-16 / 7), 0.0, cy * 2 ** (-23 / 7), cy * 2 ** (-1 / 7)]
    np.testing.assert_allclose(found, np.array(expected) / weighs, rtol=1e-6)


def test_a_log_of_purchases_alone_has_no_lookers() -> None:
    log = tiny()
    bought = Log.of(log.events.filter(pl.col("event_type") == "buy"), log.items)
    asked = demand.TASK.questions(bought, day(19))
    assert looked(Past(bought, asked), day(19), Past(bought, asked).items["item_id"], units=True) == {}


def window() -> Log:
    """Eighty items whose looks rise and fall by the month; one look in ten buys."""
    rng = np.random.default_rng(3)
    rows = []
    for item in range(80):
        phase = rng.random() * 60
        for today in range(182):
            rate = 3 * np.exp(1.5 * np.sin((today + phase) / 60 * 2 * np.pi))
            for _ in range(rng.poisson(rate)):
                user, when = int(rng.integers(50)), day(today + rng.random() * 0.9)
                rows.append((user, item, "view", when, None, None))
                if rng.random() < 0.1:
                    rows.append((user, item, "buy", when, 1.0, 2.0))
    names = ["user_id", "item_id", "event_type", "timestamp", "quantity", "amount"]
    events = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    items = pl.DataFrame({"item_id": range(80), "title": "thing"})
    return Log.of(events, items, observed_from=START, observed_until=day(182))


def test_demand_that_moves_with_looks_is_foreseen_by_them() -> None:
    log, at = window(), day(168)
    known = log.before(at)
    examples = demand.TASK.examples(known, weekly(day(70), day(154)))
    past = Past(known, examples)
    asked = demand.TASK.examples(log, [at])
    now = Past(log, asked.hide())
    truth = asked.truth.cast(float).to_numpy()

    def loss(model: LightGBMDemand | Mean56Days) -> float:
        return float(pinball(truth, model.fit(examples, past).predict(asked.hide(), now).values).mean())

    ours = LightGBMDemand(threads=1).fit(examples, past)
    assert ours.fitted is not None
    assert ours.fitted.start is not None
    assert loss(LightGBMDemand(threads=1)) < 0.8 * loss(Mean56Days())
    arrays, settings = ours.state()
    again = LightGBMDemand.from_state(arrays, settings)
    np.testing.assert_array_equal(again.predict(asked.hide(), now).values, ours.predict(asked.hide(), now).values)
