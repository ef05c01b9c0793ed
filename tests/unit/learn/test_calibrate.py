"""Calibration where little is held out: nothing becomes certain by it, and what is well known is still mended."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from intently.contract import AT, TRUTH, Examples, OneOf, Scores
from intently.learn.calibrate import Calibration
from intently.tasks import BUILT_IN
from small_logs import day
from text_shop import TASK

ASKED = {task.name: task for task in BUILT_IN}


def examples(task, truth) -> Examples:
    rows = {"user_id": [f"u{row}" for row in range(len(truth))], AT: [day(1)] * len(truth), TRUTH: truth}
    return Examples(task, pl.DataFrame(rows))


def yes_no(truth, chance) -> Calibration:
    task = ASKED["purchase_intent"]
    found = Scores(task.answer, np.asarray(chance, dtype=np.float32).reshape(-1, 1))
    return Calibration.of(task, examples(task, list(map(bool, truth))), found)


def test_a_reader_that_found_nothing_is_not_made_certain() -> None:
    task, rng = ASKED["purchase_intent"], np.random.default_rng(0)
    for _ in range(40):
        chance = 1 / (1 + np.exp(-rng.normal(-3, 0.3, 300)))
        found = yes_no(rng.random(300) < 0.05, chance)
        given = found.apply(task, chance.reshape(-1, 1))[:, 0]
        assert 0.01 < given.mean() < 0.1
        assert 0.002 < given.min() <= given.max() < 0.4


@pytest.mark.parametrize("yes", [0, 120])
def test_of_one_class_it_says_how_rare_the_other_is(yes: int) -> None:
    truth = np.arange(120) < yes
    given = yes_no(truth, np.linspace(0.2, 0.3, 120)).apply(ASKED["purchase_intent"], np.array([[0.25]]))[0, 0]
    assert given == pytest.approx(121 / 122 if yes else 1 / 122, abs=0.002)


def test_what_is_known_well_is_mended() -> None:
    rng = np.random.default_rng(1)
    logit = rng.normal(-1, 1, 20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(0.5 * logit + 1)))
    found = yes_no(truth, 1 / (1 + np.exp(-logit))).numbers
    assert found["slope"] == pytest.approx(0.5, abs=0.05)
    assert found["shift"] == pytest.approx(1.0, abs=0.1)


def test_labels_that_were_all_right_stay_open() -> None:
    assert isinstance(TASK.answer, OneOf)
    labels = TASK.answer.labels
    values = np.full((120, len(labels)), 0.1 / (len(labels) - 1), dtype=np.float32)
    values[:, 0] = 0.9
    found = Calibration.of(TASK, examples(TASK, [labels[0]] * 120), Scores(TASK.answer, values, labels))
    assert 0.9 < found.apply(TASK, values)[0, 0] < 0.9999


@pytest.mark.parametrize(
    ("truth", "told", "factor"), [(3.0, 0.0, 1.0), (3.0, 1e-9, 20.0), (0.0, 2.0, 0.05), (3.0, 2.0, 1.5)]
)
def test_an_amount_is_never_multiplied_beyond_reason(truth: float, told: float, factor: float) -> None:
    task = ASKED["purchasing_power"]
    values = np.full((120, 20), told, dtype=np.float32)
    found = Calibration.of(task, examples(task, [truth] * 120), Scores(task.answer, values))
    assert found.numbers["factor"] == pytest.approx(factor)
