"""The start of trees on the root of an amount: roots of past sums, none of which counts against another."""

import json

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from intently.baselines.mixed_roots import MixedRoots

NAMES = (
    "recency",
    "money_28d",
    "money_trend_7d_28d",
    "money_29_to_56d",
    "money_half_56d",
    "baskets_84d",
    "money_per_day",
)


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features, and roots that are twice that of the last 28 days, half that of the decayed sum, and 3."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.0, 50.0, (3000, len(NAMES)))
    root = 2.0 * np.sqrt(values[:, 1]) + 0.5 * np.sqrt(values[:, 4]) + 3.0
    return values, root + rng.normal(0, 0.5, len(root))


def test_weights_are_those_that_the_roots_were_made_with() -> None:
    values, root = planted()
    found = MixedRoots.of(values, NAMES, root, money=True)
    assert found.names == ("money_28d", "money_half_56d", "money_per_day")
    np.testing.assert_allclose(found.weights, [2.0, 0.5, 0.0], atol=0.02)
    np.testing.assert_allclose(found.floor, 3.0, rtol=0.05)
    again = MixedRoots.from_state(json.loads(json.dumps(found.state())))
    np.testing.assert_array_equal(again.root(values, NAMES), found.root(values, NAMES))


def test_what_is_no_money_goes_by_all_that_is_counted() -> None:
    values, root = planted()
    found = MixedRoots.of(values, NAMES, root, money=False)
    assert found.names == ("money_28d", "money_half_56d", "baskets_84d", "money_per_day")


def test_sums_are_told_from_what_only_looks_like_them() -> None:
    sums = (
        "money_7d",
        "money_all",
        "money_half_14d",
        "money_per_day",
        "units_28d",
        "items_all",
        "events_add_to_cart_84d",
    )
    others = (
        "money_trend_7d_28d",
        "money_29_to_56d",
        "money_off_28d",
        "moneys_28d",
        "events_buy",
        "recency_buy",
        "basket_mean_84d",
    )
    values = np.random.default_rng(0).gamma(1.0, 1.0, (50, len(sums) + len(others)))
    found = {money: MixedRoots.of(values, (*sums, *others), values[:, 0], money=money).names for money in (True, False)}
    assert found == {True: sums[:4], False: sums}


def test_who_brought_more_back_than_they_bought_spent_nothing() -> None:
    values, root = planted()
    found = MixedRoots.of(values, NAMES, root, money=True)
    back, nothing = values.copy(), values.copy()
    back[:, 1], nothing[:, 1] = -50.0, 0.0
    np.testing.assert_array_equal(found.root(back, NAMES), found.root(nothing, NAMES))


@given(st.integers(0, 10_000))
def test_more_in_any_window_never_means_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.gamma(0.5, 20.0, (60, len(NAMES)))
    values[rng.random(values.shape) < 0.1] = np.nan
    found = MixedRoots.of(values, NAMES, rng.gamma(1.0, 5.0, 60), money=True)
    more = values.copy()
    more[:, 1] = np.nan_to_num(more[:, 1]) + 10.0
    assert (found.weights >= 0).all()
    assert found.floor >= 0
    assert (found.root(more, NAMES) >= found.root(values, NAMES)).all()


def test_a_log_that_counts_nothing_gives_the_mean() -> None:
    values, root = planted()
    found = MixedRoots.of(values[:, :1], NAMES[:1], root, money=True)
    np.testing.assert_allclose(found.root(values[:, :1], NAMES[:1]), root.mean())


def test_columns_that_say_the_same_are_no_trouble() -> None:
    values, _ = planted()
    values[:, 4] = values[:, 1]
    values[:, 6] = 0.0
    root = 2.0 * np.sqrt(values[:, 1]) + 3.0
    found = MixedRoots.of(values, NAMES, root, money=True)
    np.testing.assert_allclose(found.root(values, NAMES), root, rtol=1e-6)
