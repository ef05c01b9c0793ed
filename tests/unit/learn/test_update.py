"""What an update learns from: everything since a question's reader last learned, whatever weeks that makes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.constant import Constant
from intently.contract import Examples, pooled, weekly
from intently.errors import ConfigError, TooFewExamples
from intently.evaluate.compare import Report
from intently.learn.active import found_labels, kept_labels, used
from intently.learn.text_reader import TextReader
from intently.learn.trained import Trained
from intently.learn.update import _enough, _examples, learned_until, renewed
from intently.log import schema
from intently.log.forget import forget
from intently.log.log import Log
from small_logs import day
from text_shop import TASK, URGENT, shop


@pytest.mark.parametrize("days", [14, 15, 17, 20, 30])
def test_no_message_falls_between_what_was_learned_and_what_is_new(days) -> None:
    quick, task = shop(400), replace(TASK, horizon=timedelta(days=10))
    # Tags come nine days and a half after what they are of.
    late = pl.col(schema.TIME) + pl.when(pl.col(schema.TYPE) == "tag").then(timedelta(days=8.5)).otherwise(timedelta())
    log = Log.of(
        quick.events.with_columns(late), quick.items, observed_from=quick.observed_from, observed_until=day(100)
    )
    since, until = day(40), day(40 + days)
    old, new = _examples(task, log.before(until), since, until)
    assert not {*old.asked} & {*new.asked}
    tagged = log.events.filter(
        pl.col(schema.TYPE) == "tag", pl.col(schema.TIME) >= since, pl.col(schema.TIME) < until - timedelta(days=7)
    )
    assert len(tagged) > 20
    assert {*tagged[schema.ABOUT]} <= {*new.asked}


def test_labels_by_hand_are_learned_from_and_those_the_bundle_had_not_are_new() -> None:
    whole = shop(400)
    untold = (pl.col(schema.TYPE) == "tag") & (pl.col(schema.EVENT).str.slice(1).cast(pl.Int64) % 4 == 0)
    log = Log.of(
        whole.events.filter(~untold),
        whole.items,
        observed_from=whole.observed_from,
        observed_until=whole.observed_until,
    )
    mute = {f"m{number}" for number in range(0, 400, 4)}
    since, until = day(40), day(75)
    asked = labelled_by_ids(log.before(until), mute)
    early = asked.where(pl.col("at") < day(36))
    had = early.take(np.arange(0, len(early), 2))
    old, new = _examples(TASK, log.before(until), since, until, had, asked)
    mine = set(asked.where(pl.col("at") < until - timedelta(days=7)).asked)
    assert len(mine) > 50
    assert set(old.asked) & mine == set(had.asked)
    assert set(new.asked) & mine == mine - set(had.asked)
    plain_old, plain_new = _examples(TASK, log.before(until), since, until)
    assert set(old.asked) - mine == set(plain_old.asked)
    assert set(new.asked) - mute == set(plain_new.asked)
    assert set(new.where(pl.col("event_id").is_in(list(mine))).truth) == {"other"}
    # Kept by their ids, they are found again in a log, but not where their customer was forgotten.
    kept = kept_labels(asked)
    assert kept.columns == ["event_id", "truth"]
    assert found_labels(kept, TASK, log.before(until)).frame.equals(asked.frame)
    left = found_labels(kept, TASK, forget(log.before(until), "u4"))
    assert set(left.asked) == set(asked.where(pl.col("user_id") != "u4").asked) < set(asked.asked)


@pytest.mark.parametrize("days", [5, 40, 41, 42, 47])
def test_a_kept_label_is_found_wherever_in_the_log_it_is(days) -> None:
    known = shop(400).before(day(days))
    written = known.events.filter(pl.col(schema.TYPE) == "support")
    labels = written.select("event_id", truth=pl.lit("other"))
    found = found_labels(labels, TASK, known)
    assert found.task == TASK
    assert found.asked.to_list() == written["event_id"].to_list()
    # Those of which the log says something are overruled, at its beginning too.
    told = known.events.filter(pl.col(schema.TYPE) == "tag", pl.col(schema.TIME) < day(days))[schema.ABOUT]
    sure = written.filter(pl.col(schema.TIME) + TASK.horizon <= known.observed_until)["event_id"]
    assert used(found, known, found)["overruled"] == len({*told} & {*sure})


def test_what_the_bundle_had_of_the_first_days_is_not_new() -> None:
    whole = shop(400)
    log = Log.of(
        whole.events.filter(pl.col(schema.TYPE) != "tag"),
        whole.items,
        observed_from=whole.observed_from,
        observed_until=whole.observed_until,
    )
    since, until = day(40), day(75)
    known = log.before(until)
    every = known.events.filter(pl.col(schema.TYPE) == "support").select("event_id", truth=pl.lit("other"))
    given = found_labels(every, TASK, known)
    had = given.where(pl.col("at") < day(30))
    _, new = _examples(TASK, known, since, until, had, given)
    assert len(had.where(pl.col("at") < day(5))) > 10
    assert not {*new.asked} & {*had.asked}


def labelled_by_ids(log, ids) -> Examples:
    """These messages, each labelled `other`."""
    every = pooled([TASK.questions(log, at) for at in weekly(log.observed_from, log.observed_until)]).frame
    mine = every.unique("event_id", keep="first", maintain_order=True).filter(pl.col("event_id").is_in(list(ids)))
    return Examples(TASK, mine.with_columns(truth=pl.lit("other")))


def test_labels_of_a_question_without_a_text_reader_are_refused_and_named() -> None:
    log = shop(40)
    plain = {"urgent": {"constant": Constant()}, TASK.name: {"text_reader": TextReader()}}
    served = {"urgent": "constant", TASK.name: "text_reader"}
    trained = Trained(day(40), (URGENT, TASK), None, None, plain, served, served, Report())
    labels = found_labels(pl.DataFrame({"event_id": ["m1"], "truth": [True]}), URGENT, log)
    with pytest.raises(ConfigError, match=r"labels are of urgent.*Give labels of asked_for"):
        renewed(trained, log, day(80), labels={"urgent": labels})


def test_a_question_left_out_of_an_update_goes_on_from_where_it_was() -> None:
    june, july, august = (datetime(2025, month, 1, tzinfo=UTC) for month in (6, 7, 8))
    bare = Trained(june, (), None, None, {}, {}, {}, Report())
    assert learned_until(bare, "sentiment") == june
    one = {"task": "support", "since": june.isoformat(), "until": july.isoformat()}
    once = replace(bare, until=july, updates=(one,))
    assert (learned_until(once, "support"), learned_until(once, "sentiment")) == (july, june)
    two = {"task": "sentiment", "since": june.isoformat(), "until": august.isoformat()}
    twice = replace(once, until=august, updates=(one, two))
    assert (learned_until(twice, "support"), learned_until(twice, "sentiment")) == (july, august)


def test_whichever_events_are_too_few_are_named() -> None:
    _enough(TASK, 74, 20, 20, day(40))
    with pytest.raises(TooFewExamples, match="has 30 new events") as caught:
        _enough(TASK, 30, 500, 7, day(40))
    assert "when there is more" in str(caught.value.mend)
    with pytest.raises(TooFewExamples, match=f"has 19 events .* before {day(40):%Y-%m-%d}") as caught:
        _enough(TASK, 30, 19, 7, day(40))
    assert "Train anew" in str(caught.value.mend)
