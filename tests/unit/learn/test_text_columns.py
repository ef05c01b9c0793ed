"""A text reader's answers as columns: each row read by the newest reader that was fitted before it was asked."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.contract import Examples, Past, Scores, weekly
from intently.learn.text_columns import TextColumns
from intently.log.log import Log
from intently.tasks.purchasing_power import TASK
from small_logs import START

WEEK = timedelta(days=7)
CUTOFFS = weekly(START + 4 * WEEK, START + 18 * WEEK)
SINCE = [START + 12 * WEEK, START + 17 * WEEK]


@dataclass(frozen=True)
class Noted:
    """In place of a text reader: it remembers what it was fitted on, and says how often it has read."""

    learned: tuple[datetime, ...] = ()
    until: datetime | None = None

    def fit(self, examples: Examples, past: Past) -> "Noted":
        assert len(past) == len(examples)
        return replace(self, learned=tuple(examples.cutoffs), until=past.learned_until)

    def predict(self, examples: Examples, past: Past) -> Scores:
        assert len(past) == len(examples)
        # Beside the number of the cut-off which row it is, so that none is put in another's place.
        number = float(CUTOFFS.index(self.learned[-1]))
        values = number * 1_000 + past.lengths[:, None] + np.arange(20) / 100
        return Scores(TASK.answer, values.astype(np.float32))


@pytest.fixture(scope="module")
def log() -> Log:
    lines = [(f"u{who}", START + timedelta(days=(3 + who) * day), 5.0 + who) for who in range(6) for day in range(50)]
    events = pl.DataFrame(lines, schema=["user_id", "timestamp", "amount"], orient="row")
    return Log.of(events.with_columns(item_id=pl.lit("x"), event_type=pl.lit("buy")))


@pytest.fixture(scope="module")
def asked(log):
    examples = TASK.examples(log, CUTOFFS)
    return examples, Past(log, examples)


@pytest.fixture(scope="module")
def columns(asked):
    return TextColumns.of(Noted(), *asked, SINCE, newest=3)


def test_a_reader_learns_from_the_newest_windows_that_have_ended_when_it_is_fitted(columns):
    for (since, reader), begin in zip(columns.stages, SINCE, strict=True):
        assert since == begin
        assert reader.until == begin
        last = begin - TASK.horizon
        assert reader.learned == tuple(weekly(last - 2 * WEEK, last))
    assert columns.newest is columns.stages[-1][1]


def test_each_row_is_read_by_the_newest_reader_before_it_and_the_first_rows_by_none(columns, asked):
    examples, past = asked
    # In any order of the rows.
    rows = np.random.default_rng(0).permutation(len(examples))
    shuffled, theirs = examples.take(rows), past.take(rows)
    values, names = columns.columns(TASK, shuffled, theirs)
    assert names == ("text_mean", "text_low", "text_median", "text_high")
    assert values.dtype == np.float32
    at, lengths = shuffled.at, theirs.lengths
    for row, when in enumerate(at):
        if when < SINCE[0]:
            assert np.isnan(values[row]).all()
            continue
        learned = columns.stages[int(when >= SINCE[1])][1].learned[-1]
        expected = CUTOFFS.index(learned) * 1_000 + lengths[row] + np.array([0, 2, 10, 18]) / 100
        np.testing.assert_allclose(values[row], expected, rtol=1e-6)


def test_with_them_the_opponent_is_the_stack(columns, asked):
    examples, past = asked
    stack = LightGBMCustomer(reading=columns, threads=1).fit(examples, past)
    assert set(stack.state()[1]["columns"]) > {"text_mean", "text_low", "text_median", "text_high"}
    assert stack.predict(examples.hide(), past).values.shape == (len(examples), 20)
