"""Laws that every metric keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intently import metrics
from intently.metrics.ranking import Relevant

SEEDS = st.integers(0, 2**32 - 1)


def _ranking(rng, n):
    counts = rng.integers(1, 15, n)
    codes = np.concatenate([rng.choice(40, count, replace=False) for count in counts])
    truth = Relevant(np.concatenate([[0], np.cumsum(counts)]), codes, catalogue=40)
    return truth, np.stack([rng.permutation(40)[:20] for _ in range(n)])


def make(kind, rng, n=30):
    """Random truth and values of one kind, with ties."""
    if kind == "YesNo":
        return np.r_[0.0, 1.0, rng.integers(0, 2, n - 2)], np.round(rng.random(n), 1)
    if kind == "OneOf":
        return rng.integers(0, 4, n), rng.dirichlet(np.ones(4), n)
    if kind == "Amount":
        return np.r_[1.0, 2.0, rng.poisson(3.0, n - 2)], np.round(np.sort(rng.gamma(2.0, 2.0, (n, 20)), axis=1))
    if kind == "Ranking":
        return _ranking(rng, n)
    return rng.dirichlet(np.ones(5), n), rng.dirichlet(np.ones(5), n)


def perfect(kind, truth):
    """The values that know the truth."""
    if kind == "YesNo":
        return truth
    if kind == "OneOf":
        return np.eye(4)[truth]
    if kind == "Amount":
        return np.tile(truth[:, None], (1, 20))
    if kind == "Shares":
        return truth
    values = np.full((len(truth), 20), -1)
    for row, (start, stop) in enumerate(zip(truth.offsets, truth.offsets[1:], strict=False)):
        values[row, : stop - start] = truth.codes[start:stop]
    return values


BEST = {
    "log_loss": 0, "auroc": 1, "auprc": 1, "brier": 0, "ece": 0, "accuracy": 1, "macro_f1": 1, "spearman": 1,
    "norm_gini": 1, "mae": 0, "rmse": 0, "pinball": 0, "wape": 0, "coverage_90": 1, "total_ratio": 1,
    "ndcg_at_10": 1, "recall_at_100": 1, "mrr_at_10": 1, "jensen_shannon": 0,
}  # fmt: skip

each = pytest.mark.parametrize("metric", metrics.ALL, ids=lambda metric: f"{metric.kind}-{metric.name}")


@each
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_bounds(metric, seed):
    value = metric.value(*make(metric.kind, np.random.default_rng(seed)))
    assert metric.lowest - 1e-9 <= value <= metric.highest + 1e-9


@each
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_rows_does_not_matter(metric, seed):
    rng = np.random.default_rng(seed)
    truth, values = make(metric.kind, rng)
    order = rng.permutation(len(values))
    assert metric.value(truth[order], values[order]) == pytest.approx(metric.value(truth, values))


@each
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_knowing_the_truth_is_best(metric, seed):
    truth, values = make(metric.kind, np.random.default_rng(seed))
    best = metric.value(truth, perfect(metric.kind, truth))
    if metric.name in BEST:
        assert best == pytest.approx(BEST[metric.name], abs=1e-6)
    # Coverage and calibration are not about knowing: covering everything, or a flat guess, can do as well.
    if metric.name not in ("coverage", "coverage_90"):
        assert metric.goodness(best) >= metric.goodness(metric.value(truth, values)) - 1e-9


@each
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_rows_that_come_twice_change_nothing(metric, seed):
    truth, values = make(metric.kind, np.random.default_rng(seed))
    twice = np.repeat(np.arange(len(values)), 2)
    # auroc and the rank metrics included: they speak of the distribution, not of the sample size.
    assert metric.value(truth[twice], values[twice]) == pytest.approx(metric.value(truth, values), rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_rank_metrics_see_only_the_order(seed):
    rng = np.random.default_rng(seed)
    for kind, names in (("YesNo", ("auroc", "auprc")), ("Amount", ("spearman", "norm_gini", "decile_ratio"))):
        truth, values = make(kind, rng)
        for metric in metrics.of(kind, names):
            assert metric.value(truth, np.exp(values / 3) / 100) == pytest.approx(metric.value(truth, values))


@pytest.mark.parametrize("metric", [m for m in metrics.ALL if m.drawn], ids=lambda metric: metric.name)
@settings(max_examples=50, deadline=None)
@given(seed=SEEDS)
def test_a_resample_by_counts_is_a_resample_by_rows(metric, seed):
    rng = np.random.default_rng(seed)
    truth, values = make(metric.kind, rng)
    rows = rng.integers(0, len(values), len(values))
    times = np.bincount(rows, minlength=len(values)).astype(float)
    expected = metric.value(truth[rows], values[rows])
    assert metric.drawn(truth, values)(times) == pytest.approx(expected, nan_ok=True, abs=1e-12)
