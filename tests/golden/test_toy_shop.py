"""A model trained on the toy shop: a floor and a ceiling for every task. Run by `make test-slow`.

The floor is 90 % of the Bayes-optimal score (`oracle.skill`), the ceiling that score and two standard errors: below the
floor the model is weak, above the ceiling it has seen the future. Figures stand in docs/decisions/010-toy-shop.md.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from intently import metrics
from intently.contract import Past
from intently.evaluate.compare import Report, compare
from intently.evaluate.oracle import Oracle, skill
from intently.learn.train import Trained, train
from intently.log import toy_shop
from intently.log.log import Log
from intently.log.toy_planted import Planted
from intently.tasks import BUILT_IN

pytestmark = pytest.mark.slow

FLOOR = 0.9
WEEK = timedelta(days=7)
UNTIL = toy_shop.START + 31 * WEEK
CUTOFFS = [UNTIL + week * WEEK for week in range(5)]
TASKS = {task.name: task for task in BUILT_IN}


@pytest.fixture(scope="module")
def shop() -> tuple[Log, Planted]:
    return toy_shop.plant(1000, 280, seed=0)


@pytest.fixture(scope="module")
def trained(shop: tuple[Log, Planted]) -> Trained:
    return train(shop[0], UNTIL, BUILT_IN, preset="fast", threads=1, seed=0)


@pytest.fixture(scope="module")
def reports(shop: tuple[Log, Planted], trained: Trained) -> dict[str, Report]:
    log, planted = shop
    found = {}
    for name, task in TASKS.items():
        examples = task.examples(log, CUTOFFS)
        past = Past(log, examples)
        predictions = {"bayes": Oracle(planted).answer(task, examples)}
        for predictor in {trained.served[name], "constant"}:
            predictions[predictor] = trained.answer(examples, past, predictor)
        found[name] = compare(task, examples, predictions, replicates=300, rng=np.random.default_rng(0))
    return found


@pytest.mark.parametrize("name", list(TASKS))
def test_what_is_served_reaches_nine_tenths_of_the_oracle(
    name: str, trained: Trained, reports: dict[str, Report]
) -> None:
    task, report = TASKS[name], reports[name]
    metric = metrics.of(type(task.answer).__name__, task.metrics)[0]
    served, constant, bayes = (report.score(who, name).value for who in (trained.served[name], "constant", "bayes"))
    reached = skill(metric, served, constant, bayes)
    assert reached >= FLOOR, f"{trained.served[name]} {served:.4g}, constant {constant:.4g}, oracle {bayes:.4g}"


@pytest.mark.parametrize("name", list(TASKS))
def test_what_is_served_is_not_better_than_the_oracle(name: str, trained: Trained, reports: dict[str, Report]) -> None:
    found = reports[name].difference(trained.served[name], "bayes", name)
    # A 95 % interval reaches 1.96 standard errors to either side.
    standard_error = (found.high - found.low) / (2 * 1.96)
    assert found.value <= 2 * standard_error
