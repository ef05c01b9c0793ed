"""A text reader's answers as columns: each row read by the newest reader that was fitted before it was asked."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.contract import Examples, Past, Scores, weekly
from intently.learn import text_columns
from intently.learn.text_columns import TextColumns
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log.log import Log
from intently.tasks.purchasing_power import TASK
from intently.text.story import Teller
from small_logs import START, day
from text_shop import shop as text_shop
from tiny_models import encoder

WEEK = timedelta(days=7)
CUTOFFS = weekly(START + 4 * WEEK, START + 18 * WEEK)
SINCE = [START + 12 * WEEK, START + 17 * WEEK]


@dataclass(frozen=True)
class Noted:
    """In place of a text reader: it remembers what it was fitted on, and says how long the past is that it reads."""

    learned: tuple[tuple[datetime, ...], ...] = ()
    until: datetime | None = None

    def fit(self, examples: Examples, past: Past) -> "Noted":
        assert len(past) == len(examples)
        return replace(self, learned=(*self.learned, tuple(examples.cutoffs)), until=past.learned_until)

    def states(self, examples: Examples, past: Past) -> np.ndarray:
        assert len(past) == len(examples)
        # Beside how often it was fitted which row it is, so that none is put in another's place.
        lengths = past.lengths.astype(np.float32)
        return np.column_stack([lengths, np.sqrt(lengths), np.full(len(past), len(self.learned))]).astype(np.float32)

    def answer(self, states: np.ndarray) -> np.ndarray:
        return 1_000 * states[:, 2:] + states[:, :1] + np.arange(20, dtype=np.float32) / 100

    def calibrated(self, values: np.ndarray) -> Scores:
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_columns, "_further", lambda reader, examples, past: reader.fit(examples, past))
        return TextColumns.of(Noted(), *asked, SINCE, newest=3)


def test_a_reader_learns_from_the_newest_windows_that_have_ended_and_is_taken_further_on_later_ones(columns):
    for number, (since, reader) in enumerate(columns.stages):
        assert since == SINCE[number]
        assert reader.until == since
        assert len(reader.learned) == number + 1
        last = since - TASK.horizon
        assert reader.learned[-1] == tuple(weekly(last - 2 * WEEK, last))
    assert columns.newest is columns.stages[-1][1]


def test_each_row_is_read_by_the_newest_reader_before_it_and_the_first_rows_by_none(columns, asked):
    examples, past = asked
    # In any order of the rows.
    rows = np.random.default_rng(0).permutation(len(examples))
    shuffled, theirs = examples.take(rows), past.take(rows)
    values, names = columns.columns(TASK, shuffled, theirs)
    assert names == ("text_0", "text_1", "text_2", "text_mean", "text_low", "text_median", "text_high")
    assert values.dtype == np.float32
    at, lengths = shuffled.at, theirs.lengths
    for row, when in enumerate(at):
        if when < SINCE[0]:
            assert np.isnan(values[row]).all()
            continue
        expected = (1_000 if when < SINCE[1] else 2_000) + lengths[row] + np.array([0, 2, 10, 18]) / 100
        np.testing.assert_allclose(values[row, 3:], expected, rtol=1e-6)
    # The vector is the states turned, so that the longest pasts are the farthest along the first direction.
    known = ~np.isnan(values[:, 0])
    assert np.corrcoef(values[known, 0], lengths[known])[0, 1] > 0.999


def test_with_them_the_opponent_is_the_stack(columns, asked):
    examples, past = asked
    stack = LightGBMCustomer(reading=columns, threads=1).fit(examples, past)
    assert set(stack.state()[1]["columns"]) > {"text_0", "text_mean", "text_low", "text_median", "text_high"}
    assert stack.predict(examples.hide(), past).values.shape == (len(examples), 20)


def test_a_text_reader_is_taken_further_gently_and_the_one_before_stays_as_it_was(tmp_path):
    events = text_shop(240)
    examples = TASK.examples(events.before(day(60)), [day(7 * week) for week in range(1, 5)])
    past = Past(events, examples)
    recipe = TextRecipe(epochs=4, fewest_steps=0, batch_size=16, max_tokens=32, held_out=0.0)
    reader = TextReader(model=encoder(tmp_path / "encoder"), method="full", recipe=recipe, teller=Teller(last=2))
    made = TextColumns.of(reader, examples, past, [day(45), day(60)], newest=2)
    (_, first), (_, second) = made.stages
    assert len(first.losses) == 4
    assert len(second.losses) == 1
    before, after = first.network.state_dict(), second.network.state_dict()
    moved = [float((before[name] - after[name]).abs().max()) for name in before]
    assert 0 < max(moved) < 0.1
    values, names = made.columns(TASK, examples, past)
    assert values.shape == (len(examples), len(names))
    assert np.isnan(values).all()
    later = TASK.examples(events, [day(60)]).hide()
    assert np.isfinite(made.columns(TASK, later, Past(events, later))[0]).all()
