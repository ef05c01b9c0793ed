"""What is judged on which cut-off."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from intently.baselines.constant import Constant
from intently.cli.evaluate import _everyone, judged, named, readings_of, written
from intently.contract import Past, Task
from intently.errors import TooFewExamples
from intently.evaluate.compare import Report
from intently.learn.trained import Trained
from intently.log.log import Log
from intently.tasks import purchase_intent
from small_logs import day
from text_shop import TASK, shop

QUESTION = replace(TASK, metrics=("accuracy",))
# The spans are of seven days.
APART, CLOSE = (50, 57, 64), (50, 52, 57, 58, 64)


@pytest.fixture(scope="module")
def log():
    return shop(160)


def constant(log: Log, *tasks: Task) -> Trained:
    """A bundle that answers each question with its base rate, learned before day 49."""
    predictors = {}
    for task in tasks:
        learned = task.examples(log, [day(one) for one in range(1, 43, 7)])
        predictors[task.name] = {Constant.name: Constant().fit(learned, Past(log, learned))}
    names = dict.fromkeys(predictors, Constant.name)
    return Trained(day(49), tasks, None, None, predictors, names, names, Report())


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
    trained = constant(log, QUESTION)
    apart, close = (
        judged(trained, log, [day(one) for one in days], replicates=50)["tasks"][QUESTION.name]
        for days in (APART, CLOSE)
    )
    assert close["examples"] == apart["examples"] > 20
    assert close["sentence"] == apart["sentence"]


SOON = replace(purchase_intent.TASK, name="soon", metrics=("log_loss",))
LATER = replace(SOON, name="later", horizon=timedelta(days=14))


def test_each_question_names_the_cut_offs_on_which_it_was_judged(log, tmp_path) -> None:
    end = (log.observed_until - day(0)).days
    chosen = [day(end - back) for back in (21.25, 14, 7, 1)]
    content = judged(constant(log, SOON, LATER, QUESTION), log, chosen, replicates=50)
    tasks, names = content["tasks"], [named(at) for at in chosen]
    assert names[0].endswith("T18:00")
    assert tasks["soon"]["cutoffs"] == names[:3]
    assert tasks["later"]["cutoffs"] == names[:2]
    asked = [QUESTION.examples(log, [at]) for at in chosen if at + QUESTION.horizon <= log.observed_until]
    assert tasks[QUESTION.name]["cutoffs"] == names[: sum(len(some) > 0 for some in asked)]
    assert tasks["later"]["sentence"].endswith(f"Judged on 2 of the 4 cut-offs alone: {names[0]}, {names[1]}.")
    assert content["header"]["cut-offs"] == ", ".join(names[:3])
    assert content["header"]["not judged"].startswith(f"{names[3]}: ")
    written(content, tmp_path / "report", tmp_path / "readings.jsonl")
    assert f"judged on {names[0]}, {names[1]}. Small figures" in (tmp_path / "report" / "report.html").read_text()
    # Nothing is judged on the last cut-off: without it, it is the same reading.
    again = judged(constant(log, SOON, LATER, QUESTION), log, chosen[:3], replicates=50)
    written(again, tmp_path / "report", tmp_path / "readings.jsonl")
    assert again["report"] == content["report"]
    assert again["header"]["reading"].startswith("number 2 ")
    assert "not judged" not in again["header"]
    lines = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    assert [line["cutoffs"]["later"] for line in lines] == [names[:2]] * 2


def test_a_question_without_a_whole_window_is_left_out_and_the_others_are_judged(log) -> None:
    long = replace(purchase_intent.TASK, name="long", horizon=timedelta(days=45))
    trained = replace(constant(log, purchase_intent.TASK), tasks=(long, purchase_intent.TASK))
    late = log.observed_until - timedelta(days=20)
    content = judged(trained, log, [late], replicates=20)
    assert list(content["tasks"]) == ["purchase_intent"]
    assert "long: No window of 45 days" in content["header"]["left out"]
    with pytest.raises(TooFewExamples, match="No window of 45 days"):
        judged(replace(trained, tasks=(long,)), log, [late], replicates=20)


def test_a_question_that_nobody_is_asked_there_is_left_out_too(log) -> None:
    silent = replace(
        log, events=log.events.filter((pl.col("event_type") != "support") | (pl.col("timestamp") < day(49)))
    )
    trained = constant(log, QUESTION, purchase_intent.TASK)
    content = judged(trained, silent, [day(57)], replicates=20)
    assert list(content["tasks"]) == ["purchase_intent"]
    assert f"{QUESTION.name}: There is nothing to judge" in content["header"]["left out"]
    with pytest.raises(TooFewExamples, match="There is nothing to judge"):
        judged(constant(log, QUESTION), silent, [day(57)], replicates=20)


@pytest.mark.parametrize(
    ("cutoffs", "count"),
    [
        (["2024-05-10", "2024-05-17"], 3),
        (["2024-05-10", "2024-05-31"], 3),
        (["2024-05-17"], 2),
        (["2024-05-31"], 0),
        # Of what an older version wrote, no time of day is known.
        (["2024-05-10T06:00"], 1),
        (["2024-05-17T09:00"], 2),
    ],
)
def test_a_reading_is_counted_by_the_cut_off_that_was_read_most_often(cutoffs, count) -> None:
    earlier = [
        {"header": {"cut-offs": "2024-05-10, 2024-05-17"}},
        {"header": {}, "cutoffs": {"a": ["2024-05-10"], "b": ["2024-05-10", "2024-05-17T09:00"]}},
        {"header": {}, "cutoffs": {"a": ["2024-05-10", "2024-05-17"]}},
        {"header": {}},
    ]
    assert readings_of({"a": cutoffs[:1], "b": cutoffs}, earlier) == count
