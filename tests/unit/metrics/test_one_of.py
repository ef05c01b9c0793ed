import numpy as np
import pytest
from sklearn import metrics as golden

from intently.metrics import one_of

RNG = np.random.default_rng(2)
TRUTH = RNG.integers(0, 4, 300)
VALUES = RNG.dirichlet(np.ones(4), 300) * 0.6 + np.eye(4)[TRUTH] * 0.4


def test_agrees_with_sklearn():
    given = VALUES.argmax(axis=1)
    assert one_of.accuracy(TRUTH, VALUES).mean() == pytest.approx(golden.accuracy_score(TRUTH, given))
    assert one_of.macro_f1(TRUTH, VALUES) == pytest.approx(golden.f1_score(TRUTH, given, average="macro"))
    assert one_of.log_loss(TRUTH, VALUES).mean() == pytest.approx(golden.log_loss(TRUTH, VALUES))


def test_a_label_nobody_has_or_is_given_does_not_count():
    truth, values = np.array([0, 1]), np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    assert one_of.macro_f1(truth, values) == 1.0
