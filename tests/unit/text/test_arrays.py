"""Pasts as moments, lines and nows, against a walk over the rows."""

from datetime import timedelta

import numpy as np
import polars as pl

from intently.contract import Past
from intently.tasks.purchase_intent import TASK
from intently.text.arrays import ragged, sequences
from intently.text.verbalise import item_texts
from planted_shop import START, planted


def test_moments_are_the_baskets_in_order() -> None:
    log = planted()
    cutoffs = [START + timedelta(weeks=w) for w in (10, 20, 30)]
    examples = TASK.examples(log, cutoffs)
    seq = sequences(Past(log, examples))
    assert len(seq.history) == len(examples)
    for i in range(0, len(examples), 17):
        user, at = examples.frame["user_id"][i], examples.at[i]
        mine = log.events.filter((pl.col("user_id") == user) & (pl.col("timestamp") < at))
        baskets = mine.group_by("timestamp", maintain_order=True).agg(pl.col("item_id"), pl.col("amount").sum())
        begin = seq.moment_start[seq.history[i]]
        assert seq.visible[i] == len(baskets)
        for m, row in enumerate(baskets.iter_rows(named=True)):
            lines = slice(seq.line_start[begin + m], seq.line_start[begin + m + 1])
            ids = log.pack.item_ids.gather(seq.item[lines]).to_list()
            assert sorted(ids) == sorted(row["item_id"])
            assert np.isclose(seq.moment_amount[begin + m], row["amount"] or 0, atol=1e-3)
            age = (at - row["timestamp"]).total_seconds() / 86_400
            assert np.isclose(seq.moment_age[begin + m] - seq.now_age[i], age, atol=1e-3)


def test_gaps_are_the_days_between_moments() -> None:
    log = planted()
    seq = sequences(Past(log, TASK.examples(log, [START + timedelta(weeks=30)])))
    first = np.zeros(len(seq.moment_age), dtype=bool)
    first[seq.moment_start[:-1]] = True
    assert (seq.moment_gap[first] == 0).all()
    later = np.flatnonzero(~first)
    assert np.allclose(seq.moment_gap[later], seq.moment_age[later - 1] - seq.moment_age[later], atol=1e-4)


def test_ragged_lays_ranges_end_to_end() -> None:
    index, owner = ragged(np.array([3, 10, 5]), np.array([5, 10, 8]))
    assert index.tolist() == [3, 4, 5, 6, 7]
    assert owner.tolist() == [0, 0, 2, 2, 2]


def test_item_texts_are_distinct_and_say_title_first() -> None:
    items = pl.DataFrame(
        {
            "item_id": [1, 2, 3, 4],
            "title": ["Trail Shoe ", "trail shoe", None, "雨衣"],
            "category": ["shoes", "shoes", None, "外套"],
            "brand": ["A", "A", None, None],
        }
    )
    texts, number = item_texts(items)
    assert texts == ["trail shoe; a; shoes", "", "雨衣; 外套"]
    assert number.tolist() == [0, 0, 1, 2]
