"""What purchasing power means: money kept, not money moved."""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from intently.log.log import Log
from intently.tasks.purchasing_power import TASK
from small_logs import day


def truths(rows: list[tuple[str, str, float, float]], task=TASK) -> dict[str, float]:
    """Truths on day 1 of rows (customer, type, day, amount), after a visit of everybody on day 0."""
    seen = [(user, "view", 0.0, 0.0) for user in {row[0]: None for row in rows}]
    events = pl.DataFrame([*seen, *rows], schema=["user_id", "event_type", "day", "amount"], orient="row")
    times = pl.Series("timestamp", [day(number) for number in events["day"]])
    examples = task.examples(Log.of(events.drop("day").with_columns(times), observed_until=day(200)), [day(1)])
    return dict(zip(examples.asked, examples.truth, strict=True))


@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_returned_is_taken_off_whatever_its_sign(sign):
    assert truths([("a", "buy", 2, 30.0), ("a", "buy", 3, 12.0), ("a", "return", 4, sign * 12.0)]) == {"a": 30.0}


def test_an_order_typed_wrong_and_cancelled_is_no_money():
    assert truths([("a", "buy", 2, 77_183.6), ("a", "return", 2.01, 77_183.6)]) == {"a": 0.0}


def test_it_is_never_below_nothing():
    assert truths([("a", "return", 2, 50.0), ("b", "buy", 2, 5.0), ("b", "buy", 3, -9.0)]) == {"a": 0.0, "b": 0.0}


def test_another_horizon_is_one_replace():
    rows = [("a", "buy", 2, 30.0), ("a", "buy", 60, 8.0), ("a", "buy", 91.5, 100.0)]
    ninety = replace(TASK, name="purchasing_power_90", horizon=timedelta(days=90))
    assert truths(rows) == {"a": 30.0}
    assert truths(rows, ninety) == {"a": 38.0}
