"""Past spend by hand, and the level it is brought to."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.level import level
from intently.baselines.past_spend import PastSpend, least, spent
from intently.contract import Examples, Past
from intently.errors import ConfigError, TooFewExamples
from intently.log.log import Log
from intently.metrics.amount import spearman
from intently.tasks import demand, purchase_intent, purchasing_power
from small_logs import day

TASK = replace(purchasing_power.TASK, name="two_weeks", horizon=timedelta(days=14))


def growing(change: float = 1.0, days: int = 112) -> Log:
    """30 customers who buy every week for their number of euros; from day 56 on for `change` times as much."""
    rows = [
        (f"c{user:02}", "buy", day(week * 7 + user % 5 + 0.5), (1 + user) * (change if week >= 8 else 1.0))
        for user in range(30)
        for week in range(days // 7)
    ]
    events = pl.DataFrame(rows, schema=["user_id", "event_type", "timestamp", "amount"], orient="row")
    return Log.of(events.with_columns(item_id=pl.lit("i")), observed_from=day(0), observed_until=day(days))


def test_spend_is_halved_with_age_and_net_of_returns():
    rows = [
        ("a", "buy", day(0), 40.0),
        ("a", "buy", day(10), 8.0),
        ("a", "return", day(10), 3.0),
        ("b", "buy", day(5), 9.0),
        ("b", "return", day(6), -90.0),
        ("c", "view", day(7), 5.0),
    ]
    log = Log.of(pl.DataFrame(rows, schema=["user_id", "event_type", "timestamp", "amount"], orient="row"))
    questions = TASK.questions(replace(log, observed_until=day(30)), day(20))
    assert questions.asked.to_list() == ["a", "b", "c"]
    np.testing.assert_allclose(spent(Past(log, questions), 10.0), [40 / 4 + 5 / 2, 0, 0], rtol=1e-6)


def test_a_steady_shop_is_foreseen_to_a_hundredth():
    log = growing()
    lessons = TASK.examples(log.before(day(84)), [day(number) for number in range(28, 71, 7)])
    model = PastSpend().fit(lessons, Past(log.before(day(84)), lessons))
    asked = TASK.examples(log, [day(84)])
    scores = model.predict(asked.hide(), Past(log, asked.hide())).values
    assert scores[:, 0].sum() == pytest.approx(asked.truth.sum(), rel=0.01)
    assert spearman(asked.truth.to_numpy(), scores) > 0.99


def test_the_level_is_that_of_the_last_horizon_not_of_the_training_windows():
    # Prices rise by half on day 56; every window learned from lies before that or across it.
    log = growing(change=1.5)
    known = log.before(day(84))
    lessons = TASK.examples(known, [day(14), day(21), day(28)])
    past = Past(log, replace(lessons, frame=lessons.frame))
    early = level(lessons, past, lambda _, now: spent(now, 1e6))
    late = TASK.examples(known, [day(28), day(70)])
    found = level(late, Past(known, late), lambda asked, now: np.ones(len(asked)))
    # 30 customers, two weeks: 465 a week at the old prices, 697.5 at the new.
    assert found * 30 == pytest.approx(2 * 697.5, rel=0.02)
    assert early * 465 * 6 == pytest.approx(2 * 465, rel=0.02)


def test_what_windows_add_to_the_horizon_before_them_is_believed_by_half():
    # One whole window: the truth is 1.5 times the two weeks before it, so the level is 1.25 times the last two weeks.
    log = growing(change=1.5)
    known = log.before(day(70))
    lessons = TASK.examples(known, [day(56)])
    found = level(lessons, Past(known, lessons), lambda asked, now: np.ones(len(asked)))
    assert found * 30 == pytest.approx(1.25 * 2 * 697.5, rel=0.01)


def test_a_log_shorter_than_a_horizon_before_its_windows_is_taken_as_it_is():
    log = growing()
    known = log.before(day(24))
    lessons = TASK.examples(known, [day(10)])
    found = level(lessons, Past(known, lessons), lambda asked, now: np.ones(len(asked)))
    shop = known.between(day(10), day(24))["amount"].sum()
    assert found * 30 == pytest.approx(shop, rel=1e-6)


def test_the_level_is_that_of_what_is_asked_not_of_money():
    """Orders are counted: two in two weeks, whatever they cost."""
    log = growing(change=1.5)
    orders = replace(TASK, truth=pl.col("amount").count())
    lessons = orders.examples(log.before(day(84)), [day(42), day(56), day(70)])
    assert level(lessons, Past(log, lessons), lambda asked, now: np.ones(len(asked))) == pytest.approx(2, rel=0.05)


def test_where_silence_is_no_answer_the_level_is_that_of_those_who_answered():
    """One in three comes back within two weeks, for 50 each time; who does not is not asked about."""
    rows = [
        (f"c{user:02}", "buy", day(week * 7 + user / 30), 50.0)
        for user in range(30)
        for week in range(16)
        if (week // 2 + user) % 3 == 0
    ]
    events = pl.DataFrame(rows, schema=["user_id", "event_type", "timestamp", "amount"], orient="row")
    log = Log.of(events, observed_from=day(0), observed_until=day(112))
    mean = replace(TASK, truth=pl.col("amount").mean(), absent=None)
    lessons = mean.examples(log, [day(56), day(70), day(84)])
    assert level(lessons, Past(log, lessons), lambda asked, now: np.ones(len(asked))) == pytest.approx(50)
    model = PastSpend().fit(lessons, Past(log, lessons))
    told = model.predict(lessons.hide(), Past(log, lessons.hide())).values[:, 0]
    assert told.sum() == pytest.approx(lessons.truth.sum(), rel=0.01)


def test_nothing_of_late_is_no_level():
    log = growing()
    nothing = replace(TASK, truth=pl.col("amount").filter(pl.col("event_type") == "refill").sum())
    lessons = nothing.examples(log, [day(56)])
    assert level(lessons, Past(log, lessons), lambda asked, now: np.ones(len(asked))) is None


def test_the_least_is_a_share_of_what_buyers_spend():
    assert least(np.array([0.0, 100.0, 300.0])) == pytest.approx(4.0)
    assert least(np.zeros(3)) == 0.0


def test_what_it_answers_and_what_is_too_little():
    assert PastSpend().answers(TASK)
    assert not PastSpend().answers(demand.TASK)
    assert not PastSpend().answers(purchase_intent.TASK)
    log = growing()
    examples: Examples = TASK.examples(log, [day(28)])
    with pytest.raises(TooFewExamples):
        PastSpend().fit(examples.take(np.zeros(0, dtype=np.int64)), Past(log, examples))
    with pytest.raises(ConfigError, match="not learned"):
        PastSpend().predict(examples.hide(), Past(log, examples.hide()))
