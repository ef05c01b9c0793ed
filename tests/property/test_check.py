"""Laws of checking: no row is lost, checking twice is checking once, and the order of rows does not count."""

import random
from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from intently.log import schema
from intently.log.check import checked
from intently.log.log import Log
from small_logs import START, TIMES

NUMBERS = st.sampled_from([None, 0.0, 1.0, 2.5, 2.5, -1.0, float("nan"), float("inf"), 1e300])
FAULTY = st.sampled_from([None, START - timedelta(days=20_000), START + timedelta(days=9_000)])
ROW = st.fixed_dictionaries(
    {
        # Sound values are the more likely ones, so that most rows have one fault at most.
        schema.USER: st.sampled_from(["ann", "ann", "bo", "cy", None, ""]),
        schema.SESSION: st.sampled_from([None, " ", "s1"]),
        schema.TYPE: st.sampled_from(["view", "view", "view", "buy", "buy", None, ""]),
        schema.TIME: st.one_of(*[TIMES] * 5, FAULTY),
        schema.ARRIVED: st.one_of(*[st.none()] * 5, TIMES),
        schema.EVENT: st.none() | st.integers(0, 30),
        schema.AMOUNT: NUMBERS,
        "context": NUMBERS,
    }
)


@st.composite
def spoilt(draw: st.DrawFn) -> list[dict]:
    """Rows with every kind of fault, some of them said again."""
    rows = draw(st.lists(ROW, max_size=30))
    again = draw(st.lists(st.integers(0, 29), max_size=5)) if rows else []
    return draw(st.permutations(rows + [rows[n % len(rows)] for n in again]))


ROWS = spoilt()
TYPES = {
    schema.USER: pl.String,
    schema.SESSION: pl.String,
    schema.TYPE: pl.String,
    schema.TIME: schema.CLOCK,
    schema.ARRIVED: schema.CLOCK,
    schema.EVENT: pl.Int64,
    schema.AMOUNT: pl.Float64,
    "context": pl.Float64,
}


def table(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TYPES)


@given(ROWS)
def test_every_row_is_kept_or_rejected_exactly_once(rows):
    found = checked(table(rows))
    assert sorted([*found.kept["events"].to_list(), *found.rejects["row"].to_list()]) == list(range(len(rows)))
    assert found.kept["events"].is_sorted()
    set_aside = sum(one.count for one in found.faults if not one.code.startswith("emptied"))
    assert set_aside == len(found.rejects)
    kept = table(rows)[found.kept["events"].to_list()]
    assert found.events[schema.TIME].equals(kept[schema.TIME])


@given(ROWS)
def test_what_was_checked_makes_a_log_and_has_no_fault_left(rows):
    once = checked(table(rows), observed_until=START + timedelta(days=12))
    twice = checked(once.events, observed_until=START + timedelta(days=12))
    assert twice.faults == ()
    assert twice.events.equals(once.events)
    assert {one.code: one.count for one in twice.findings} == {
        one.code: one.count for one in once.findings if one.severity != "fault"
    }
    if len(once.events):
        Log.of(once.events)


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_the_verdict(rows, shuffle: random.Random):
    shuffled = list(rows)
    shuffle.shuffle(shuffled)

    def counts(found):
        return {one.code: one.count for one in found.faults}

    assert counts(checked(table(rows))) == counts(checked(table(shuffled)))
    # Without an event_id, which decides by order who is the first, the findings are the same too.
    one, other = (checked(table(some).drop(schema.EVENT)) for some in (rows, shuffled))
    assert {f.code: f.count for f in one.findings if f.code != "out_of_order"} == {
        f.code: f.count for f in other.findings if f.code != "out_of_order"
    }


@given(st.integers(100, 400), st.lists(st.sampled_from([400, 800, 1200, 5000, -400, -800]), max_size=6))
def test_cutting_off_what_stands_alone_is_done_once(usual, far):
    days = [n % 5 for n in range(usual)] + far
    raw = pl.DataFrame(
        {
            schema.USER: ["ann"] * len(days),
            schema.TYPE: ["view"] * len(days),
            schema.TIME: [START + timedelta(days=n) for n in days],
            "number": list(range(len(days))),
        }
    )
    once = checked(raw)
    assert checked(once.events).events.equals(once.events)
    assert set(once.rejects["row"].to_list()) <= set(range(usual, len(days)))
    if len(far) == 1:
        assert once.rejects["row"].to_list() == [usual]
