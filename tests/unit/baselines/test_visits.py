"""Visits and what comes of them, by hand."""

import numpy as np
import polars as pl

from intently.baselines.features import windowed
from intently.baselines.visits import is_browsed
from intently.contract import Past
from intently.log.log import Log
from intently.tasks import purchase_intent
from small_logs import START, day


def shop(*events: tuple[str, str, float]) -> Log:
    """Events of (customer, type, day); purchases are of one unit for 2."""
    frame = pl.DataFrame(
        {
            "user_id": [user for user, _, _ in events],
            "item_id": [1] * len(events),
            "event_type": [kind for _, kind, _ in events],
            "timestamp": [day(when) for _, _, when in events],
            "quantity": [1.0] * len(events),
            "amount": [2.0] * len(events),
        }
    )
    items = pl.DataFrame({"item_id": [1], "title": ["tea"]})
    return Log.of(frame, items, observed_from=START, observed_until=day(100))


def features(log: Log, at: float) -> dict[str, np.ndarray]:
    asked = purchase_intent.TASK.questions(log, day(at))
    values, names = windowed(Past(log, asked))
    return {name: values[:, column] for column, name in enumerate(names)}


def test_only_a_log_with_looks_is_browsed() -> None:
    assert not is_browsed(("buy", "coupon", "return", "mailing"))
    assert is_browsed(("buy", "view"))
    bought = features(shop(("ann", "buy", 1.0), ("ann", "coupon", 1.0)), 10)
    assert not any(name.startswith(("visits", "buy_expected")) for name in bought)


def test_a_visit_ends_with_half_an_hour_of_nothing_and_what_is_done_to_customers_is_none() -> None:
    minute = 1 / 1440
    times = [50.0, 50.0 + 20 * minute, 50.0 + 40 * minute, 50.0 + 80 * minute, 58.0]
    log = shop(*(("ann", "view", when) for when in times), ("ann", "mailing", 55.0), ("bo", "mailing", 55.0))
    found = features(log, 60.0)
    # Ann's first three views are one visit, the fourth another, the fifth the third; bo never came.
    assert found["visits_all"].tolist() == [3, 0]
    assert found["visits_7d"].tolist() == [1, 0]
    np.testing.assert_allclose(found["recency_visit_1"], [2.0, np.nan])
    np.testing.assert_allclose(found["recency_visit_2"], [10 - 80 * minute, np.nan], rtol=1e-5)
    np.testing.assert_allclose(found["visit_gap_mean"], [4.0, np.nan])
    np.testing.assert_allclose(found["recency_visit_by_gap"], [0.5, np.nan])
    np.testing.assert_allclose(
        found["visits_half_7d"][0], 2 ** (-2 / 7) + 2 ** (-10 / 7) + 2 ** (-(10 - 1 / 18) / 7), 1e-5
    )


def test_what_is_expected_is_a_long_memory_times_a_short_one() -> None:
    looks = [("ann", "view", float(when)) for when in range(10, 40)]
    carts = [("ann", "cart", when + 0.001) for when in (12, 13, 38, 39)]
    found = features(shop(*looks, *carts, ("ann", "buy", 12.002)), 40.0)
    share = (1 + 0.5) / (30 + 5)
    np.testing.assert_allclose(found["buy_a_visit"], share, rtol=1e-6)
    np.testing.assert_allclose(found["buy_expected_7d"], share * 7 / 7, rtol=1e-6)
    np.testing.assert_allclose(found["cart_expected_28d"], (4 + 0.5) / 35 * 28 / 28, rtol=1e-6)
    fading = sum(2 ** (-age / 3) for age in range(1, 31)) * np.log(2) / 3
    np.testing.assert_allclose(found["buy_expected_half_3d"], share * fading, rtol=1e-5)


def test_the_last_fortnight_beside_the_best_one() -> None:
    looks = [("ann", "view", when / 2) for when in range(20, 60)] + [("ann", "view", 59.0)]
    found = features(shop(*looks), 60.0)
    # Ages 30.5 to 50 and 1: the fortnight from 28 to 42 days back has 23 of them.
    assert found["visits_best_14d"].tolist() == [23]
    np.testing.assert_allclose(found["visits_now_by_best"], 1 / 23)


def test_a_change_of_pace_is_found_where_it_was() -> None:
    often = [("ann", "view", when / 2) for when in range(20, 160)]
    seldom = [("ann", "view", float(when)) for when in (82, 88, 94)]
    steady = [("bo", "view", float(when)) for when in range(10, 98, 2)]
    found = features(shop(*often, *seldom, *steady), 98.0)
    # Ann came twice a day until 18 days ago, then every sixth; bo every second day.
    assert found["visits_turn_days"][0] in (16, 21)
    assert found["visits_turn_evidence"][0] < -10
    assert abs(found["visits_turn_evidence"][1]) < 1.5
    assert found["visits_a_day_now"][0] < 0.3
    np.testing.assert_allclose(found["visits_a_day_before_turn"][0], 2.0, rtol=0.1)
    np.testing.assert_allclose(found["visits_a_day_now"][1], 0.5, rtol=0.1)
    np.testing.assert_allclose(found["buy_expected_now"], found["buy_a_visit"] * found["visits_a_day_now"], rtol=1e-6)
