from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.contract import Everyone, Past, Ranking, Task, YesNo
from intently.evaluate import slices
from intently.log.log import Log

START = datetime(2024, 1, 1, tzinfo=UTC)
AT = START + timedelta(days=30)
BOUGHT = pl.col("item_id")


def task(answer, truth, absent):
    return Task("probe", Everyone("user_id"), answer, timedelta(days=7), truth, absent, {"en": "?"})


@pytest.fixture(scope="module")
def log():
    def row(user, item, day):
        return {"user_id": user, "item_id": item, "event_type": "buy", "timestamp": START + timedelta(days=day)}

    rows = [row("often", "tea", day) for day in range(8)]
    rows += [row("basket", item, 3) for item in ("tea", "milk", "rice", "salt", "oil", "soap", "eggs")]
    rows += [row("once", "milk", 29)]
    rows += [row("often", "tea", 31), row("often", "new", 32), row("basket", "tea", 33), row("once", "new", 36)]
    return Log.of(pl.DataFrame(rows), observed_from=START, observed_until=START + timedelta(days=60))


@pytest.fixture(scope="module")
def ranked(log):
    examples = task(Ranking("item_id"), BOUGHT.unique().sort().implode(), None).examples(log, [AT])
    return examples, Past(log, examples.hide())


def test_unseen(ranked):
    examples, _ = ranked
    assert examples.asked.to_list() == ["basket", "often", "once"]
    assert slices.unseen(examples, {"often"}).tolist() == [True, False, True]
    assert slices.unseen(examples, []).all()


def test_a_basket_is_one_moment(ranked):
    examples, past = ranked
    assert slices.short(examples, past).tolist() == [True, False, True]
    assert slices.short(examples, past, moments=8).tolist() == [True, True, True]
    assert slices.short(examples, past, moments=0).tolist() == [False, False, False]


def test_long_baskets_are_read_to_their_end(ranked, monkeypatch):
    examples, past = ranked
    monkeypatch.setattr(slices, "_NEWEST", 2)
    assert slices.short(examples, past).tolist() == [True, False, True]


def test_cold_items_are_those_first_sold_in_the_window(log, ranked):
    examples, past = ranked
    assert slices.cold(examples, past).tolist() == [False, True, True]
    later = examples.task.examples(log, [AT, AT + timedelta(days=3)])
    cold = dict(zip(later.frame.select("user_id", "at").iter_rows(), slices.cold(later, Past(log, later)), strict=True))
    # "new" was sold on day 32, so on day 33 it is no longer new.
    assert not cold[("once", AT + timedelta(days=3))]
    assert cold[("once", AT)]


def test_standard_names(log, ranked):
    assert set(slices.standard(*ranked, trained_on=["often"])) == {"unseen", "short", "cold_items"}
    plain = task(YesNo(), (pl.col("event_type") == "buy").any(), False).examples(log, [AT])
    found = slices.standard(plain, Past(log, plain), trained_on=["often"])
    assert set(found) == {"unseen", "short"}
    assert all(mask.dtype == np.bool_ and len(mask) == len(plain) for mask in found.values())
