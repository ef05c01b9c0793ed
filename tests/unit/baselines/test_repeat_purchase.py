from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from intently.baselines.catalogue import ItemScores
from intently.baselines.repeat_purchase import RepeatPurchase
from intently.contract import Past, weekly
from intently.log.log import Log
from intently.tasks import demand, interest, next_item

AT = datetime(2024, 5, 6, tzinfo=UTC)


def test_decay_then_recency_then_what_is_popular() -> None:
    ages = {"often_long_ago": (70, 71, 72), "once_lately": (1,), "tie_old": (14, 14), "tie_new": (7,)}
    rows = [("u", item, "buy", AT - timedelta(days=age)) for item, each in ages.items() for age in each]
    rows += [("v", "elsewhere", "buy", AT - timedelta(days=3)), ("u", "viewed", "view", AT - timedelta(days=2))]
    log = Log.of(
        pl.DataFrame(rows, schema=["user_id", "item_id", "event_type", "timestamp"], orient="row"), observed_until=AT
    )
    shop = ItemScores(pl.Series(["elsewhere", "viewed"]), np.array([5.0, 9.0]))
    asked = next_item.TASK.questions(log, AT).where(pl.col("user_id") == "u")
    scores = RepeatPurchase(half_life=7.0, shop=shop).predict(asked, Past(log, asked))
    # With a half-life of 7 days one purchase 7 days ago weighs as much as two 14 days ago.
    order = ["once_lately", "tie_new", "tie_old", "often_long_ago", "viewed", "elsewhere"]
    assert scores.ids is not None
    assert scores.ids[0, :6].tolist() == order
    assert not np.isfinite(scores.values[0, 6:]).any()


def test_habits_are_found(habits: Log) -> None:
    known = habits.before(AT)
    examples = next_item.TASK.examples(known, weekly(datetime(2024, 3, 4, tzinfo=UTC), AT - timedelta(days=7)))
    model = RepeatPurchase().fit(examples, Past(known, examples))
    asked = next_item.TASK.questions(habits, AT)
    scores = model.predict(asked, Past(habits, asked))
    assert scores.ids is not None
    weekly_item = [f"i{int(user[1:]) % 20:02}" for user in asked.asked]
    assert np.mean(scores.ids[:, 0] == np.array(weekly_item, dtype=object)) > 0.9


def test_answers_rankings_of_customers_only() -> None:
    assert RepeatPurchase().answers(next_item.TASK)
    assert not RepeatPurchase().answers(interest.TASK)
    assert not RepeatPurchase().answers(demand.TASK)
