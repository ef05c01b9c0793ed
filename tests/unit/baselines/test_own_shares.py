from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.constant import Constant
from intently.baselines.label_rows import label_codes
from intently.baselines.own_shares import OwnShares, smoothed
from intently.contract import Past, share_matrix, weekly
from intently.log.log import Log
from intently.metrics.shares import jensen_shannon
from intently.tasks import interest, next_item

AT = datetime(2024, 4, 22, tzinfo=UTC)


def test_smoothing_leans_on_the_mean() -> None:
    counts, mean = np.array([[3.0, 1.0], [0.0, 0.0]]), np.array([0.25, 0.75])
    np.testing.assert_allclose(smoothed(counts, mean, 4.0), [[4 / 8, 4 / 8], mean])
    np.testing.assert_allclose(smoothed(counts, mean, 4.0, power=2.0)[1], [0.1, 0.9])


def test_labels_of_items() -> None:
    items = pl.DataFrame({"item_id": ["1", "2", "3"], "category": ["a", None, "z"]})
    assert label_codes(items, "category", ("a", "other")).tolist() == [0, -1, 1]
    assert label_codes(items, "colour", ("a", "other")).tolist() == [-1, -1, -1]


def test_habits_beat_the_mean_of_all(habits: Log) -> None:
    known = habits.before(AT)
    examples = interest.TASK.examples(known, weekly(datetime(2024, 2, 26, tzinfo=UTC), AT - timedelta(days=28)))
    past = Past(known, examples)
    asked = interest.TASK.examples(habits, [AT])
    values = []
    for predictor in (OwnShares(), Constant()):
        scores = predictor.fit(examples, past).predict(asked.hide(), Past(habits, asked.hide()))
        values.append(jensen_shannon(share_matrix(asked.truth, scores.labels), scores.values).mean())
    assert values[0] < values[1] / 2


def test_answers_shares_only() -> None:
    assert OwnShares().answers(interest.TASK)
    assert not OwnShares().answers(next_item.TASK)


def test_a_stranger_gets_the_mean(habits: Log) -> None:
    model = OwnShares(labels=("c0", "c1", "other"), half_life=28.0, strength=2.0, mean=np.array([0.5, 0.3, 0.2]))
    view = pl.DataFrame(
        {"session_id": ["s"], "event_type": ["view"], "item_id": ["i00"], "timestamp": [AT - timedelta(days=1)]}
    )
    log = Log.of(view, habits.items, observed_until=AT)
    asked = interest.TASK.questions(log, AT)
    assert model.predict(asked, Past(log, asked)).values[0].tolist() == pytest.approx([0.5, 0.3, 0.2])
