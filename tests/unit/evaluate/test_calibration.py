import numpy as np
import pytest

from intently.evaluate import calibration
from intently.metrics import amount, yes_no

RNG = np.random.default_rng(1)


def test_reliability_counts_every_row_and_agrees_with_ece():
    p = RNG.random(500)
    truth = (RNG.random(500) < p**2).astype(float)
    rows = calibration.reliability(truth, p)
    assert sum(row["n"] for row in rows) == 500
    ece = sum(row["n"] * abs(row["given"] - row["happened"]) for row in rows) / 500
    assert ece == pytest.approx(yes_no.ece(truth, p))
    assert all(row["low"] <= row["given"] <= row["high"] for row in rows)


def test_empty_bins_are_left_out():
    rows = calibration.reliability(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    assert rows == [{"low": 0.9, "high": 1.0, "given": 1.0, "happened": 0.5, "n": 2}]


def test_temperature_undoes_overconfidence():
    logit = RNG.normal(0, 1.5, 20_000)
    truth = (RNG.random(20_000) < 1 / (1 + np.exp(-logit))).astype(float)
    sharp = (1 / (1 + np.exp(-3 * logit)))[:, None]
    temperature = calibration.fit_temperature(truth, sharp)
    assert temperature == pytest.approx(3.0, rel=0.1)
    mended = calibration.temper(sharp, temperature)
    assert mended.shape == sharp.shape
    assert yes_no.ece(truth, mended) < 0.02 < yes_no.ece(truth, sharp)


def test_temperature_of_several_labels():
    logits = RNG.normal(0, 1.5, (4_000, 3))
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (RNG.random((4_000, 1)) > right.cumsum(axis=1)).sum(axis=1)
    sharp = right**2 / (right**2).sum(axis=1, keepdims=True)
    temperature = calibration.fit_temperature(truth, sharp)
    assert temperature == pytest.approx(2.0, rel=0.1)
    assert calibration.temper(sharp, 2.0) == pytest.approx(right, abs=1e-3)


def test_temperature_one_changes_nothing_and_order_stays():
    p = np.sort(RNG.random(100)).astype(np.float32)
    assert calibration.temper(p, 1.0) == pytest.approx(p, abs=1e-6)
    assert (np.diff(calibration.temper(p, 5.0)) >= 0).all()
    assert calibration.temper(p, 5.0).dtype == np.float32


def test_conformal_scale_mends_coverage():
    mean = RNG.gamma(2.0, 20.0, 4000)
    truth = RNG.gamma(4.0, mean / 4)
    values = np.column_stack([mean, np.outer(mean, 0.8 + 0.4 * amount.LEVELS)])
    scale = calibration.conformal_scale(truth[:2000], values[:2000])
    mended = calibration.stretch(values[2000:], scale)
    assert amount.coverage_90(truth[2000:], values[2000:]).mean() < 0.5
    assert amount.coverage_90(truth[2000:], mended).mean() == pytest.approx(0.9, abs=0.03)
    assert (mended[:, 1:] >= 0).all()
    assert (mended[:, 0] == values[2000:, 0]).all()


def test_interval_coverage_of_the_right_forecast():
    truth = RNG.random(5000)
    values = np.tile(np.concatenate([[0.5], amount.LEVELS]), (5000, 1))
    rows = calibration.interval_coverage(truth, values)
    assert [row["nominal"] for row in rows] == pytest.approx(np.arange(1, 10) / 10)
    assert [row["observed"] for row in rows] == pytest.approx(np.arange(1, 10) / 10, abs=0.03)


def test_conformal_scale_by_hand():
    values = np.full((9, 20), 10.0)
    values[:, 1], values[:, 19] = 9.0, 20.0  # one below the median, ten above
    assert calibration.conformal_scale(np.full(9, 7.0), values) == pytest.approx(3.0)
    assert calibration.conformal_scale(np.full(9, 15.0), values) == pytest.approx(0.5)
    assert calibration.conformal_scale(np.full(9, 1e6), np.full((9, 20), 10.0)) == 10.0
    assert calibration.conformal_scale(np.zeros(0), values[:0]) == 1.0
