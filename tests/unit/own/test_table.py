"""A `[[tasks]]` table as a Task: what each key becomes, and how each fault is told."""

from datetime import timedelta

import polars as pl
import pytest

from intently import own
from intently.contract import Amount, EachEvent, OneOf, Ranking, YesNo
from intently.errors import ConfigError
from small_logs import Event, day, log_of

TEA = {
    "name": "tea_again",
    "horizon": "2w",
    "answer": "yes_no",
    "truth": "bool_or(category = 'a')",
    "wording": {"en": "Tea again?"},
}


def test_the_short_form_and_its_defaults():
    task = own.task(TEA)
    assert task.horizon == timedelta(days=14)
    assert task.answer == YesNo()
    assert task.key == "user_id"
    assert task.absent is False
    assert task.must_beat == "lightgbm"
    assert task.metrics[0] == "log_loss"
    # Said in one language, it is said so in the other too.
    assert dict(task.wording) == {"en": "Tea again?", "zh": "Tea again?"}


def test_a_truth_of_null_is_absent():
    """SQL sums nothing to null; the question means nothing, 0."""
    events = [Event("ann", 1, "view", day(1), None, 5.0), Event("ann", 1, "view", day(4), None, 5.0)]
    table = TEA | {"answer": {"amount": "EUR"}, "truth": "sum(amount) filter (where event_type = 'buy')"}
    log = log_of(events, until=day(40))
    assert own.task(table).examples(log, [day(3)]).truth.to_list() == [0.0]
    left_out = own.task(table | {"absent": "leave_out"}).examples(log, [day(3)])
    assert (len(left_out), left_out.left_out) == (0, 1)


def test_one_of_labels_leaves_out_what_is_no_label():
    table = TEA | {"answer": {"one_of": ["a", "b"], "absent": "none"}, "truth": "max(category)"}
    task = own.task(table)
    assert task.answer == OneOf(("a", "b", "none"), "none")
    names = ("ann", "bo", "cy", "dee")
    asked = [Event(name, None, "search", day(1), None, 0.0) for name in names]
    bought = [Event(name, item, "buy", day(4), None, 1.0) for name, item in zip(names, (0, 1, 4), strict=False)]
    examples = task.examples(log_of(asked + bought, until=day(40)), [day(3)])
    assert examples.frame.select("user_id", "truth").rows() == [("ann", "a"), ("bo", "b"), ("dee", "none")]
    assert examples.left_out == 1


def test_an_event_question_sees_only_the_named_columns():
    asks = {"event": "review", "span": "36h"}
    task = own.task(TEA | {"asks": asks, "sees": ["text"], "truth": "max(quantity) > 3"})
    assert task.asks == EachEvent("review", timedelta(hours=36))
    assert task.sees == ("text",)
    assert task.absent is None
    assert task.key == "event_id"


def test_a_ranking_may_be_of_what_nobody_had_bought():
    table = {key: value for key, value in TEA.items() if key != "truth"}
    task = own.task(table | {"answer": {"ranking": "item_id", "unseen": True}})
    assert task.answer == Ranking("item_id", unseen=True)


@pytest.mark.parametrize(
    ("changed", "key", "says"),
    [
        ({"name": "../evil"}, ("name",), "is not a name"),
        ({"name": "Tea"}, ("name",), "small letters"),
        ({"horizon": "14"}, ("horizon",), "14d"),
        ({"horizon": "0d"}, ("horizon",), "length of time"),
        ({"hrizon": "14d"}, ("hrizon",), "did you mean 'horizon'?"),
        ({"answer": {"one_off": ["a"]}}, ("answer", "one_off"), "did you mean 'one_of'?"),
        ({"answer": {"one_of": ["a"]}}, ("answer", "one_of"), "two labels"),
        ({"answer": {}}, ("answer",), "one kind is needed"),
        ({"answer": {"amount": "EUR", "yes_no": True}}, ("answer",), "one kind is needed"),
        ({"answer": {"ranking": "category"}}, ("answer", "ranking"), "only 'item_id'"),
        ({"answer": {"ranking": "item_id"}}, ("truth",), "leave it out"),
        ({"asks": "basket"}, ("asks",), "cannot be asked"),
        ({"asks": {"event": "review", "key": "user_id"}}, ("asks",), "not both"),
        ({"sees": ["text"]}, ("sees",), "about events"),
        ({"where": "amount > 1"}, ("where",), "filter (where"),
        ({"truth": "bool_or(category = 'a'"}, ("truth",), "^"),
        ({"among": "bol_or(amount > 1)"}, ("among",), "did you mean bool_or?"),
        ({"truth": 3}, ("truth",), "3 is not text"),
        ({"absent": "perhaps"}, ("absent",), "leave_out"),
        ({"answer": {"one_of": ["a", "b"], "absent": "b"}, "absent": "leave_out"}, ("absent",), "say one of the two"),
        ({"wording": {}}, ("wording",), "wording.en"),
        ({"metrics": ["log_los"]}, ("metrics", 0), "Did you mean 'log_loss'?"),
        ({"must_beat": "lightgb"}, ("must_beat",), "did you mean 'lightgbm'?"),
    ],
)
def test_a_fault_names_its_key_and_the_mend(changed, key, says):
    made, faults = own.read(TEA | changed)
    assert made is None
    assert key in [fault.key for fault in faults]
    assert any(says in fault.said for fault in faults), faults


def test_faults_of_one_table_are_told_together():
    with pytest.raises(ConfigError) as caught:
        own.task(TEA | {"name": "Tea", "horizon": "soon", "truth": "summ(amount)"})
    told = str(caught.value)
    assert told.count("\n  - ") == 3
    assert "      summ(amount)\n      ^^^^" in told


def test_amounts_below_nothing_are_no_default():
    _, faults = own.read(TEA | {"answer": {"amount": "EUR"}, "truth": "sum(amount)", "absent": -1})
    assert [fault.key for fault in faults] == [("absent",)]
    assert own.task(TEA | {"answer": {"amount": "EUR"}, "truth": "sum(amount)"}).answer == Amount("EUR")


def test_the_truth_is_an_expression_over_the_named_columns_only():
    assert set(own.task(TEA).truth.meta.root_names()) == {"category"}
    assert isinstance(own.task(TEA).truth, pl.Expr)
