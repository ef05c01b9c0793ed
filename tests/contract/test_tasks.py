"""What every task must keep, whoever wrote it: the built-in ones, and some that a shop wrote as TOML."""

from datetime import timedelta

import polars as pl
import pytest

from intently import metrics
from intently.contract import Amount, Everyone, OneOf, Past, Ranking, Shares, Task, YesNo
from intently.tasks import BUILT_IN, EVERY
from own_tables import OWN
from small_logs import Event, day, log_of

TASKS = (*EVERY, *OWN)
everyone = [task for task in TASKS if isinstance(task.asks, Everyone)]
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
every_general_task = pytest.mark.parametrize("task", everyone, ids=lambda task: task.name)

AT = day(40)


def shop() -> list[Event]:
    """Eighty days in which three customers look and buy again and again."""
    kinds = ("view", "buy", "buy", "search")
    return [
        Event(
            user=("ann", "bo", "cy")[n % 3],
            item=None if n % 4 == 3 else n % 5,
            kind=kinds[n % 4],
            time=day(n / 2),
            arrived=None,
            amount=float(n % 7),
        )
        for n in range(160)
    ]


def log(events: list[Event]):
    return log_of(events, until=day(80))


@every_task
def test_a_task_is_asked_in_both_languages_and_has_a_name_of_its_own(task):
    assert task.wording["en"].endswith("?")
    assert any("\u4e00" <= character <= "\u9fff" for character in task.wording["zh"])
    assert [other.name for other in TASKS].count(task.name) == 1
    assert task.horizon > timedelta(0)
    assert task.must_beat


@every_task
def test_the_metrics_that_a_task_names_exist_for_its_answer(task):
    kind = type(task.answer).__name__
    assert [metric.name for metric in metrics.of(kind, task.metrics)] == list(task.metrics)
    assert task.metrics


@every_general_task
def test_a_truth_has_the_form_of_its_answer(task):
    examples = task.examples(log(shop()), [AT])
    truth = examples.truth
    assert len(truth) > 0
    assert truth.null_count() == 0
    match task.answer:
        case YesNo():
            assert truth.dtype == pl.Boolean
        case Amount():
            assert truth.dtype.is_numeric()
            assert truth.min() >= 0
        case OneOf(labels=labels):
            assert set(truth) <= set(labels)
        case Ranking():
            assert all(len(ids) == len(set(ids)) > 0 for ids in truth.to_list())
        case Shares():
            assert set(truth.explode().struct.fields) == {"label", "weight"}
            assert truth.explode().struct.field("weight").min() > 0


@every_general_task
def test_looking_back_is_what_those_asked_a_horizon_before_came_to_and_the_new_ones_too(task):
    newcomer = [
        Event(user="di", item=n, kind="buy", time=AT - task.horizon / 2, arrived=None, amount=3.0) for n in range(2)
    ]
    known = log([*shop(), *newcomer])
    back = task.looking_back(known, AT)
    assert set(back.at) == {AT}
    # What is known later is not looked at, whenever it happened.
    late = Event(user="ann", item=1, kind="buy", time=AT - task.horizon / 4, arrived=AT + task.horizon, amount=50.0)
    assert back.frame.equals(task.looking_back(log([*shop(), *newcomer, late]), AT).frame)
    assert back.frame.equals(task.looking_back(known.before(AT), AT).frame)
    truths = [
        dict(zip(some.asked, some.truth.to_list(), strict=True))
        for some in (back, task.examples(known, [AT - task.horizon]))
    ]
    both = truths[0].keys() & truths[1].keys()
    assert both
    assert {one: truths[0][one] for one in both} == {one: truths[1][one] for one in both}
    if task.key == "user_id" and task.name in {one.name for one in BUILT_IN}:
        assert "di" in truths[0].keys() - truths[1].keys()


@every_general_task
def test_what_happens_after_the_window_changes_no_example(task):
    end = AT + task.horizon
    inside = [event for event in shop() if event.time < end]
    after = [Event("ann", 1, "buy", end, None, 1000.0), Event("dee", 2, "buy", end, None, 1000.0)]
    plain, disturbed = (task.examples(log(events), [AT]).frame for events in (inside, inside + after))
    assert plain.sort(task.key).equals(disturbed.sort(task.key))


@every_general_task
def test_what_happens_in_the_window_changes_no_past_and_nobody_asked(task):
    earlier = [event for event in shop() if event.time < AT]
    inside = [Event("ann", 1, "buy", AT, None, 1000.0), Event("dee", 2, "buy", AT + timedelta(days=1), None, 1000.0)]
    plain, disturbed = (log(events) for events in (earlier, earlier + inside))
    questions = task.questions(plain, AT)
    assert questions.frame.equals(task.questions(disturbed, AT).frame)
    one, other = Past(plain, questions), Past(disturbed, questions)
    assert one.lengths.tolist() == other.lengths.tolist()
    assert one.total("amount").tolist() == other.total("amount").tolist()


@every_general_task
def test_a_task_reads_its_window(task):
    """Were the truth a constant, every other test here would pass."""
    events = shop()
    moved = [e if e.time < AT or e.kind != "buy" else Event(e.user, 4, "view", e.time, None, 0.0) for e in events]
    seen, unseen = (task.examples(log(each), [AT]) for each in (events, moved))
    assert not seen.frame.equals(unseen.frame)


@every_general_task
def test_no_window_reaches_past_the_end_of_a_log(task):
    whole = log(shop())
    last = day(80) - task.horizon
    assert task.examples(whole, [last, last + timedelta(microseconds=1)]).cutoffs == [last]


def test_a_task_is_a_value():
    assert all(isinstance(task, Task) for task in TASKS)
    with pytest.raises(AttributeError):
        BUILT_IN[0].name = "other"
