"""Laws of scrambling: whatever the log and the cut-off, the past stays as it was."""

from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from intently.contract import Past
from intently.evaluate.leakcheck import future_scrambled, late_scrambled
from intently.log.log import Log
from intently.tasks import purchase_intent
from planted_shop import UNTIL, planted
from small_logs import ASKED_AT, EVENTS, log_of

SEEDS = st.integers(0, 2**32 - 1)


@given(events=EVENTS, at=ASKED_AT, seed=SEEDS)
def test_scrambling_keeps_the_past_to_the_byte(events, at, seed) -> None:
    log = log_of(events)
    for scramble in (future_scrambled, late_scrambled):
        scrambled = scramble(log, at, np.random.default_rng(seed))
        assert scrambled.before(at).events.equals(log.before(at).events)
        assert scrambled.events.schema == log.events.schema
        assert scrambled.items is log.items
        assert scrambled.users is log.users
        known = scrambled.events.select(pl.max_horizontal("timestamp", "arrived_at")).to_series()
        assert known.is_sorted()


@given(events=EVENTS, at=ASKED_AT, seed=SEEDS)
def test_pasts_of_the_same_questions_are_equal_in_a_scrambled_log(events, at, seed) -> None:
    log = log_of(events)
    asked = purchase_intent.TASK.questions(log, at)
    past = Past(log, asked)
    rows = past.rows()
    names = np.array([*past.event_types, "none"])
    for scramble in (future_scrambled, late_scrambled):
        scrambled = scramble(log, at, np.random.default_rng(seed))
        again = purchase_intent.TASK.questions(scrambled, at)
        assert again.frame.equals(asked.frame)
        other = Past(scrambled, again)
        for column in ("example", "age", "moment", "item", "quantity", "amount"):
            np.testing.assert_array_equal(getattr(other.rows(), column), getattr(rows, column))
        types = np.array([*other.event_types, "none"])
        assert (types[other.rows().event_type] == names[rows.event_type]).all()
        np.testing.assert_array_equal(other.total("amount", 7), past.total("amount", 7))
        np.testing.assert_array_equal(other.count(), past.count())


@given(events=EVENTS, at=ASKED_AT, seed=SEEDS)
def test_one_seed_scrambles_one_way(events, at, seed) -> None:
    log = log_of(events)
    for scramble in (future_scrambled, late_scrambled):
        first, second = (scramble(log, at, np.random.default_rng(seed)).events for _ in range(2))
        assert first.equals(second)


def test_a_sum_does_not_round_by_what_comes_later() -> None:
    shop = planted()
    wide = pl.Series("amount", np.random.default_rng(0).lognormal(0, 6, len(shop.events)))
    log = Log.of(shop.events.with_columns(wide), shop.items, shop.users, observed_until=UNTIL)
    at = UNTIL - timedelta(weeks=8)
    asked = purchase_intent.TASK.questions(log, at)
    for scramble in (future_scrambled, late_scrambled):
        scrambled = scramble(log, at, np.random.default_rng(0))
        for days in (28, None):
            np.testing.assert_array_equal(
                Past(scrambled, asked).total("amount", days), Past(log, asked).total("amount", days)
            )
