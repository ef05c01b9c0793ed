"""The naive forecast, by hand."""

import json

import numpy as np
import pytest

from intently.baselines.last_weeks import LastWeeks
from intently.contract import Past
from intently.errors import ConfigError
from intently.log.log import Log
from intently.tasks import demand, purchase_intent
from small_logs import day


def test_the_last_window_is_repeated_and_saved(tiny_log: Log):
    examples = demand.TASK.examples(tiny_log, [day(13), day(15)])
    rule = LastWeeks().fit(examples, Past(tiny_log, examples))
    questions = demand.TASK.questions(tiny_log, day(21))
    scores = rule.predict(questions, Past(tiny_log, questions)).values
    assert scores[:, 0].tolist() == [4, 0, 1]
    assert scores.shape == (3, 20)
    arrays, settings = rule.state()
    again = LastWeeks.from_state(arrays, json.loads(json.dumps(settings)))
    np.testing.assert_array_equal(again.predict(questions, Past(tiny_log, questions)).values, scores)


def test_it_answers_amounts_once_it_has_learned(tiny_log: Log):
    assert LastWeeks().answers(demand.TASK)
    assert not LastWeeks().answers(purchase_intent.TASK)
    questions = demand.TASK.questions(tiny_log, day(21))
    with pytest.raises(ConfigError, match="not learned"):
        LastWeeks().predict(questions, Past(tiny_log, questions))
