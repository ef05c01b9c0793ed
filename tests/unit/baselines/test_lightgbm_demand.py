"""LightGBM on lags: features by hand, planted rates, repetition and saving."""

import json

import numpy as np
import polars as pl
import pytest

from intently.baselines.lightgbm_demand import LightGBMDemand, lagged
from intently.contract import Past, Scores
from intently.errors import ConfigError, TooFewExamples
from intently.log.log import Log
from intently.log.pack import Array
from intently.tasks import demand, purchasing_power
from small_logs import day

TASK = demand.TASK
CUTOFFS = [day(number) for number in range(40, 120, 7)]
NOW = day(126)


def shelf() -> Log:
    """60 items over 140 days; item i sells (i % 6)**2 / 7 + 0.02 units a day."""
    rng = np.random.default_rng(5)
    rows = []
    for item in range(60):
        for today in range(140):
            units = int(rng.poisson((item % 6) ** 2 / 7 + 0.02))
            rows += [(int(rng.integers(40)), item, day(today + rng.random()), 1.0, 2.0 + item) for _ in range(units)]
    names = ["user_id", "item_id", "timestamp", "quantity", "amount"]
    events = pl.DataFrame(rows, schema=names, orient="row").with_columns(event_type=pl.lit("buy"))
    items = pl.DataFrame({"item_id": range(60), "title": "thing", "category": [f"c{item % 3}" for item in range(60)]})
    return Log.of(events, items, observed_from=day(0), observed_until=day(140))


LOG = shelf()


@pytest.fixture(scope="module")
def model() -> LightGBMDemand:
    return fitted()


def fitted() -> LightGBMDemand:
    examples = TASK.examples(LOG.before(NOW), CUTOFFS)
    return LightGBMDemand(threads=1).fit(examples, Past(LOG.before(NOW), examples))


def answered(model: LightGBMDemand) -> tuple[Scores, Array]:
    examples = TASK.examples(LOG, [NOW])
    questions = examples.hide()
    return model.predict(questions, Past(LOG, questions)), examples.truth.to_numpy()


def test_an_items_numbers_by_hand(tiny_log: Log):
    questions = TASK.questions(tiny_log, day(21))
    values, names = lagged(questions, Past(tiny_log, questions))
    found = dict(zip(names, values.T, strict=True))
    assert questions.asked.to_list() == [1, 2, 3]
    assert found["amount_all"].tolist() == [6, 2, 1]
    assert found["amount_14d"].tolist() == [4, 0, 1]
    assert found["buyers_all"].tolist() == [2, 2, 1]
    assert found["recency"].tolist() == [1, 19, 12]
    assert found["tenure"].tolist() == [20, 20, 12]
    assert found["price"].tolist() == [5, 3, 20]
    assert found["category_amount_28d"].tolist() == [6, 2, 1]
    assert found["category_growth_14d"].tolist() == [4, 0, 6]
    assert found["week_1"].tolist() == [1, 0, 0]


def test_one_asked_alone_gets_the_same_features():
    examples = TASK.examples(LOG, CUTOFFS[:2])
    together, names = lagged(examples, Past(LOG, examples))
    assert names
    for row in (0, 59, 61, len(examples) - 1):
        one = examples.take(np.array([row]))
        alone, _ = lagged(one, Past(LOG, one))
        np.testing.assert_array_equal(alone[0], together[row])


def test_planted_rates_are_found_in_whole_quantiles(model: LightGBMDemand):
    scores, truth = answered(model)
    assert scores.values[:, 0].sum() == pytest.approx(truth.sum(), rel=0.1)
    planted = np.array([14 * ((item % 6) ** 2 / 7 + 0.02) for item in range(60)])
    asked = TASK.examples(LOG, [NOW]).asked.to_numpy()
    assert np.corrcoef(scores.values[:, 0], planted[asked])[0, 1] > 0.95
    quantiles = scores.values[:, 1:]
    assert (quantiles == np.rint(quantiles)).all()
    inside = (truth >= scores.quantile(0.05)) & (truth <= scores.quantile(0.95))
    assert inside.mean() > 0.8
    assert quantiles[:, -1].mean() < 3 * max(truth.mean(), 1)


def test_twice_fitted_and_saved_and_loaded_it_says_the_same(model: LightGBMDemand):
    scores = answered(model)[0].values
    np.testing.assert_array_equal(answered(fitted())[0].values, scores)
    arrays, settings = model.state()
    again = LightGBMDemand.from_state(arrays, json.loads(json.dumps(settings)))
    np.testing.assert_array_equal(answered(again)[0].values, scores)


def test_nothing_sold_is_too_few_and_no_fit_is_an_error():
    examples = TASK.examples(LOG, CUTOFFS)
    unsold = examples.where(pl.col("truth") == 0)
    with pytest.raises(TooFewExamples, match="1 distinct"):
        LightGBMDemand().fit(unsold, Past(LOG, unsold))
    with pytest.raises(ConfigError, match="not learned"):
        LightGBMDemand().predict(examples.hide(), Past(LOG, examples.hide()))


def test_it_answers_for_items_only():
    assert LightGBMDemand().answers(TASK)
    assert not LightGBMDemand().answers(purchasing_power.TASK)
