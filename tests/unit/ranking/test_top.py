"""The best items of a catalogue: the same as sorting every score in double precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.errors import ConfigError
from intently.ranking import top
from intently.ranking.top import Catalogue


def plainly(vectors, bias, queries, k):
    """What sorting every score gives."""
    scores = queries.astype(np.float64) @ vectors.astype(np.float64).T + bias
    order = np.stack([np.lexsort((np.arange(len(bias)), -row))[:k] for row in scores])
    return order, np.take_along_axis(scores, order, axis=1)


@given(
    items=st.integers(1, 3000),
    width=st.integers(1, 9),
    k=st.integers(1, 120),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
    seed=st.integers(0, 2**31),
)
def test_the_ranking_is_that_of_every_score_sorted(items, width, k, scale, seed):
    rng = np.random.default_rng(seed)
    vectors = (rng.standard_normal((items, width)) * scale).astype(np.float32)
    # Whole numbers bring ties, which are broken by code.
    bias = rng.integers(-2, 3, items).astype(np.float32)
    queries = rng.integers(-1, 2, (3, width)).astype(np.float32)
    code, score = Catalogue(vectors, bias).top(queries, k)
    wanted, exact = plainly(vectors, bias, queries, min(k, items))
    np.testing.assert_array_equal(code[:, : min(k, items)], wanted)
    np.testing.assert_allclose(score[:, : min(k, items)], exact, rtol=1e-12, atol=1e-12 * scale)
    assert (code[:, items:] == -1).all()
    assert np.isneginf(score[:, items:]).all()


def test_scores_that_single_precision_cannot_tell_apart_are_ranked_exactly():
    rng = np.random.default_rng(0)
    # A hundred thousand items within a few units of the last place of each other, over many blocks.
    vectors = (1.0 + rng.integers(0, 4, (100_000, 16)) * 2.0**-23).astype(np.float32)
    bias, queries = np.zeros(100_000, dtype=np.float32), rng.standard_normal((2, 16)).astype(np.float32)
    code, _ = Catalogue(vectors, bias).top(queries, 50)
    np.testing.assert_array_equal(code, plainly(vectors, bias, queries, 50)[0])


def test_a_bound_that_is_too_tight_would_be_noticed(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = (1.0 + rng.integers(0, 4, (100_000, 16)) * 2.0**-23).astype(np.float32)
    bias, queries = np.zeros(100_000, dtype=np.float32), rng.standard_normal((2, 16)).astype(np.float32)
    monkeypatch.setattr(top, "_ULP", 0.0)
    code, _ = Catalogue(vectors, bias).top(queries, 50)
    assert (code != plainly(vectors, bias, queries, 50)[0]).any()


def test_items_with_a_bias_of_minus_infinity_are_left_out():
    vectors, queries = np.eye(4, dtype=np.float32), np.ones((1, 4), dtype=np.float32)
    bias = np.array([0, 1, 2, 3], dtype=np.float32)
    out = np.array([0, -np.inf, 2, -np.inf], dtype=np.float32)
    code, score = Catalogue(vectors, bias).top(queries, 3, bias=out)
    np.testing.assert_array_equal(code, [[2, 0, -1]])
    np.testing.assert_array_equal(score, [[3, 1, -np.inf]])


def test_an_empty_catalogue_and_no_queries():
    empty = Catalogue(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    assert (empty.top(np.ones((2, 4), np.float32), 3)[0] == -1).all()
    assert Catalogue(np.eye(4, dtype=np.float32), np.zeros(4, np.float32)).top(np.zeros((0, 4)), 3)[0].shape == (0, 3)


def test_vectors_and_biases_have_to_go_together():
    with pytest.raises(ConfigError, match="do not go with"):
        Catalogue(np.eye(4, dtype=np.float32), np.zeros(3, np.float32))
