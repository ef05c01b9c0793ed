"""Pasts as moments, lines and nows, against a walk over the rows."""

from datetime import timedelta

import numpy as np
import polars as pl

from intently.contract import Past
from intently.tasks.purchase_intent import TASK
from intently.text.arrays import newest, ragged, sequences
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


def test_the_newest_are_those_of_a_question_alone_whatever_else_is_asked_later() -> None:
    log = planted()
    cutoffs = [START + timedelta(weeks=w) for w in (6, 10, 20, 21, 30)]
    longest = 4
    seq = newest(sequences(Past(log, TASK.examples(log, cutoffs))), longest)
    examples = TASK.examples(log, cutoffs)
    alone = {at: newest(sequences(Past(log, examples.where(pl.col("at") == at))), longest) for at in cutoffs}
    place = dict.fromkeys(cutoffs, 0)
    repeated = 0
    for i, at in enumerate(examples.at):
        one, k = alone[at], place[at]
        place[at] += 1
        history, mine = seq.history[i], one.history[k]
        read = seq.visible[i] - seq.skipped[history]
        assert one.visible[k] - one.skipped[mine] == min(one.visible[k], longest) <= read < 2 * longest
        repeated += history != mine
        # What is remembered is the whole past, and of what is read the newest are the same.
        assert seq.visible[i] == one.visible[k]
        begin, start = seq.moment_start[history], one.moment_start[mine]
        ages = seq.moment_age[begin : begin + seq.visible[i]] - seq.now_age[i]
        np.testing.assert_allclose(ages, one.moment_age[start : start + one.visible[k]] - one.now_age[k], atol=1e-3)
        here, there = (s.line_start[b : b + seq.visible[i] + 1] for s, b in ((seq, begin), (one, start)))
        np.testing.assert_array_equal(here - here[0], there - there[0])
        np.testing.assert_array_equal(seq.item[here[0] : here[-1]], one.item[there[0] : there[-1]])
        first = seq.visible[(seq.history == history)].min() == seq.visible[i]
        assert not first or read == min(seq.visible[i], longest)
    assert repeated
    assert seq.lengths.max() < 2 * longest


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
