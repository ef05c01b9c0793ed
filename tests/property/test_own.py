"""Laws of a shop's own questions: written as TOML the built-in ones are themselves, and a bundle's copy is the task."""

import json
import tomllib
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from intently import own
from intently.tasks import BUILT_IN
from own_tables import BUILT_IN_TABLES, OWN_TABLES
from small_logs import ASKED_AT, EVENTS, START, day, log_of

TABLES = BUILT_IN_TABLES | OWN_TABLES
# Not every built-in task can be said in SQL; those that are written down there must mean the same.
TWINS = [task for task in BUILT_IN if task.name in BUILT_IN_TABLES]
every_table = pytest.mark.parametrize("name", TABLES)


@pytest.mark.parametrize("task", TWINS, ids=lambda task: task.name)
@given(events=EVENTS, at=ASKED_AT)
def test_a_built_in_question_written_as_toml_has_the_same_examples(task, events, at):
    log, at = log_of(events, until=day(70)), max(at, START)
    told = own.task(BUILT_IN_TABLES[task.name])
    assert_frame_equal(told.examples(log, [at]).frame, task.examples(log, [at]).frame)
    assert_frame_equal(told.questions(log, at).frame, task.questions(log, at).frame)


@pytest.mark.parametrize("task", TWINS, ids=lambda task: task.name)
def test_a_built_in_question_written_as_toml_is_the_same_question(task):
    told = own.task(BUILT_IN_TABLES[task.name])
    assert told.name == task.name
    assert told.answer == task.answer
    assert told.horizon == task.horizon
    assert told.absent == task.absent
    assert dict(told.wording) == dict(task.wording)
    assert told.metrics == task.metrics
    assert told.must_beat == task.must_beat


@every_table
@given(events=EVENTS, at=ASKED_AT)
def test_what_a_bundle_keeps_is_the_same_task(name, events, at):
    made = own.task(TABLES[name])
    again = own.task(json.loads(json.dumps(made.written)))
    # Defaults are written out, so that a bundle means the same when a default changes.
    assert {"must_beat", "metrics", "wording"} <= set(made.written)
    assert again.written == made.written
    assert (again.answer, again.horizon, again.absent, again.metrics, again.must_beat) == (
        made.answer, made.horizon, made.absent, made.metrics, made.must_beat
    )  # fmt: skip
    log, at = log_of(events, until=day(70)), max(at, START)
    assert_frame_equal(again.examples(log, [at]).frame, made.examples(log, [at]).frame)


@given(count=st.integers(1, 99_999), unit=st.sampled_from(["h", "d", "w"]), space=st.sampled_from(["", " "]))
def test_a_horizon_is_its_number_of_units(count, unit, space):
    table = tomllib.loads(f'horizon = "{space}{count}{space}{unit}"') | {"name": "q", "answer": "yes_no"}
    made = own.task(table | {"truth": "count(*) > 0", "wording": {"en": "Any?"}})
    assert made.horizon == count * {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[unit]


@given(text=st.text(alphabet="0123456789hdwm -.+日", max_size=6))
def test_what_is_no_length_of_time_is_refused_by_name(text):
    made, faults = own.read(
        {"name": "q", "horizon": text, "answer": "yes_no", "truth": "count(*) > 0", "wording": {"en": "Any?"}}
    )
    assert (made is None) == bool(faults)
    if made is None:
        assert [fault.key for fault in faults] == [("horizon",)]
        assert repr(text) in faults[0].said
    else:
        assert made.horizon > timedelta(0)
