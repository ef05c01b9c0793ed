"""The whole in one object: what is said about one customer."""

from intently import own
from intently.baselines.constant import Constant
from intently.contract import Past
from intently.evaluate.compare import Report
from intently.learn.trained import Trained
from intently.model import LanguageModel
from small_logs import day, tiny


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
