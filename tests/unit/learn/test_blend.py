"""Mixtures of two answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.contract import OTHER, Amount, Ranking, Scores, Shares, YesNo
from intently.learn.blend import WEIGHTS, Blend, blended, mixed

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


def ranking(rows: list[dict[str, float]], k: int) -> Scores:
    """Rankings of named items, the best first."""
    lists = [sorted(row.items(), key=lambda pair: -pair[1]) for row in rows]
    values = np.full((len(rows), k), -np.inf, dtype=np.float32)
    ids = np.full((len(rows), k), "", dtype=object)
    for i, row in enumerate(lists):
        for j, (name, value) in enumerate(row[:k]):
            ids[i, j], values[i, j] = name, value
    return Scores(Ranking("item_id"), values, ids=ids)


def test_a_mixed_ranking_orders_by_log_chance_and_logit() -> None:
    booster = ranking([{"tea": 0.5, "rice": 0.4, "soap": 0.01}, {"tea": 0.3}], 3)
    reader = ranking([{"rice": 4.0, "salt": 2.0, "tea": 1.0}, {"salt": -1.0, "tea": -9.0}], 3)
    found = blended([booster], reader, 0.5)
    # tea: log .5 + 1; rice: log .4 + 4; salt: one below soap, and 2; soap: log .01 and one below tea.
    assert found.ids[0].tolist() == ["rice", "tea", "salt"]
    assert found.values[0] == pytest.approx(
        [(np.log(0.4) + 4) / 2, (np.log(0.5) + 1) / 2, (np.log(0.01) - 1 + 2) / 2], abs=1e-5
    )
    assert found.ids[1, :2].tolist() == ["salt", "tea"]
    assert np.isfinite(found.values[1]).tolist() == [True, True, False]


@given(st.sampled_from(WEIGHTS), st.permutations(list("abcdefgh")))
def test_two_lists_that_agree_stay_as_they_are(weight, names) -> None:
    chances = {name: 0.9 - 0.1 * place for place, name in enumerate(names[:5])}
    # Below all chances come items that are no candidates.
    rest = {name: -1.0 - place for place, name in enumerate(names[5:])}
    logits = {name: 5.0 - place for place, name in enumerate(names)}
    found = blended([ranking([chances | rest], 8)] * 2, ranking([logits], 8), weight)
    assert found.ids[0].tolist() == names


def test_boosters_count_alike_and_the_reader_by_its_weight() -> None:
    one, two, read = (
        Scores(Amount("money"), np.full((1, 20), value, dtype=np.float32)) for value in (10.0, 20.0, 40.0)
    )
    assert blended([one, two], None, 0.0).values[0, 0] == pytest.approx(15)
    assert blended([one, two], read, 0.2).values[0, 0] == pytest.approx(0.8 * 15 + 0.2 * 40)


def test_a_blend_of_answers_that_were_given_is_the_one_it_would_give() -> None:
    class Says:
        def __init__(self, value):
            self.scores = Scores(Amount("money"), np.full((2, 20), value, dtype=np.float32))

        def predict(self, examples, past):
            return self.scores

    by = {name: Says(value) for name, value in (("stack", 1.0), ("rule", 5.0), ("reader", 30.0), ("other", 99.0))}
    told = {name: one.scores for name, one in by.items()}
    for reader in (by["reader"], None):
        blend = Blend({"rule": by["rule"], "stack": by["stack"]}, reader, 0.4)
        np.testing.assert_array_equal(blend.of(told, by).values, blend.predict(None, None).values)
        for missing in ("rule", "reader") if reader else ("stack",):
            assert blend.of({name: one for name, one in told.items() if name != missing}, by) is None
    # Another by the same name is another.
    assert blend.of(told, by | {"rule": Says(5.0)}) is None


def test_shares_over_other_labels_go_where_they_are_named_or_to_other() -> None:
    mine = Scores(Shares("category"), np.array([[0.5, 0.3, 0.2]], dtype=np.float32), ("a", "b", OTHER))
    theirs = Scores(Shares("category"), np.array([[0.1, 0.2, 0.3, 0.4]], dtype=np.float32), ("c", "b", "d", OTHER))
    np.testing.assert_allclose(mixed(mine, theirs, 1.0).values, [[0.0, 0.2, 0.8]], atol=1e-5)
    without = Scores(Shares("category"), np.array([[0.4, 0.6]], dtype=np.float32), ("a", "b"))
    np.testing.assert_allclose(mixed(without, theirs, 1.0).values, [[0.0, 1.0]], atol=1e-4)
