"""What an update learns from: everything since a question's reader last learned, whatever weeks that makes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from intently.evaluate.compare import Report
from intently.learn.trained import Trained
from intently.learn.update import _examples, learned_until
from intently.log import schema
from intently.log.log import Log
from small_logs import day
from text_shop import TASK, shop


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
