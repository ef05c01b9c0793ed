"""What holds for every simple predictor of rankings and shares."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from intently.baselines.category_shares import CategoryShares
from intently.baselines.co_visitation import CoVisitation
from intently.baselines.constant import Constant
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.baselines.own_shares import OwnShares
from intently.baselines.popularity import Popularity
from intently.baselines.repeat_purchase import RepeatPurchase
from intently.contract import Examples, Past, Ranking, Scores, Task, weekly
from intently.log.log import Log
from intently.tasks import interest, next_item

AT = datetime(2024, 5, 6, tzinfo=UTC)
FIRST = datetime(2024, 2, 26, tzinfo=UTC)
SMALL: dict[str, Any] = {"threads": 1, "trees": 15, "leaves": 7}
RANKINGS = (
    Constant(),
    Popularity(),
    RepeatPurchase(),
    CoVisitation(),
    CategoryShares(),
    LightGBMRanking(**SMALL, weeks=3),
)
SHARES = (Constant(), OwnShares(), LightGBMShares(**SMALL, weeks=3))
ASKED = [(p, next_item.TASK) for p in RANKINGS] + [(p, interest.TASK) for p in SHARES]
NAMES = [f"{task.name}-{type(p).__name__}" for p, task in ASKED]
UNSEEN = replace(next_item.TASK, answer=Ranking(of="item_id", unseen=True))


def fitted(predictor: Any, task: Task, log: Log) -> Any:
    known = log.before(AT)
    examples = task.examples(known, weekly(FIRST, AT - task.horizon))
    return predictor.fit(examples, Past(known, examples))


def answers(predictor: Any, task: Task, log: Log) -> tuple[Examples, Scores]:
    examples = task.questions(log, AT)
    return examples, predictor.predict(examples, Past(log, examples))


def same(a: Scores, b: Scores) -> None:
    np.testing.assert_array_equal(a.values, b.values)
    if a.ids is not None:
        assert b.ids is not None
        assert a.ids.tolist() == b.ids.tolist()


@pytest.mark.parametrize(("predictor", "task"), ASKED, ids=NAMES)
def test_saved_and_loaded_answers_alike_and_a_second_fit_too(predictor: Any, task: Task, habits: Log) -> None:
    model = fitted(predictor, task, habits)
    _, before = answers(model, task, habits)
    arrays, settings = model.state()
    assert all(values.dtype.kind in "iufU" for values in arrays.values())
    same(before, answers(type(model).from_state(arrays, settings), task, habits)[1])
    same(before, answers(fitted(predictor, task, habits), task, habits)[1])


@pytest.mark.parametrize(("predictor", "task"), ASKED, ids=NAMES)
def test_what_comes_after_changes_nothing(predictor: Any, task: Task, habits: Log) -> None:
    later = pl.col("timestamp") >= AT
    wrong = habits.events.with_columns(pl.when(later).then(pl.lit("i03")).otherwise("item_id").alias("item_id"))
    scrambled = replace(habits, events=wrong)
    assert not scrambled.events.equals(habits.events)
    model = fitted(predictor, task, habits)
    same(answers(model, task, habits)[1], answers(fitted(predictor, task, scrambled), task, scrambled)[1])


@pytest.mark.parametrize(("predictor", "task"), ASKED, ids=NAMES)
def test_one_customer_alone_gets_the_same_answer(predictor: Any, task: Task, habits: Log) -> None:
    model = fitted(predictor, task, habits)
    examples, scores = answers(model, task, habits)
    row = np.array([17])
    alone = model.predict(examples.take(row), Past(habits, examples).take(row))
    np.testing.assert_allclose(alone.values, scores.values[row], rtol=1e-5, atol=1e-7)
    if scores.ids is not None:
        assert alone.ids.tolist() == scores.ids[row].tolist()


@pytest.mark.parametrize(("predictor", "task"), ASKED, ids=NAMES)
def test_a_stranger_in_another_log_is_answered(predictor: Any, task: Task, habits: Log) -> None:
    model = fitted(predictor, task, habits)
    view = pl.DataFrame(
        {"session_id": ["s1"], "event_type": ["view"], "item_id": ["i04"], "timestamp": [AT - timedelta(hours=1)]}
    )
    items = pl.concat([habits.items, pl.DataFrame({"item_id": ["late"], "title": ["late"], "category": ["c9"]})])
    log = Log.of(view, items, observed_until=AT)
    examples, scores = answers(model, task, log)
    assert len(examples) == len(scores) == 1
    if scores.ids is None:
        assert scores.values.sum() == pytest.approx(1, abs=1e-5)
    else:
        found = scores.ids[0][np.isfinite(scores.values[0])].tolist()
        assert len(found) == len(set(found)) == len(items)


@pytest.mark.parametrize("predictor", RANKINGS, ids=lambda p: type(p).__name__)
def test_rankings_hold_distinct_items_best_first(predictor: Any, habits: Log) -> None:
    _, scores = answers(fitted(predictor, next_item.TASK, habits), next_item.TASK, habits)
    assert scores.values.shape == (40, 100)
    assert scores.ids is not None
    for ids, values in zip(scores.ids, scores.values, strict=True):
        real = np.isfinite(values)
        assert sorted(ids[real].tolist()) == sorted(habits.items["item_id"].to_list())
        assert (np.diff(values[real]) <= 0).all()
        assert set(ids[~real].tolist()) == {""}


@pytest.mark.parametrize("predictor", RANKINGS, ids=lambda p: type(p).__name__)
def test_unseen_answers_only_what_nobody_had_bought(predictor: Any, habits: Log) -> None:
    model = fitted(predictor, next_item.TASK, habits)
    examples = UNSEEN.questions(habits, AT)
    scores = model.predict(examples, Past(habits, examples))
    real = np.isfinite(scores.values)
    assert set(scores.ids[real].tolist()) == {f"new{number}" for number in range(5)}
    assert (real.sum(axis=1) == 5).all()


@pytest.mark.parametrize("predictor", SHARES, ids=lambda p: type(p).__name__)
def test_shares_sum_to_one_over_named_labels(predictor: Any, habits: Log) -> None:
    _, scores = answers(fitted(predictor, interest.TASK, habits), interest.TASK, habits)
    assert scores.labels == ("c0", "c1", "c2", "c3", "other")
    np.testing.assert_allclose(scores.values.sum(axis=1), 1, atol=1e-5)
