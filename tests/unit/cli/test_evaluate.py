"""What is judged on which cut-off."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from intently.baselines.constant import Constant
from intently.cli.evaluate import _everyone, judged
from intently.contract import Past
from intently.evaluate.compare import Report
from intently.learn.trained import Trained
from small_logs import day
from text_shop import TASK, shop

QUESTION = replace(TASK, metrics=("accuracy",))
# The spans are of seven days.
APART, CLOSE = (50, 57, 64), (50, 52, 57, 58, 64)


@pytest.fixture(scope="module")
def log():
    return shop(160)


@pytest.mark.parametrize("days", [APART, CLOSE])
def test_an_event_is_judged_once_however_close_the_cut_offs_are(log, days) -> None:
    cutoffs = [day(one) for one in days]
    asked = QUESTION.examples(log, cutoffs)
    parts = []
    for number, at in enumerate(cutoffs):
        everyone, place, _ = _everyone(QUESTION, at, cutoffs[:number], asked, log.before(at), log)
        parts.append(everyone.frame.select("event_id", "at")[place])
    assert pl.concat(parts).equals(asked.frame.select("event_id", "at"))


def test_cut_offs_closer_than_a_span_tell_what_those_apart_tell(log) -> None:
    learned = QUESTION.examples(log, [day(one) for one in range(1, 43, 7)])
    one = Constant().fit(learned, Past(log, learned))
    names = {QUESTION.name: Constant.name}
    trained = Trained(day(49), (QUESTION,), None, None, {QUESTION.name: {Constant.name: one}}, names, names, Report())
    apart, close = (
        judged(trained, log, [day(one) for one in days], replicates=50)["tasks"][QUESTION.name]
        for days in (APART, CLOSE)
    )
    assert close["examples"] == apart["examples"] > 20
    assert close["sentence"] == apart["sentence"]
