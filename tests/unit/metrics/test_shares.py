import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from intently.metrics import shares


def test_divergence_is_the_square_of_scipys_distance():
    rng = np.random.default_rng(5)
    p, q = rng.dirichlet(np.ones(6), 40), rng.dirichlet(np.ones(6), 40)
    assert shares.jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, axis=1) ** 2)


def test_nothing_in_common_is_log_two():
    assert shares.jensen_shannon(np.array([[1.0, 0]]), np.array([[0.0, 1]])) == pytest.approx(np.log(2))


def test_top_share():
    truth, values = np.array([[0.7, 0.3], [0.4, 0.6]]), np.array([[0.2, 0.8], [0.1, 0.9]])
    assert shares.top_share(truth, values).tolist() == [0.3, 0.6]
