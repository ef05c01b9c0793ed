import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intently.baselines.top_k import top_k, top_pairs


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 12), st.integers(0, 10_000))
def test_dense_top_k_is_a_full_sort(n: int, items: int, k: int, seed: int) -> None:
    draws = np.random.default_rng(seed)
    scores = draws.integers(0, 3, (n, items)).astype(float)
    scores[draws.random((n, items)) < 0.2] = -np.inf
    tie = draws.integers(0, 3, items).astype(float)
    column, value = top_k(scores, k, tie=tie, block=2)
    for row in range(n):
        wanted = sorted((-scores[row, i], -tie[i], i) for i in range(items) if np.isfinite(scores[row, i]))[:k]
        assert column[row, : len(wanted)].tolist() == [i for _, _, i in wanted]
        assert value[row, : len(wanted)].tolist() == [-score for score, _, _ in wanted]
        assert (column[row, len(wanted) :] == -1).all()
        assert (value[row, len(wanted) :] == -np.inf).all()


def test_tie_may_differ_by_row() -> None:
    column, _ = top_k(np.zeros((2, 2)), 1, tie=np.array([[1.0, 2.0], [2.0, 1.0]]), block=1)
    assert column[:, 0].tolist() == [1, 0]


def test_pairs_leave_rows_without_any_empty() -> None:
    column, value = top_pairs(np.array([2, 0, 2]), np.array([5, 4, 3]), np.array([1.0, 2.0, 1.0]), np.zeros(3), 3, 2)
    assert column.tolist() == [[4, -1], [-1, -1], [3, 5]]
    assert value[0].tolist() == [2.0, -np.inf]
