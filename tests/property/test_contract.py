"""Laws of time, each against the plainest implementation there is."""

import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from intently.contract import Amount, Everyone, Examples, Past, Task
from intently.log.pack import Pack
from intently.text.arrays import sequences
from small_logs import ASKED_AT, EVENTS, START, STEP, Event, log_of

WHO = st.sampled_from(["ann", "bo", "cy", "nobody"])
ASKED = st.lists(st.tuples(WHO, ASKED_AT), min_size=1, max_size=8)
UNTIL = START + 60 * STEP

SPEND = Task(
    name="spend",
    asks=Everyone("user_id"),
    answer=Amount("money"),
    horizon=timedelta(days=3),
    truth=pl.col("amount").filter(pl.col("event_type") == "buy").sum(),
    absent=0.0,
    wording={},
)


def examples_of(asked) -> Examples:
    return Examples(SPEND, pl.DataFrame({"user_id": [who for who, _ in asked], "at": [at for _, at in asked]}))


def naive_past(events: list[Event], who: str, at) -> list[Event]:
    """The customer's events known before `at`, in the order they became known."""
    return sorted((e for e in events if e.user == who and e.known < at), key=lambda e: (e.known, e.time))


def lines(past: Past, last: int | None = None) -> list[list[tuple]]:
    """Every example's rows as tuples, by example."""
    rows = past.rows(last)
    items = [*past.items["item_id"].to_list(), None]
    result: list[list[tuple]] = [[] for _ in range(len(past))]
    for i in range(len(rows)):
        kind = past.event_types[rows.event_type[i]]
        result[rows.example[i]].append((items[rows.item[i]], kind, float(rows.amount[i]), float(rows.age[i])))
    return result


@given(EVENTS, ASKED)
def test_a_past_is_what_was_known_strictly_before_the_oldest_first(events, asked):
    past = Past(log_of(events), examples_of(asked))

    def expected(last: int) -> list[list[tuple]]:
        return [
            [
                (e.item, e.kind, e.amount, float(np.float32((at - e.time) / timedelta(days=1))))
                for e in sorted(naive_past(events, who, at)[-last:], key=lambda e: e.time)
            ]
            for who, at in asked
        ]

    assert lines(past) == expected(1_000)
    assert past.lengths.tolist() == [len(rows) for rows in expected(1_000)]
    # The newest are those that became known last.
    assert lines(past, last=2) == expected(2)


@given(EVENTS, ASKED, st.randoms(use_true_random=False))
def test_a_past_does_not_depend_on_the_order_in_which_events_came(events, asked, random):
    here = lines(Past(log_of(events), examples_of(asked)))
    shuffled = random.sample(events, len(events))
    there = lines(Past(log_of(shuffled), examples_of(asked)))
    # Of what happened at one time no order is told.
    assert [sorted(rows, key=repr) for rows in here] == [sorted(rows, key=repr) for rows in there]
    for rows in (*here, *there):
        assert [row[3] for row in rows] == sorted((row[3] for row in rows), reverse=True)


@given(EVENTS, ASKED)
def test_moments_of_a_past_are_those_of_the_past_alone(events, asked):
    log = log_of(events)
    seq = sequences(Past(log, examples_of(asked)))
    for i, one in enumerate(asked):
        alone = sequences(Past(log, examples_of([one])))
        begin = seq.moment_start[seq.history[i]]
        seen = slice(begin, begin + seq.visible[i])
        assert seq.visible[i] == alone.visible[0] == len(alone.moment_age)
        np.testing.assert_allclose(seq.moment_age[seen] - seq.now_age[i], alone.moment_age, atol=1e-4)
        np.testing.assert_allclose(seq.moment_amount[seen], alone.moment_amount)
        lines_here = seq.line_start[begin : begin + seq.visible[i] + 1] - seq.line_start[begin]
        np.testing.assert_array_equal(lines_here, alone.line_start)


@given(EVENTS, ASKED)
def test_moments_number_runs_of_one_time(events, asked):
    rows = Past(log_of(events), examples_of(asked)).rows()
    for i in range(1, len(rows)):
        same = rows.example[i] == rows.example[i - 1] and rows.age[i] == rows.age[i - 1]
        assert rows.moment[i] - rows.moment[i - 1] == (not same)


@given(EVENTS, ASKED, st.sampled_from([0.25, 1.0, 3.5]))
def test_windows_of_the_past_are_half_open(events, asked, days):
    past = Past(log_of(events), examples_of(asked))
    span = timedelta(days=days)
    windows = [[e for e in naive_past(events, who, at) if at - span <= e.known] for who, at in asked]
    assert past.count(days).tolist() == [len(window) for window in windows]
    assert past.total("amount", days).tolist() == [sum(e.amount for e in window) for window in windows]
    assert past.count().tolist() == [len(naive_past(events, who, at)) for who, at in asked]


@given(EVENTS, ASKED, st.none() | st.integers(0, 4))
def test_the_visible_part_of_a_shared_history_is_the_past(events, asked, last):
    past = Past(log_of(events), examples_of(asked))
    rows, shared = past.rows(last), past.histories(last)
    for i in range(len(past)):
        begin = shared.start[shared.history[i]]
        visible = slice(begin, begin + shared.visible[i])
        own = rows.example == i
        # With `last`, a history may reach further back than one example's own newest rows.
        tail = slice(max(visible.start, visible.stop - own.sum()), visible.stop)
        np.testing.assert_array_equal(shared.rows.item[tail], rows.item[own])
        np.testing.assert_array_equal(shared.rows.amount[tail], rows.amount[own])
        np.testing.assert_allclose(shared.rows.age[tail] - shared.asked_age[i], rows.age[own], atol=1e-4)
        if last is None:
            assert shared.visible[i] == own.sum()
        assert shared.start[shared.history[i] + 1] >= visible.stop


@given(EVENTS, ASKED, EVENTS, st.randoms(use_true_random=False))
def test_another_future_changes_no_past(events, asked, future, random):
    first = min(at for _, at in asked)
    known = [e for e in events if e.known < first]
    unknown = [e for e in [*events, *future] if e.known >= first]
    random.shuffle(unknown)
    if not known:
        return
    here, there = (
        Past(log_of(events), examples_of([(who, first) for who, _ in asked])),
        Past(log_of([*known, *unknown[: len(unknown) // 2]], UNTIL), examples_of([(who, first) for who, _ in asked])),
    )
    assert lines(here) == lines(there)
    assert here.total("amount").tolist() == there.total("amount").tolist()


LATE = st.lists(st.integers(0, 20), min_size=3, max_size=3)


@given(LATE, st.booleans())
def test_the_first_and_the_last_of_a_window_go_by_when_they_happened(late, first):
    task = replace(SPEND, truth=pl.col("amount").first() if first else pl.col("amount").last())
    events = [Event("ann", 0, "buy", START, None, 9.0)] + [
        Event("ann", 0, "buy", START + (4 + nth) * STEP, START + (4 + nth + days) * STEP, float(nth))
        for nth, days in enumerate(late)
    ]
    # A window of three days from the first day on, and each event as late as was drawn.
    assert task.examples(log_of(events), [START + 4 * STEP]).truth.to_list() == [0.0 if first else 2.0]


@given(EVENTS, ASKED_AT, ASKED_AT)
def test_before_twice_is_before_the_earlier(events, one, other):
    log = log_of(events)
    twice, once = log.before(one).before(other), log.before(min(one, other))
    assert twice.events.equals(once.events)
    assert twice.observed_until == once.observed_until
    assert len(once.events) == sum(e.known < min(one, other) for e in events)


@given(EVENTS, ASKED_AT, ASKED_AT)
def test_between_and_before_are_half_open(events, one, other):
    start, end = sorted([one, other])
    assert len(log_of(events).between(start, end)) == sum(start <= e.time < end for e in events)


@given(EVENTS, ASKED_AT)
def test_a_truth_is_the_spend_of_the_window_and_the_asked_are_those_known(events, at):
    at = max(at, START)
    examples = SPEND.examples(log_of(events), [at])
    asked = sorted({e.user for e in events if e.known < at})
    spent = [
        sum(e.amount for e in events if e.user == who and e.kind == "buy" and at <= e.time < at + SPEND.horizon)
        for who in asked
    ]
    assert examples.asked.to_list() == asked
    assert examples.truth.to_list() == spent


@given(EVENTS, ASKED_AT, ASKED_AT)
def test_no_example_shows_a_truth_from_after_the_log_ends(events, at, end):
    log = log_of(events).before(max(end, START + STEP))
    cutoffs = [max(at, START) + n * STEP for n in range(8)]
    observed = [c for c in cutoffs if c + SPEND.horizon <= log.observed_until]
    if observed:
        assert set(SPEND.examples(log, cutoffs).cutoffs) <= set(observed)


@given(EVENTS, st.lists(st.tuples(st.integers(0, 2), ASKED_AT), min_size=1, max_size=10))
def test_stop_before_is_a_linear_search(events, asked):
    order = log_of(events).pack.by_user
    users = len(order.offsets) - 1
    key = np.array([k % users for k, _ in asked])
    at = pl.Series([moment for _, moment in asked]).dt.epoch("us").to_numpy()
    stops = []
    for k, t in zip(key, at, strict=True):
        stop = order.offsets[k]
        while stop < order.offsets[k + 1] and order.known[stop] < t:
            stop += 1
        stops.append(stop)
    assert order.stop_before(key, at).tolist() == stops


@settings(max_examples=15)
@given(EVENTS)
def test_save_then_load_is_the_same_pack(events):
    pack = log_of(events).pack
    with tempfile.TemporaryDirectory() as folder:
        pack.save(Path(folder))
        opened = Pack.load(Path(folder))
        for name in ("offsets", "known", "time", "user", "item", "event_type", "amount", "row"):
            np.testing.assert_array_equal(getattr(pack.by_user, name), getattr(opened.by_user, name))
            np.testing.assert_array_equal(getattr(pack.by_item, name), getattr(opened.by_item, name))
        assert pack.user_ids.equals(opened.user_ids)
        assert pack.item_ids.equals(opened.item_ids)


@given(EVENTS)
def test_both_orders_hold_each_row_once(events):
    pack = log_of(events).pack
    assert sorted(pack.by_user.row.tolist()) == list(range(len(events)))
    assert len(pack.by_item.row) == sum(e.item is not None for e in events)
    for order, key in ((pack.by_user, pack.by_user.user), (pack.by_item, pack.by_item.item)):
        assert (np.diff(key) >= 0).all()
        within = np.diff(key) == 0
        assert (np.diff(order.known)[within] >= 0).all()
