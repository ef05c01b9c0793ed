import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_pinball_loss, root_mean_squared_error

from intently.metrics import amount

RNG = np.random.default_rng(3)
TRUTH = np.round(RNG.gamma(1.0, 20.0, 500)) * (RNG.random(500) < 0.7)
MEAN = np.round(TRUTH * 0.5 + RNG.gamma(1.0, 10.0, 500), 0)
VALUES = np.column_stack([MEAN, np.outer(MEAN, 2 * amount.LEVELS)])


def test_agrees_with_scipy_and_sklearn():
    assert amount.spearman(TRUTH, VALUES) == pytest.approx(stats.spearmanr(TRUTH, MEAN).statistic)
    assert amount.rmse(TRUTH, VALUES) == pytest.approx(root_mean_squared_error(TRUTH, MEAN))
    expected = np.mean([mean_pinball_loss(TRUTH, VALUES[:, i], alpha=q) for i, q in ((2, 0.1), (10, 0.5), (18, 0.9))])
    assert amount.pinball(TRUTH, VALUES).mean() == pytest.approx(expected)


def test_norm_gini_is_the_ratio_of_areas_under_the_lorenz_curves():
    mean = RNG.permutation(500).astype(float)  # no ties: the curve is defined

    def gini(order):
        curve = np.cumsum(TRUTH[order]) / TRUTH.sum()
        return 1 - (2 * curve.sum() - 1) / 500

    expected = gini(np.argsort(mean)) / gini(np.argsort(TRUTH))
    assert amount.norm_gini(TRUTH, mean[:, None]) == pytest.approx(expected)


def test_a_constant_ranks_nobody():
    flat = np.ones((500, 20))
    assert amount.spearman(TRUTH, flat) == 0.0
    assert amount.norm_gini(TRUTH, flat) == pytest.approx(0.0, abs=1e-12)
    assert amount.decile_ratio(TRUTH, flat) == pytest.approx(1.0)


def test_decile_ratio_by_hand():
    truth = np.arange(20.0)
    assert amount.decile_ratio(truth, truth[:, None]) == pytest.approx(18.5 / 9.5)


def test_ratios_are_of_sums():
    metric = {m.name: m for m in amount.METRICS}
    truth, values = np.array([1.0, 3.0]), np.array([[2.0], [1.0]]) * np.ones((2, 20))
    assert metric["wape"].value(truth, values) == pytest.approx(3 / 4)
    assert metric["total_ratio"].value(truth, values) == pytest.approx(3 / 4)
    assert np.isnan(metric["wape"].value(np.zeros(2), values))


def test_coverage_counts_the_edges():
    values = np.column_stack([np.ones(4), np.tile(np.linspace(1, 19, 19), (4, 1))])
    assert amount.coverage_90(np.array([1.0, 19.0, 0.9, 19.1]), values).tolist() == [1, 1, 0, 0]


def test_target_metrics_prefer_what_is_near():
    coverage = next(m for m in amount.METRICS if m.name == "coverage_90")
    assert coverage.goodness(0.9) > coverage.goodness(1.0) > coverage.goodness(0.7)


@pytest.mark.parametrize("mean", [0.05, 0.7, 3.0, 40.0])
def test_pit_of_the_right_forecast_is_uniform(mean):
    truth = RNG.poisson(mean, 20_000).astype(float)
    values = np.tile(np.concatenate([[mean], stats.poisson.ppf(amount.LEVELS, mean)]), (20_000, 1))
    assert amount.randomised_pit_deviation(truth, values, RNG) < 0.05


def test_pit_of_a_wrong_forecast_is_not():
    truth = RNG.poisson(6.0, 5_000).astype(float)
    values = np.tile(np.concatenate([[4.0], stats.poisson.ppf(amount.LEVELS, 4.0)]), (5_000, 1))
    assert amount.randomised_pit_deviation(truth, values, RNG) > 0.2


def test_decile_total_ratio_is_foreseen_over_came_in_the_top_tenth():
    truth = np.arange(20.0)
    values = np.zeros((20, 20))
    values[:, 0] = np.arange(20.0) * 2
    # The two of the highest mean: 36 and 38 were foreseen, 18 and 19 came.
    assert amount.decile_total_ratio(truth, values) == pytest.approx(74 / 37)
    # A tie at the edge counts in part: one row of 9, and one place shared by three rows of 5 with truths 1, 2, 3.
    values[:, 0] = [9, 5, 5, 5, *[0] * 16]
    assert amount.decile_total_ratio(np.array([4.0, 1, 2, 3, *[0] * 16]), values) == pytest.approx(14 / 6)
    assert np.isnan(amount.decile_total_ratio(np.zeros(20), values))
