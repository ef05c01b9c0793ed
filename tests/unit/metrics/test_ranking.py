import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from intently.metrics import ranking
from intently.metrics.ranking import Relevant


def relevant(*rows, catalogue=0):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Relevant(offsets, np.array([code for row in rows for code in row], dtype=np.int64), catalogue)


def test_ndcg_agrees_with_sklearn():
    rng = np.random.default_rng(4)
    scores = rng.random((50, 30))
    wanted = rng.random((50, 30)) < 0.2
    wanted[:, 0] = True
    truth = relevant(*[np.flatnonzero(row) for row in wanted])
    found = ranking.ndcg_at_10(truth, np.argsort(-scores, axis=1))
    expected = [ndcg_score(wanted[[i]], scores[[i]], k=10) for i in range(50)]
    assert found == pytest.approx(expected)


def test_by_hand():
    truth = relevant([1, 5], [7], catalogue=10)
    values = np.array([[5, 2, 1], [3, 4, -1]])
    assert ranking.recall_at_10(truth, values).tolist() == [1.0, 0.0]
    assert ranking.mrr_at_10(truth, values).tolist() == [1.0, 0.0]
    assert ranking.ndcg_at_10(truth, values)[0] == pytest.approx(1.5 / (1 + 1 / np.log2(3)))
    assert ranking.coverage(truth, values) == pytest.approx(0.5)
    assert np.isnan(ranking.coverage(relevant([1], [2]), values))


def test_diversity_is_what_two_lists_do_not_share():
    truth = relevant([1], [2], [3])
    assert ranking.diversity(truth, np.array([[1, 2], [1, 2], [1, 2]])) == 0
    # Three of nine draws of two are of one customer twice; in the second case two more share one item of two.
    assert ranking.diversity(truth, np.array([[1, 2], [3, 4], [5, 6]])) == pytest.approx(1 - 3 / 9)
    assert ranking.diversity(truth, np.array([[1, 2], [2, 3], [5, 6]])) == pytest.approx(1 - 4 / 9)
    assert np.isnan(ranking.diversity(relevant([1]), np.array([[-1, -1]])))


def test_naming_an_item_twice_gains_nothing():
    assert ranking.recall_at_10(relevant([1, 2]), np.array([[1, 1, 1]])).tolist() == [0.5]
    assert ranking.hits(relevant([1]), np.array([[1, 1]])).tolist() == [[True, False]]


def test_more_relevant_items_than_places():
    truth = relevant(range(25))
    assert ranking.ndcg_at_10(truth, np.arange(25)[None]) == pytest.approx([1.0])
    assert ranking.recall_at_10(truth, np.arange(25)[None]) == pytest.approx([0.4])


def test_rows_can_be_taken_again():
    truth = relevant([1, 5], [], [7, 8, 9])
    again = truth[np.array([2, 0, 2])]
    assert again.codes.tolist() == [7, 8, 9, 1, 5, 7, 8, 9]
    assert again.counts.tolist() == [3, 2, 3]
    assert truth[np.array([False, False, True])].codes.tolist() == [7, 8, 9]
