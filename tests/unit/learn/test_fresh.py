"""When a reader begins: what is judged, and what a booster reads of it, is new to it, however long a window is."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines import features
from intently.baselines.features import windowed
from intently.contract import Amount, together, weekly
from intently.contract.scores import Scores
from intently.learn.calibrate import Calibration
from intently.learn.choose import WEEK, Choice, choice_cutoffs, last_cutoff, whole_weeks
from intently.learn.fresh import Freshness, _windows, begun, first_lessons, levelled
from intently.learn.presets import plan_of
from intently.learn.train import _Asked, examples_until
from intently.log.log import Log
from intently.tasks import purchase_intent, purchasing_power
from planted_shop import START as SHOP_BEGINS
from planted_shop import planted
from small_logs import START

PLAN = plan_of("fast")


def bought(weeks: int) -> Log:
    """Four customers who buy every third day."""
    lines = [
        (f"u{who}", START + timedelta(days=3 * day + who / 8)) for who in range(4) for day in range(7 * weeks // 3)
    ]
    events = pl.DataFrame(lines, schema=["user_id", "timestamp"], orient="row")
    return Log.of(events.with_columns(item_id=pl.lit("x"), event_type=pl.lit("buy"), amount=pl.lit(5.0)))


def test_a_refreshed_reader_has_the_level_of_the_last_horizon_whatever_it_says_itself() -> None:
    log, tasks = bought(30), (purchase_intent.TASK, purchasing_power.TASK)

    class Says:
        def __init__(self, much):
            self.tasks, self.much = tasks, much

        def predict(self, examples, past):
            assert "truth" not in examples.frame.columns
            return Scores(examples.task.answer, np.full((len(examples), 20), self.much, dtype=np.float32))

        def forget_pasts(self):
            pass

    told = {
        task.name: Calibration({"factor": 7.0} if isinstance(task.answer, Amount) else {"slope": 1.0, "shift": 0.0})
        for task in tasks
    }
    for much in (5.0, 20.0):
        found = levelled(Says(much), told, log, log.observed_until)
        assert found[tasks[0].name] is told[tasks[0].name]
        # Every third day 5 euros: 28 days hold nine or ten of them.
        assert 45 <= found[tasks[1].name].numbers["factor"] * much <= 50
    # What comes later than it is fitted is not known to it.
    since = log.observed_until - timedelta(weeks=10)
    richer = replace(
        log, events=log.events.with_columns(amount=pl.when(pl.col("timestamp") < since).then(5.0).otherwise(50.0))
    )
    early = levelled(Says(5.0), told, richer, since)[tasks[1].name].numbers["factor"]
    assert 45 <= early * 5.0 <= 50
    assert levelled(Says(5.0), told, richer, log.observed_until)[tasks[1].name].numbers["factor"] * 5.0 > 90
    # Of some alone, or where silence is no answer, the last horizon tells nothing; nor where nothing came.
    for odd in (
        replace(tasks[1], asks=replace(tasks[1].asks, among=(pl.col("amount") > 0).any())),
        replace(tasks[1], absent=None),
        replace(tasks[1], truth=pl.col("amount").filter(pl.col("event_type") == "refill").sum()),
    ):
        asks = Says(5.0)
        asks.tasks = (odd,)
        assert levelled(asks, told, log, log.observed_until) == told
    # Beyond reason it does not go, and where nothing was calibrated nothing is levelled.
    assert levelled(Says(1e-9), told, log, log.observed_until)[tasks[1].name].numbers["factor"] == 20
    assert levelled(Says(1.0), {tasks[1].name: Calibration()}, log, log.observed_until)[tasks[1].name] == Calibration()


def test_windowed_features_are_made_once_for_the_boosters_and_for_the_reader(monkeypatch) -> None:
    log, tasks, until = planted(), (purchase_intent.TASK, purchasing_power.TASK), SHOP_BEGINS + timedelta(weeks=36)
    known, times = log.before(until), choice_cutoffs(tasks, until)
    data = {task.name: examples_until(task, known, until, PLAN) for task in tasks}
    choices = {task.name: Choice.of(task, times, known) for task in tasks}
    readable, first = begun(tasks, known, times[0], until - PLAN.reader_weeks * WEEK)
    fresh = Freshness(first, until, PLAN.refresh_weeks, PLAN.reader_step)
    lessons = [past for some in first_lessons(known, readable, fresh) for _, past in some.values()]
    everyone = _Asked(tasks, choices, data, PLAN, 0).customers(lessons)
    windowed(everyone[1])
    monkeypatch.setattr(features, "_windowed", lambda past: pytest.fail("made again"))
    # What the reader is taken further on, as `kept_fresh` has it.
    since = [min(first + timedelta(weeks=PLAN.refresh_weeks * turn), until) for turn in (1, 2)]
    newest = [
        _windows(known, at, task, weekly(last_cutoff(task, at) - 5 * WEEK, last_cutoff(task, at)))[1]
        for task in tasks
        for at in since
    ]
    asked = [part[1] for one in tasks for part in (data[one.name], choices[one.name].fit, choices[one.name].judge)]
    for past in (*asked, *lessons, *newest, together(lessons)[1]):
        assert len(windowed(past)[0]) == len(past)


def own(days: int):
    return replace(purchasing_power.TASK, name="own", horizon=timedelta(days=days))


@pytest.mark.parametrize("days", [7, 28, 35, 49, 60, 90, 120])
def test_the_first_reader_has_seen_nothing_of_what_is_judged_or_read_by_what_is_judged(days) -> None:
    log = bought(100)
    until, tasks = log.observed_until, (purchase_intent.TASK, own(days))
    times = choice_cutoffs(tasks, until)
    readable, first = begun(tasks, log, times[0], until - PLAN.reader_weeks * WEEK)
    assert readable == tasks
    train, held_out = first_lessons(log, readable, Freshness(first, until, PLAN.refresh_weeks, PLAN.reader_step))
    for task in tasks:
        choice = Choice.of(task, times, log)
        asked = set(choice.judge[0].frame.select("user_id", "at").rows())
        for other in tasks:
            learned = {*train[other.name][0].frame.select("user_id", "at").rows()}
            stopped = {*held_out[other.name][0].frame.select("user_id", "at").rows()}
            assert not asked & (learned | stopped)
        # No window by which it is stopped ends after the first time that is judged.
        assert first + task.horizon <= times[0]
        # What the boosters are fitted on for the choice begins with columns of a reader that had not seen it.
        assert choice.fit[0].at.max() >= first


def test_a_question_whose_windows_a_log_has_no_room_for_is_left_to_the_others() -> None:
    log = bought(52)
    until, tasks = log.observed_until, (purchase_intent.TASK, own(120))
    times, latest = choice_cutoffs(tasks, until), until - PLAN.reader_weeks * WEEK
    readable, first = begun(tasks, log, times[0], latest)
    assert readable == (purchase_intent.TASK,)
    assert first == min(latest, times[0] - 2 * whole_weeks(purchase_intent.TASK))
    assert len(weekly(log.observed_from, first)) > 20
    assert begun((own(120),), log, times[0], latest)[0] == ()


def test_questions_of_four_weeks_begin_where_they_always_did() -> None:
    log = bought(60)
    until, tasks = log.observed_until, (purchase_intent.TASK, purchasing_power.TASK)
    latest = until - PLAN.reader_weeks * WEEK
    assert begun(tasks, log, choice_cutoffs(tasks, until)[0], latest) == (tasks, latest)
