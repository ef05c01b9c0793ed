"""Windowed features: values that can be counted by hand, and one asked alone."""

import numpy as np
import polars as pl

from intently.baselines.features import group_codes, windowed
from intently.baselines.windows import by_window, chunks, distinct_by_window
from intently.contract import Past
from intently.log.log import Log
from intently.tasks import purchase_intent, purchasing_power
from small_logs import day

TASK = purchasing_power.TASK


def features(log: Log, at: float) -> dict[str, np.ndarray]:
    questions = purchase_intent.TASK.questions(log, day(at))
    values, names = windowed(Past(log, questions))
    assert values.dtype == np.float32
    assert len(set(names)) == len(names) == values.shape[1]
    return {name: values[:, column] for column, name in enumerate(names)}


def test_by_window_counts_ages_up_to_and_including_the_window():
    found = by_window(np.array([0, 0, 0, 1]), np.array([7.0, 7.5, 400.0, 30.0]), None, 3)
    assert found.tolist() == [[1, 2, 2, 2, 2, 2, 3], [0, 0, 0, 1, 1, 1, 1], [0] * 7]


def test_distinct_counts_a_code_by_its_newest_row():
    example, age, code = np.array([0, 0, 0, 0]), np.array([100.0, 50.0, 5.0, 4.0]), np.array([1, 2, 1, -1])
    assert distinct_by_window(example, age, code, 1)[0].tolist() == [1, 1, 1, 2, 2, 2, 2]


def test_empty_groups_have_no_code():
    assert group_codes(pl.Series(["b", None, "a", "b"])).tolist() == [1, -1, 0, 1]


def test_chunks_are_every_row_once_in_order():
    parts = list(chunks(np.array([1_000_000, 900_000, 5, 5]), 1_500_000))
    assert np.concatenate(parts).tolist() == [0, 1, 2, 3]
    assert max(len(part) for part in parts) == 2


def test_a_customers_numbers_by_hand(tiny_log: Log):
    found = features(tiny_log, 21.0)
    ann, bo, cy = 0, 1, 2
    assert found["money_all"].tolist() == [38, 18, 0]
    assert found["money_14d"].tolist() == [25, 15, 0]
    assert found["baskets_all"].tolist() == [3, 2, 0]
    assert found["items_all"].tolist() == [3, 2, 0]
    assert found["units_28d"].tolist() == [5, 4, 0]
    assert found["events_view_all"].tolist() == [1, 1, 1]
    assert found["recency_basket"][:2].tolist() == [1, 9]
    assert found["recency"][cy] == 18
    assert found["tenure"][ann] == 20.5
    assert found["gap_mean"][ann] == found["gap_median"][ann] == 9.5
    assert found["gap_std"][ann] == 1.5
    assert found["basket_max"].tolist() == [20, 15, 0]
    assert found["recency_basket_2"][bo] == 19
    assert found["category_top_share_28d"][ann] == np.float32(20 / 38)
    assert np.isnan(found["recency_basket"][cy])


def test_one_asked_alone_gets_the_same_features(tiny_log: Log):
    questions = TASK.questions(tiny_log, day(27))
    together, _ = windowed(Past(tiny_log, questions))
    for row in range(len(questions)):
        one = questions.take(np.array([row]))
        alone, _ = windowed(Past(tiny_log, one))
        np.testing.assert_array_equal(alone[0], together[row])


def test_a_log_without_items_amounts_or_purchases():
    events = pl.DataFrame({"user_id": ["a", "a", "b"], "event_type": "open", "timestamp": [day(1), day(2), day(3)]})
    found = features(Log.of(events, observed_from=day(0), observed_until=day(9)), 5.0)
    assert found["events_open_all"].tolist() == [2, 1]
    assert found["baskets_all"].tolist() == [2, 1]
    assert not any(name.startswith("category") for name in found)


def test_asked_for_names_come_in_order_and_unknown_ones_are_zero(tiny_log: Log):
    questions = TASK.questions(tiny_log, day(21))
    values, names = windowed(Past(tiny_log, questions), ("events_return_7d", "money_all"))
    assert names == ("events_return_7d", "money_all")
    assert values.tolist() == [[0, 38], [0, 18], [0, 0]]


def test_money_is_net_of_returns_and_baskets_are_not():
    rows = [("a", "buy", 1, 40.0), ("a", "buy", 5, 8.0), ("a", "return", 6, 3.0), ("b", "return", 6, -2.0)]
    events = pl.DataFrame(rows, schema=["user_id", "event_type", "day", "amount"], orient="row")
    times = pl.Series("timestamp", [day(number) for number in events["day"]])
    found = features(Log.of(events.drop("day").with_columns(times), observed_until=day(20)), 10)
    assert found["money_7d"].tolist() == [5, -2]
    assert found["money_all"].tolist() == [45, -2]
    assert found["baskets_all"].tolist() == [2, 0]
    assert found["basket_max"].tolist() == [40, 0]
