"""The 56-day rule, by hand."""

import json

import numpy as np
import pytest

from intently.baselines.mean_56_days import Mean56Days, recent
from intently.contract import Past
from intently.errors import ConfigError
from intently.log.log import Log
from intently.tasks import demand, purchase_intent, purchasing_power
from small_logs import day


def test_units_and_money_of_56_days_are_brought_to_the_horizon(tiny_log: Log):
    items = demand.TASK.questions(tiny_log, day(21))
    customers = purchasing_power.TASK.questions(tiny_log, day(21))
    assert (recent(demand.TASK, Past(tiny_log, items), 56.0) * 4).tolist() == [6, 2, 1]
    assert (recent(purchasing_power.TASK, Past(tiny_log, customers), 56.0) * 2).tolist() == [38, 18, 0]


def test_older_sales_do_not_count(tiny_log: Log):
    items = demand.TASK.questions(tiny_log, day(21))
    assert recent(demand.TASK, Past(tiny_log, items), 10.0).tolist() == pytest.approx([4 * 1.4, 0, 0])


def test_it_fits_predicts_and_is_saved(tiny_log: Log):
    examples = demand.TASK.examples(tiny_log, [day(13), day(15)])
    rule = Mean56Days().fit(examples, Past(tiny_log, examples))
    questions = demand.TASK.questions(tiny_log, day(21))
    scores = rule.predict(questions, Past(tiny_log, questions)).values
    assert scores.shape == (3, 20)
    assert scores[:, 0].tolist() == [1.5, 0.5, 0.25]
    arrays, settings = rule.state()
    again = Mean56Days.from_state(arrays, json.loads(json.dumps(settings)))
    np.testing.assert_array_equal(again.predict(questions, Past(tiny_log, questions)).values, scores)


def test_it_answers_amounts_once_it_has_learned(tiny_log: Log):
    assert Mean56Days().answers(demand.TASK)
    assert Mean56Days().answers(purchasing_power.TASK)
    assert not Mean56Days().answers(purchase_intent.TASK)
    questions = demand.TASK.questions(tiny_log, day(21))
    with pytest.raises(ConfigError, match="not learned"):
        Mean56Days().predict(questions, Past(tiny_log, questions))
