"""The hurdle: what it adds to past spend, and where it has nothing to learn."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.lightgbm_hurdle import LightGBMHurdle, _soon
from intently.baselines.past_spend import PastSpend
from intently.contract import Past
from intently.errors import ConfigError, TooFewExamples
from intently.log.log import Log
from intently.metrics.amount import mae, spearman
from intently.tasks import demand, purchase_intent, purchasing_power
from small_logs import day

TASK = replace(purchasing_power.TASK, name="four_weeks", horizon=timedelta(days=28))
CUTOFFS = [day(number) for number in range(35, 106, 7)]
NOW = day(133)


def leavers() -> Log:
    """200 customers buy every week or so; half of them leave for good at some day. Money is drawn from a heavy tail."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(200):
        worth, time = np.exp(rng.normal(3, 1.3)), rng.uniform(0, 20)
        leaves = rng.uniform(20, 170) if user % 2 else 999
        while time < min(170, leaves):
            rows.append((user, day(time), worth * rng.gamma(3, 1 / 3)))
            time += rng.exponential(9.0)
    events = pl.DataFrame(rows, schema=["user_id", "timestamp", "amount"], orient="row")
    events = events.with_columns(event_type=pl.lit("buy"), item_id=pl.lit("i"))
    return Log.of(events, observed_from=day(0), observed_until=day(170))


LOG = leavers()


def test_it_knows_better_than_past_spend_who_has_left():
    known = LOG.before(NOW)
    lessons, asked = TASK.examples(known, CUTOFFS), TASK.examples(LOG, [NOW])
    past, now = Past(known, lessons), Past(LOG, asked.hide())
    truth = asked.truth.to_numpy()
    hurdle = LightGBMHurdle().fit(lessons, past).predict(asked.hide(), now).values
    simple = PastSpend().fit(lessons, past).predict(asked.hide(), now).values
    assert spearman(truth, hurdle) > spearman(truth, simple)
    # A ceiling too: half of what decides who leaves is drawn by lot.
    assert 0.5 < spearman(truth, hurdle) < 0.95
    assert mae(truth, hurdle).mean() < mae(truth, simple).mean()
    assert hurdle[:, 0].sum() == pytest.approx(truth.sum(), rel=0.2)
    inside = (truth >= hurdle[:, 1]) & (truth <= hurdle[:, -1])
    assert 0.8 < inside.mean() <= 1.0


def test_the_chance_is_of_two_weeks_at_the_newest_cut_offs_and_nothing_after_the_lessons():
    known = LOG.before(NOW)
    lessons = TASK.examples(known, CUTOFFS)
    soon, before = _soon(lessons, Past(known, lessons))
    assert soon.task.horizon == timedelta(days=14)
    # The last lesson ends on day 133, so two more weeks' windows do too.
    assert soon.cutoffs == [day(number) for number in range(35, 120, 7)][-14:]
    assert len(before) == len(soon)
    bought = LOG.events.filter(pl.col("timestamp").is_between(day(119), day(133), closed="left"))["user_id"].unique()
    last = soon.frame.filter(pl.col("at") == day(119))
    assert set(last.filter(pl.col("truth") > 0)["user_id"]) == set(bought) & set(last["user_id"])


def test_of_two_weeks_or_where_nearly_all_buy_the_lessons_are_their_own():
    known = LOG.before(NOW)
    short = replace(TASK, horizon=timedelta(days=7))
    # Nobody buys any more: there is nothing to tell apart.
    quiet = Log.of(LOG.events.filter(pl.col("timestamp") < day(50)), observed_from=day(0), observed_until=day(140))
    for task, log, cutoffs in ((short, known, CUTOFFS), (TASK, quiet, [day(60), day(67)])):
        lessons = task.examples(log, cutoffs)
        past = Past(log, lessons)
        assert _soon(lessons, past) == (lessons, past)


def test_what_two_weeks_seldom_hold_is_learned_of_the_questions_own_windows():
    known = LOG.before(NOW)
    counted = pl.when(pl.len() >= 5).then(pl.col("amount").sum()).otherwise(0.0)
    seldom = replace(TASK, name="from_the_fifth_visit", truth=counted, horizon=timedelta(days=42))
    lessons = seldom.examples(known, CUTOFFS)
    assert (lessons.truth > 0).mean() > 0.2
    past = Past(known, lessons)
    assert _soon(lessons, past) == (lessons, past)


def test_one_saved_before_powers_differed_takes_the_root():
    lessons = TASK.examples(LOG.before(NOW), CUTOFFS)
    arrays, settings = LightGBMHurdle().fit(lessons, Past(LOG.before(NOW), lessons)).state()
    assert settings["power"] == pytest.approx(0.5 * np.sqrt(14 / 28))
    del settings["power"]
    assert LightGBMHurdle.from_state(arrays, settings).state()[1]["power"] == 0.5


def test_what_it_answers_and_what_is_too_little():
    assert LightGBMHurdle().answers(TASK)
    assert not LightGBMHurdle().answers(demand.TASK)
    assert not LightGBMHurdle().answers(purchase_intent.TASK)
    examples = TASK.examples(LOG, CUTOFFS)
    buyers = examples.where(pl.col("truth") > 0)
    with pytest.raises(TooFewExamples, match="of them above 0"):
        LightGBMHurdle().fit(buyers, Past(LOG, buyers))
    with pytest.raises(ConfigError, match="not learned"):
        LightGBMHurdle().predict(examples.hide(), Past(LOG, examples.hide()))
