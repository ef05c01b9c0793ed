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

NUMBERS = st.none() | st.sampled_from([0.0, 1.0, 2.5, -1.0, float("nan"), float("inf"), 1e300])
WHEN = st.none() | TIMES | st.sampled_from([START - timedelta(days=20_000), START + timedelta(days=9_000)])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            schema.USER: st.sampled_from([None, "", "ann", "bo"]),
            schema.SESSION: st.sampled_from([None, " ", "s1"]),
            schema.TYPE: st.sampled_from([None, "", "buy", "view"]),
            schema.TIME: WHEN,
            schema.ARRIVED: st.none() | TIMES,
            schema.EVENT: st.none() | st.integers(0, 6),
            schema.AMOUNT: NUMBERS,
            "context": NUMBERS,
        }
    ),
    max_size=40,
)
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
    assert sorted([*found.kept.to_list(), *found.rejects["row"].to_list()]) == list(range(len(rows)))
    assert found.kept.is_sorted()
    set_aside = sum(one.count for one in found.faults if not one.code.startswith("emptied"))
    assert set_aside == len(found.rejects)
    kept = table(rows)[found.kept.to_list()]
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


@given(st.lists(st.sampled_from([0, 1, 2, 400, 800, 1200, 5000, -400, -800]), min_size=1, max_size=300))
def test_cutting_off_what_stands_alone_is_done_once(days):
    raw = pl.DataFrame(
        {
            schema.USER: ["ann"] * len(days),
            schema.TYPE: ["view"] * len(days),
            schema.TIME: [START + timedelta(days=n) for n in days],
            "row": list(range(len(days))),
        }
    )
    once = checked(raw)
    assert checked(once.events).events.equals(once.events)
    assert len(once.rejects) <= 0.02 * len(days) + 0.02 * len(days)
