from datetime import UTC, datetime

import polars as pl

from intently.baselines.category_shares import CategoryShares
from intently.contract import Past
from intently.log.log import Log
from intently.tasks import next_item

AT = datetime(2024, 5, 6, tzinfo=UTC)


def ranked(log: Log, seed: int = 0) -> list[list[str]]:
    model = CategoryShares(seed=seed).learn(log.before(AT), log.items)
    asked = next_item.TASK.questions(log, AT).where(pl.col("user_id").is_in(["u00", "u20"]))
    ids = model.predict(asked, Past(log, asked)).ids
    assert ids is not None
    return [row[:25].tolist() for row in ids]


def test_the_own_category_comes_first_whole(habits: Log) -> None:
    first = set(ranked(habits)[0][:7])
    # Customer 0 buys item 0, of category c0, which has items 0, 4, 8, 12, 16 and two new ones.
    assert first == {"i00", "i04", "i08", "i12", "i16", "new0", "new4"}


def test_order_inside_a_category_is_random_but_the_same_for_all(habits: Log) -> None:
    a, b = ranked(habits)
    assert a[:7] == b[:7] != sorted(a[:7])
    assert ranked(habits, seed=1)[0][:7] != a[:7]
    assert set(ranked(habits, seed=1)[0][:7]) == set(a[:7])


def test_more_items_of_a_category_than_places(habits: Log) -> None:
    more = pl.DataFrame({"item_id": [f"x{number:03}" for number in range(300)], "category": ["c0"] * 300})
    items = pl.concat([habits.items, more.with_columns(pl.col("item_id").alias("title"))], how="diagonal")
    log = Log.of(habits.events, items, observed_from=habits.observed_from, observed_until=habits.observed_until)
    model = CategoryShares().learn(log.before(AT), items)
    asked = next_item.TASK.questions(log, AT).where(pl.col("user_id") == "u00")
    ids = model.predict(asked, Past(log, asked)).ids
    category = dict(items.select("item_id", "category").iter_rows())
    assert ids is not None
    assert [category[one] for one in ids[0].tolist()] == ["c0"] * 100
