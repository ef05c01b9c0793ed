from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.pair_features import ITEM_COLUMNS, OwnTable, pair_features
from intently.contract import Examples, Past, weekly
from intently.errors import TooFewExamples
from intently.log.log import Log
from intently.log.pack import Array
from intently.tasks import interest, next_item

AT = datetime(2024, 5, 6, tzinfo=UTC)
SMALL = LightGBMRanking(threads=1, trees=20, leaves=7, weeks=3)


class Oracle:
    """A reading that knows each customer's item of the second week, as an example of a reading."""

    def top(self, examples: Examples, past: Past, k: int) -> Array:
        wanted = pl.Series([f"new{int(user[1:]) % 5}" for user in examples.asked])
        code = [past.items["item_id"].to_list().index(one) for one in wanted]
        return np.array(code)[:, None]

    def pairs(
        self, examples: Examples, past: Past, example_index: Array, item_code: Array
    ) -> tuple[Array, tuple[str, ...]]:
        return (self.top(examples, past, 1)[example_index, 0] == item_code)[:, None].astype(float), ("oracle",)


def fitted(model: LightGBMRanking, log: Log) -> LightGBMRanking:
    known = log.before(AT)
    examples = next_item.TASK.examples(known, weekly(datetime(2024, 4, 1, tzinfo=UTC), AT - timedelta(days=7)))
    return model.fit(examples, Past(known, examples))


def test_features_of_a_pair() -> None:
    rows = [("u", "a", "buy", AT - timedelta(days=age), 1.0) for age in (20, 12, 2)]
    rows += [("u", "b", "buy", AT - timedelta(days=12), 3.0), ("v", "a", "buy", AT - timedelta(days=5), 1.0)]
    names = ["user_id", "item_id", "event_type", "timestamp", "quantity"]
    log = Log.of(pl.DataFrame(rows, schema=names, orient="row"), observed_until=AT)
    asked = next_item.TASK.questions(log, AT)
    past = Past(log, asked)
    table = np.zeros((2, len(ITEM_COLUMNS)), dtype=np.float32)
    values, names_ = pair_features(OwnTable.of(past, 2), past, table, np.array([0, 0, 1]), np.array([0, 1, 1]))
    found = [dict(zip(names_, row, strict=True)) for row in values.tolist()]
    assert found[0]["own_count"] == 3
    assert found[0]["own_recency"] == 2
    assert found[0]["own_mean_gap"] == 9
    assert found[0]["own_last_gap"] == 10
    assert found[0]["own_third_age"] == 20
    assert found[0]["own_in_last_basket"] == 1
    assert found[0]["baskets"] == 3
    assert found[0]["own_decayed_7"] == pytest.approx(2 ** (-20 / 7) + 2 ** (-12 / 7) + 2 ** (-2 / 7), rel=1e-5)
    assert found[1]["own_mean_quantity"] == 3
    assert found[1]["own_in_last_basket"] == 0
    assert np.isnan(found[1]["own_last_gap"])
    assert np.isnan(found[2]["own_count"])
    assert found[2]["recency"] == 5


def test_learns_that_every_second_week_is_next(habits: Log) -> None:
    model = fitted(replace(SMALL, trees=60), habits)
    asked = next_item.TASK.examples(habits, [AT])
    scores = model.predict(asked.hide(), Past(habits, asked.hide()))
    assert scores.ids is not None
    due = [set(truth) & set(ids[:2].tolist()) for truth, ids in zip(asked.truth.to_list(), scores.ids, strict=True)]
    assert np.mean([len(hit) / min(2, len(truth)) for hit, truth in zip(due, asked.truth, strict=True)]) > 0.8


def test_a_reading_joins_columns_and_candidates(habits: Log) -> None:
    rows = fitted(replace(SMALL, candidates=Oracle()), habits)
    with_reading = fitted(replace(SMALL, reading=Oracle()), habits)
    assert with_reading.columns == (*rows.columns, "oracle")
    asked = next_item.TASK.questions(habits, AT)
    past = Past(habits, asked)
    assert rows.shop is not None
    blocks = [model._block(asked, past, rows.shop) for model in (rows, with_reading, SMALL)]
    assert blocks[0].item.tolist() == blocks[1].item.tolist()
    assert set(blocks[0].item.tolist()) > set(blocks[2].item.tolist())


def test_nothing_to_learn_is_said(habits: Log) -> None:
    examples = next_item.TASK.examples(habits, [AT]).where(pl.lit(value=True))
    other = Examples(examples.task, examples.frame.with_columns(pl.lit(["unknown"]).alias("truth")))
    with pytest.raises(TooFewExamples):
        SMALL.fit(other, Past(habits, other))


def test_answers_rankings_of_customers_only() -> None:
    assert SMALL.answers(next_item.TASK)
    assert not SMALL.answers(interest.TASK)
