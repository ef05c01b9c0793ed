import numpy as np
import pytest
from sklearn import metrics as golden

from intently.metrics import yes_no

RNG = np.random.default_rng(1)
TRUTH = (RNG.random(400) < 0.3).astype(float)
# Rounded, so that many rows tie.
VALUES = np.round(np.clip(0.3 * TRUTH + 0.6 * RNG.random(400), 0, 1), 2)


def test_agrees_with_sklearn():
    assert yes_no.auroc(TRUTH, VALUES) == pytest.approx(golden.roc_auc_score(TRUTH, VALUES))
    assert yes_no.auprc(TRUTH, VALUES) == pytest.approx(golden.average_precision_score(TRUTH, VALUES))
    assert yes_no.log_loss(TRUTH, VALUES).mean() == pytest.approx(
        golden.log_loss(TRUTH, np.clip(VALUES, yes_no.CLIP, 1 - yes_no.CLIP))
    )
    assert yes_no.brier(TRUTH, VALUES).mean() == pytest.approx(golden.brier_score_loss(TRUTH, VALUES))


def test_a_column_is_the_same_as_a_row():
    for metric in yes_no.METRICS:
        assert metric.value(TRUTH, VALUES[:, None]) == metric.value(TRUTH, VALUES)


def test_a_sure_mistake_is_bounded():
    assert yes_no.log_loss(np.array([1.0]), np.array([0.0]))[0] == pytest.approx(-np.log(1e-7))


def test_ece_by_hand():
    # Two rows in bin 0.0-0.1 (gap 0.5 - 0.05), two in the last, which includes 1 (gap 1 - 0.975).
    truth, values = np.array([0.0, 1, 1, 1]), np.array([0.05, 0.05, 1.0, 0.95])
    assert yes_no.ece(truth, values) == pytest.approx((0.45 * 2 + 0.025 * 2) / 4)


def test_one_class_has_no_auroc():
    assert np.isnan(yes_no.auroc(np.ones(3), np.array([0.1, 0.2, 0.3])))
    assert np.isnan(yes_no.auprc(np.zeros(3), np.array([0.1, 0.2, 0.3])))
