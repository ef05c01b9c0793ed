from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from intently.baselines.lightgbm_shares import LightGBMShares, divergence_slope, softmax
from intently.baselines.share_features import shop_shares
from intently.contract import Examples, Past, Task, share_matrix, weekly
from intently.log.log import Log
from intently.log.pack import Array
from intently.metrics.shares import jensen_shannon
from intently.tasks import interest, next_item

AT = datetime(2024, 4, 22, tzinfo=UTC)
SMALL = LightGBMShares(threads=1, trees=20, leaves=7, weeks=3)


class Reading:
    """A column that says nothing."""

    def cells(
        self, task: Task, examples: Examples, past: Past, labels: tuple[str, ...]
    ) -> tuple[Array, tuple[str, ...]]:
        return np.full((len(examples), len(labels), 1), np.nan), ("nothing",)


def test_slope_is_that_of_the_divergence() -> None:
    draws = np.random.default_rng(0)
    raw, truth = draws.normal(size=(3, 5)), softmax(draws.normal(size=(3, 5)))
    truth[:, 2] = 0
    truth /= truth.sum(axis=1, keepdims=True)
    gradient, hessian = divergence_slope(softmax(raw), truth)
    for label in range(5):
        step = np.zeros((3, 5))
        step[:, label] = 1e-5
        up, down = (jensen_shannon(truth, softmax(raw + sign * step)) for sign in (1, -1))
        np.testing.assert_allclose(gradient[:, label], 5 * (up - down) / 2e-5, atol=1e-6)
    assert (hessian > 0).all()


def test_shop_shares_by_window(habits: Log) -> None:
    shares = shop_shares(habits.before(AT), habits.items, "category", ("c0", "c1", "c2", "c3", "other"))
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    bought = habits.before(AT).events.join(habits.items, on="item_id")
    assert shares[1, 3] == (bought["category"] == "c1").mean()


def test_trees_do_not_lose_to_their_start(habits: Log) -> None:
    known = habits.before(AT)
    examples = interest.TASK.examples(known, weekly(datetime(2024, 2, 26, tzinfo=UTC), AT - timedelta(days=28)))
    past = Past(known, examples)
    model = SMALL.fit(examples, past)
    assert model.own is not None
    start = model.own.predict(examples.hide(), past)
    after = model.predict(examples.hide(), past)
    truth = share_matrix(examples.truth, after.labels)
    assert jensen_shannon(truth, after.values).mean() < jensen_shannon(truth, start.values).mean()


def test_a_reading_joins_the_columns_and_an_empty_one_changes_nothing_of_use(habits: Log) -> None:
    known = habits.before(AT)
    examples = interest.TASK.examples(known, weekly(datetime(2024, 3, 4, tzinfo=UTC), AT - timedelta(days=28)))
    past = Past(known, examples)
    model, with_reading = SMALL.fit(examples, past), replace(SMALL, reading=Reading()).fit(examples, past)
    assert with_reading.columns == (*model.columns, "nothing")
    asked = interest.TASK.questions(habits, AT)
    values = with_reading.predict(asked, Past(habits, asked)).values
    np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)


def test_answers_shares_only() -> None:
    assert SMALL.answers(interest.TASK)
    assert not SMALL.answers(next_item.TASK)
