"""Mixtures of two answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.contract import OTHER, Amount, Scores, Shares, YesNo
from intently.learn.blend import WEIGHTS, mixed

RNG = np.random.default_rng(0)


@given(st.sampled_from(WEIGHTS), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_mixed_chance_lies_between(weight, a, b) -> None:
    one, two = (Scores(YesNo(), np.array([[p]], dtype=np.float32)) for p in (a, b))
    found = float(mixed(one, two, weight).values[0, 0])
    assert min(a, b) - 1e-6 <= found <= max(a, b) + 1e-6


def test_shares_sum_to_one_and_unknown_labels_go_to_other() -> None:
    a = Scores(Shares("category"), RNG.dirichlet([1, 1, 1], 5).astype(np.float32), ("tea", "rice", OTHER))
    b = Scores(Shares("category"), RNG.dirichlet([1, 1, 1], 5).astype(np.float32), ("soap", "tea", OTHER))
    found = mixed(a, b, 0.3)
    assert found.labels == a.labels
    assert np.allclose(found.values.sum(axis=1), 1, atol=1e-5)
    onto = np.column_stack([b.values[:, 1], np.zeros(5), b.values[:, 0] + b.values[:, 2]])
    by_hand = a.values**0.7 * np.maximum(onto, 1e-6) ** 0.3
    assert np.allclose(found.values, by_hand / by_hand.sum(axis=1, keepdims=True), atol=1e-5)


def test_quantiles_of_a_mixed_amount_stay_in_order() -> None:
    a, b = (Scores(Amount("money"), np.sort(RNG.gamma(2, 30, (4, 20)), axis=1).astype(np.float32)) for _ in range(2))
    found = mixed(a, b, 0.25).values
    assert (np.diff(found[:, 1:], axis=1) >= 0).all()
    assert found[:, 0] == pytest.approx(0.75 * a.values[:, 0] + 0.25 * b.values[:, 0], rel=1e-5)
