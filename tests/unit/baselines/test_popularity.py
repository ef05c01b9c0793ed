from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from intently.baselines.popularity import Popularity, popularity
from intently.contract import Examples, Past
from intently.errors import TooFewExamples
from intently.log.log import Log
from intently.tasks import next_item

END = datetime(2024, 2, 1, tzinfo=UTC)


def log_of(*rows: tuple[str, str, str, float]) -> Log:
    table = [(user, item, kind, END - timedelta(days=age)) for user, item, kind, age in rows]
    names = ["user_id", "item_id", "event_type", "timestamp"]
    return Log.of(pl.DataFrame(table, schema=names, orient="row"), observed_until=END)


LOG = log_of(
    ("u", "a", "buy", 14), ("u", "a", "buy", 7), ("v", "a", "buy", 14), ("v", "b", "buy", 7), ("v", "c", "view", 1)
)


@pytest.mark.parametrize(
    ("half_life", "customers", "a", "b"),
    [(None, True, 2, 1), (None, False, 3, 1), (7.0, False, 1.0, 0.5), (7.0, True, 0.75, 0.5)],
)
def test_decayed_counts_of_customers_or_purchases(half_life: float | None, customers: bool, a: float, b: float) -> None:
    counts = popularity(LOG, half_life, customers)
    assert counts.ids.to_list() == ["a", "b"]
    assert counts.score.tolist() == pytest.approx([a, b])


def test_what_is_most_bought_comes_first_for_all(habits: Log) -> None:
    at = datetime(2024, 5, 6, tzinfo=UTC)
    extra = habits.events.head(0).vstack(habits.events.head(1).with_columns(pl.lit("i07").alias("item_id")))
    lots = pl.concat([habits.events, *[extra] * 200])
    log = Log.of(lots, habits.items, observed_from=habits.observed_from, observed_until=habits.observed_until)
    examples = next_item.TASK.examples(log.before(at), [at - timedelta(days=7), at - timedelta(days=14)])
    model = Popularity().fit(examples, Past(log.before(at), examples))
    asked = next_item.TASK.questions(log, at)
    ids = model.predict(asked, Past(log, asked)).ids
    assert ids is not None
    assert (ids == ids[0]).all()
    assert model.counts is not None
    assert len(model.counts.ids) == 20


def test_nothing_bought_is_said() -> None:
    views = log_of(("u", "a", "view", 20), ("u", "b", "view", 1))
    asked = next_item.TASK.questions(views, END - timedelta(days=8))
    examples = Examples(asked.task, asked.frame.with_columns(pl.Series("truth", [["a"]])))
    with pytest.raises(TooFewExamples, match="Nothing was bought"):
        Popularity().fit(examples, Past(views, examples))
