from dataclasses import replace

import numpy as np
import pytest

from intently import metrics
from intently.evaluate.intervals import difference, interval, resampled

RNG = np.random.default_rng(5)
BRIER, AUROC = metrics.of("YesNo", ("brier", "auroc"))
MAE, WAPE, COVERAGE, TOTAL = metrics.of("Amount", ("mae", "wape", "coverage_90", "total_ratio"))


def sample(seed, n=300):
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.4).astype(float)
    return truth, np.clip(0.3 * truth + 0.7 * rng.random(n), 0, 1)


@pytest.mark.parametrize("metric", metrics.of("YesNo"), ids=lambda metric: metric.name)
def test_the_interval_holds_the_value(metric):
    truth, values = sample(1)
    found = interval(metric, truth, values, np.arange(300), replicates=300, rng=np.random.default_rng(0))
    assert found.value == metric.value(truth, values)
    assert metric.lowest <= found.low < found.value < found.high <= metric.highest


def test_width_is_that_of_the_normal_interval_of_a_mean():
    truth, values = sample(2, n=2000)
    loss = (truth - values) ** 2
    found = interval(BRIER, truth, values, np.arange(2000), replicates=2000, rng=np.random.default_rng(0))
    assert found.high - found.low == pytest.approx(2 * 1.96 * loss.std() / np.sqrt(2000), rel=0.06)


@pytest.mark.parametrize("metric", [BRIER, AUROC], ids=["rowwise", "whole"])
def test_households_whole_are_wider_than_rows(metric):
    truth, values = sample(3)
    truth, values = np.tile(truth, 5), np.tile(values, 5)  # five cut-offs that say the same

    def width(household):
        found = interval(metric, truth, values, household, replicates=300, rng=np.random.default_rng(0))
        return found.high - found.low

    rows, whole = width(np.arange(1500)), width(np.tile(np.arange(300), 5))
    assert whole == pytest.approx(np.sqrt(5) * rows, rel=0.2)


def test_rowwise_and_whole_ways_agree():
    truth, values = sample(4)
    household = RNG.integers(0, 90, 300)
    slow = metrics.Metric("slow", "YesNo", lambda t, v: BRIER.value(t, v), higher_is_better=False, rowwise=False)
    found = resampled((BRIER, slow), truth, (values, values / 2), household, replicates=20, rng=RNG)
    assert found.shape == (20, 2, 2)
    assert found[..., 0] == pytest.approx(found[..., 1])


def test_a_ratio_is_resampled_as_a_ratio():
    rng = np.random.default_rng(6)
    truth = rng.poisson(2.0, 400).astype(float)
    values = np.tile(truth[:, None] * 1.2, (1, 20))
    found = interval(TOTAL, truth, values, np.arange(400), replicates=200, rng=rng)
    assert (found.low, found.high) == pytest.approx((1.2, 1.2))


def test_difference_is_positive_for_the_better_whatever_the_direction():
    truth, good = sample(7)
    bad = np.random.default_rng(7).random(300)
    for metric in (BRIER, AUROC):
        found = difference(metric, truth, good, bad, np.arange(300), replicates=200, rng=np.random.default_rng(0))
        assert 0 < found.low < found.value < found.high
        back = difference(metric, truth, bad, good, np.arange(300), replicates=200, rng=np.random.default_rng(0))
        assert (back.value, back.low, back.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_difference_from_oneself_is_nothing():
    truth, values = sample(8)
    found = difference(AUROC, truth, values, values, np.arange(300), replicates=50, rng=np.random.default_rng(0))
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_pairing_is_narrower_than_two_intervals():
    truth, values = sample(9)
    near = np.clip(values + 0.01, 0, 1)
    paired = difference(BRIER, truth, values, near, np.arange(300), replicates=200, rng=np.random.default_rng(0))
    alone = interval(BRIER, truth, values, np.arange(300), replicates=200, rng=np.random.default_rng(0))
    assert paired.high - paired.low < (alone.high - alone.low) / 3


def test_nearer_the_target_is_better():
    truth = np.arange(100.0)
    values = np.zeros((100, 20))
    values[:, 19] = 89.0  # holds 90 of 100
    wide = np.zeros((100, 20))
    wide[:, 19] = 99.0
    found = difference(COVERAGE, truth, values, wide, np.arange(100), replicates=200, rng=np.random.default_rng(0))
    assert found.value == pytest.approx(0.1)


def test_resamples_of_one_class_are_passed_over():
    truth, values = np.array([1.0, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.95])
    found = interval(AUROC, truth, values, np.arange(4), replicates=200, rng=np.random.default_rng(0))
    assert np.isfinite([found.value, found.low, found.high]).all()
    none = interval(AUROC, np.ones(4), values, np.arange(4), replicates=20, rng=np.random.default_rng(0))
    assert np.isnan([none.value, none.low, none.high]).all()


def test_the_same_generator_gives_the_same_interval():
    truth, values = sample(10)
    one, two = (
        interval(WAPE, truth + 1, np.tile(values[:, None], (1, 20)), np.arange(300), rng=np.random.default_rng(3))
        for _ in range(2)
    )
    assert one == two


def test_a_metric_without_a_quick_way_is_computed_on_the_drawn_rows():
    truth, values = sample(11)
    plain = replace(AUROC, drawn=None)
    found = resampled((AUROC, plain), truth, (values,), RNG.integers(0, 90, 300), replicates=20, rng=RNG)
    assert found[..., 0] == pytest.approx(found[..., 1])
    assert np.ptp(found) > 0


def test_a_metric_that_grows_when_rows_repeat_keeps_its_value_inside():
    rng = np.random.default_rng(12)
    values = rng.random(400)
    truth = (rng.random(400) < values).astype(float)  # calibrated: all of the ECE is chance
    ece = metrics.of("YesNo", ("ece",))[0]
    replicates = resampled((ece,), truth, (values,), np.arange(400), replicates=300, rng=rng)
    found = interval(ece, truth, values, np.arange(400), replicates=300, rng=rng)
    assert np.quantile(replicates, 0.1) > found.value
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.1 * (found.high - found.low))
