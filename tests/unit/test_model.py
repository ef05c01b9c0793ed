"""The whole in one object: what is said about one customer."""

from datetime import timedelta, timezone

import pytest

from intently import own
from intently.baselines.constant import Constant
from intently.contract import Past
from intently.evaluate.compare import Report
from intently.learn.trained import Trained
from intently.model import LanguageModel
from small_logs import START, day, tiny


def test_about_leaves_out_what_is_not_asked_of_the_customer_as_predict_does():
    log, at = tiny(), day(20)
    written = {"horizon": "7d", "answer": "yes_no", "truth": "bool_or(amount > 0)", "wording": {"en": "?"}}
    tasks = (
        own.task({"name": "again", "among": "bool_or(amount > 9)", **written}),
        own.task({"name": "drinks", "among": "bool_or(category = 'drinks')", **written}),
        own.task({"name": "anyone", **written}),
    )
    predictors = {}
    for task in tasks:
        examples = task.examples(log, [day(10), day(15)])
        predictors[task.name] = {"constant": Constant().fit(examples, Past(log, examples))}
    served = dict.fromkeys(predictors, "constant")
    model = LanguageModel(tasks=tasks, trained=Trained(at, tasks, None, None, predictors, served, served, Report()))
    assert model.predict("again", log, at)["user_id"].to_list() == ["ann", "bo"]
    told = {user: model.about(user, log, at) for user in ("ann", "bo", "cy")}
    assert {user: set(one["answers"]) for user, one in told.items()} == {
        "ann": {"again", "drinks", "anyone"},
        "bo": {"again", "drinks", "anyone"},
        "cy": {"anyone"},
    }
    assert set(told["cy"]["not_asked"]) == {"again", "drinks"}
    assert "among" in told["cy"]["not_asked"]["again"]
    assert "not_asked" not in told["ann"]
    # Before day 12 bo has spent no more than 3.
    assert set(model.about("bo", log, day(11))["not_asked"]) == {"again"}


@pytest.mark.parametrize("said", ["2024-01-21", START.replace(tzinfo=None).date(), START.replace(tzinfo=None), START])
def test_a_time_may_be_text_a_date_or_without_a_zone(said):
    log, at = tiny(), day(20)
    said = said if isinstance(said, str) else said + timedelta(days=20)
    task = own.task(
        {"name": "any", "horizon": "7d", "answer": "yes_no", "truth": "count(*) > 1", "wording": {"en": "?"}}
    )
    examples = task.examples(log, [day(10), day(15)])
    one = Constant().fit(examples, Past(log, examples))
    names = {"any": "constant"}
    model = LanguageModel(
        (task,), trained=Trained(at, (task,), None, None, {"any": {"constant": one}}, names, names, Report())
    )
    assert model.predict("any", log, said).equals(model.predict("any", log, at))
    assert model.about("ann", log, said) == model.about("ann", log, at)
    assert model.predict("any", log, at.astimezone(timezone(timedelta(hours=8))))["at"][0] == at
