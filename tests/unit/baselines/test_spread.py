"""Quantiles around a mean, and what is held out to learn them."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.spread import Spread, held_out, is_whole
from intently.contract import QUANTILES
from intently.log.log import Log
from intently.tasks import purchase_intent, purchasing_power
from small_logs import day

RNG = np.random.default_rng(7)
MEAN = np.exp(RNG.uniform(-3, 4, 20_000))


def test_money_covers_as_promised_and_keeps_zeros():
    truth = np.where(RNG.random(len(MEAN)) < 0.3, 0.0, RNG.gamma(2.0, MEAN / 1.4))
    quantiles = Spread.of(MEAN[::2], truth[::2], whole=False).around(MEAN[1::2])
    for column, level in ((0, 0.05), (9, 0.5), (18, 0.95)):
        assert np.mean(truth[1::2] <= quantiles[:, column]) == pytest.approx(max(level, 0.3), abs=0.015)
    assert (quantiles[:, QUANTILES.index(0.15)] == 0).all()


def test_counts_are_whole_and_not_over_promised():
    truth = RNG.poisson(MEAN).astype(float)
    quantiles = Spread.of(MEAN[::2], truth[::2], whole=True).around(MEAN[1::2])
    assert (quantiles == np.rint(quantiles)).all()
    inside = (truth[1::2] >= quantiles[:, 0]) & (truth[1::2] <= quantiles[:, -1])
    assert 0.89 < inside.mean() < 0.97


def test_few_rows_still_tell_small_means_from_large():
    mean = np.tile([0.1, 1.0, 10.0, 100.0], 12)
    quantiles = Spread.of(mean, np.rint(mean * 1.0), whole=True).around(np.array([0.05, 10.0, 50.0]))
    assert quantiles[:, 9].tolist() == [0, 10, 50]


def test_quantiles_rise_and_are_never_negative():
    spread = Spread.of(MEAN, RNG.poisson(MEAN) - 1.0, whole=True)
    quantiles = spread.around(np.array([0.0, 1e-9, 0.5, 3.0, 1e6]))
    assert quantiles.shape == (5, 19)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert quantiles.min() == 0
    assert quantiles[-1, 9] == pytest.approx(1e6, rel=0.1)


def test_centred_takes_the_level_of_the_truths_and_plain_does_not():
    truth = RNG.poisson(MEAN).astype(float)
    at = np.array([20.0])
    assert Spread.of(2 * MEAN, truth, whole=True, centred=True).around(at)[0, 9] == pytest.approx(20, abs=1)
    assert Spread.of(2 * MEAN, truth, whole=True).around(at)[0, 9] == pytest.approx(10, abs=1)


def test_saved_and_loaded_it_is_the_same():
    spread = Spread.of(MEAN, RNG.poisson(MEAN).astype(float), whole=True)
    again = Spread.from_state(*spread.state())
    np.testing.assert_array_equal(again.around(MEAN), spread.around(MEAN))


def test_whole_numbers_are_told_from_money():
    assert is_whole(np.array([0.0, 3.0]))
    assert not is_whole(np.array([0.0, 3.5]))


def test_held_out_cutoffs_begin_after_the_earlier_windows_end(tiny_log: Log):
    examples = purchase_intent.TASK.examples(tiny_log, [day(number) for number in range(4, 22)])
    earlier, later = held_out(examples)
    assert len(earlier)
    assert examples.at.gather(earlier).max() + timedelta(days=7) <= examples.at.gather(later).min()


def test_one_cutoff_holds_out_other_customers():
    events = pl.DataFrame(
        {"user_id": [f"u{number}" for number in range(200)], "event_type": "buy", "timestamp": day(1), "amount": 1.0}
    )
    log = Log.of(events, observed_from=day(0), observed_until=day(40))
    examples = purchasing_power.TASK.examples(log, [day(5)])
    earlier, later = held_out(examples)
    assert sorted([*earlier, *later]) == list(range(len(examples)))
    assert 0.1 < len(later) / len(examples) < 0.4
