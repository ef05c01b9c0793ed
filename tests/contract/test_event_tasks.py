"""What every question about an event must keep, on a shop in which customers review, write and are shown ads."""

from dataclasses import replace
from datetime import timedelta
from functools import cache

import polars as pl
import pytest

from intently.contract import EachEvent, OneOf, Past, YesNo, weekly
from intently.log import schema, toy_shop
from intently.log.log import Log
from intently.tasks import BUILT_IN, EVERY

TASKS = [task for task in EVERY if isinstance(task.asks, EachEvent)]
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
DAYS = 140
AT = toy_shop.START + timedelta(days=70)
WEEKS = weekly(toy_shop.START, toy_shop.START + timedelta(days=DAYS))


@cache
def shop() -> Log:
    return toy_shop.read(150, DAYS)


def test_three_of_them_come_with_intently_and_are_asked_where_they_are_named():
    assert [task.name for task in TASKS] == ["sentiment", "support", "ad_response"]
    assert not {task.name for task in TASKS} & {task.name for task in BUILT_IN}


@every_task
def test_a_truth_has_the_form_of_its_answer_and_more_than_one_value(task):
    examples = task.examples(shop(), WEEKS)
    assert len(examples) > 50
    assert examples.truth.null_count() == 0
    match task.answer:
        case YesNo():
            assert examples.truth.dtype == pl.Boolean
        case OneOf(labels=labels):
            assert set(examples.truth) <= set(labels)
    assert examples.truth.n_unique() > 1


@every_task
def test_each_event_is_asked_once_at_the_time_it_was_known(task):
    examples = task.examples(shop(), WEEKS)
    assert examples.asked.n_unique() == len(examples)
    events = shop().events.filter(pl.col(schema.TYPE) == task.asks.kind).select(schema.EVENT, schema.TIME)
    joined = examples.frame.join(events, on=schema.EVENT, how="left")
    assert (joined["at"] >= joined[schema.TIME]).all()


@every_task
def test_what_is_known_later_changes_nothing_that_a_predictor_sees(task):
    asked = task.questions(shop(), AT)
    known = shop().before(AT + task.asks.span)
    early = task.questions(known, AT)
    assert asked.hide().frame.equals(early.hide().frame)
    one, other = Past(shop(), asked), Past(known, early)
    assert one.lengths.tolist() == other.lengths.tolist()
    assert one.texts().to_list() == other.texts().to_list()
    assert len(asked) > 5


@every_task
def test_the_fact_that_answers_is_never_among_what_is_seen(task):
    examples = task.examples(shop(), WEEKS)
    assert set(examples.asked_event.columns) <= {schema.TEXT, schema.ITEM}
    # Were the facts about other events gone, the same would be seen of this one.
    bare = replace(shop(), events=shop().events.filter(pl.col(schema.ABOUT).is_null()))
    assert task.questions(bare, AT).frame.equals(task.questions(shop(), AT).frame)


@every_task
def test_only_what_is_about_the_event_and_within_the_horizon_is_the_truth(task):
    examples = task.examples(shop(), [AT])
    chosen = set(examples.asked)
    others = pl.col(schema.ABOUT).is_not_null() & ~pl.col(schema.ABOUT).is_in(list(chosen))
    late = pl.col(schema.ABOUT).is_in(list(chosen)) & (pl.col(schema.TIME) >= examples.at.max() + task.horizon)
    moved = shop().events.with_columns(pl.when(others | late).then(None).otherwise(schema.ABOUT).alias(schema.ABOUT))
    assert task.examples(replace(shop(), events=moved), [AT]).frame.equals(examples.frame)
    gone = shop().events.filter(~pl.col(schema.ABOUT).is_in(list(chosen)).fill_null(value=False))
    left = task.examples(replace(shop(), events=gone), [AT])
    if task.absent is None:
        assert len(left) == 0
        assert left.left_out == len(examples) + examples.left_out
    else:
        assert not left.truth.any()


@every_task
def test_no_window_reaches_past_the_end_of_a_log(task):
    examples = task.examples(shop(), WEEKS)
    assert (examples.at + task.horizon).max() <= shop().observed_until


def test_stars_and_tags_are_read_as_they_are_meant():
    sentiment, support = (next(task for task in TASKS if task.name == name) for name in ("sentiment", "support"))
    stars = shop().events.filter(pl.col(schema.TYPE) == "rating").select(schema.ABOUT, "rating")
    found = sentiment.examples(shop(), WEEKS).frame.join(stars, left_on=schema.EVENT, right_on=schema.ABOUT)
    table = found.group_by("truth").agg(pl.col("rating").min().alias("low"), pl.col("rating").max().alias("high"))
    spans = {row[0]: row[1:] for row in table.rows()}
    assert spans["negative"][1] < 3
    assert spans["neutral"] == (3, 3)
    assert spans["positive"][0] > 3
    strange = shop().events.with_columns(pl.col("tag").replace("refund", "a tag of this shop's own"))
    before = support.examples(shop(), WEEKS).truth.value_counts().rows_by_key("truth")
    after = support.examples(replace(shop(), events=strange), WEEKS).truth.value_counts().rows_by_key("truth")
    assert "refund" not in after
    assert after["out_of_scope"][0][0] == before["out_of_scope"][0][0] + before["refund"][0][0]


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Int32])
def test_stars_are_stars_whatever_their_type(dtype):
    sentiment = next(task for task in TASKS if task.name == "sentiment")
    stars = pl.col("rating").cast(pl.Int64).cast(pl.String)
    typed = shop().events.with_columns(stars.cast(dtype))
    found = sentiment.examples(replace(shop(), events=typed), [AT])
    assert found.frame.equals(sentiment.examples(shop(), [AT]).frame)


@pytest.mark.parametrize("none", ["n/a", float("nan")])
def test_what_is_no_number_is_no_star(none):
    sentiment = next(task for task in TASKS if task.name == "sentiment")
    stars = pl.when(pl.col("rating") == 3).then(pl.lit(none)).otherwise(pl.col("rating")).alias("rating")
    found = sentiment.examples(replace(shop(), events=shop().events.with_columns(stars)), [AT])
    assert found.frame.equals(sentiment.examples(shop(), [AT]).where(pl.col("truth") != "neutral").frame)
    assert found.left_out > 0


@pytest.mark.parametrize(("task", "column"), [("support", "tag"), ("sentiment", "rating")])
def test_a_column_of_a_type_that_a_question_is_not_about_is_named(task, column):
    from intently.errors import ConfigError

    lists = replace(shop(), events=shop().events.with_columns(pl.concat_list(column)))
    with pytest.raises(ConfigError, match=rf"Task {task} cannot be asked of .*'{column}' \(List"):
        next(one for one in TASKS if one.name == task).examples(lists, [AT])


def test_an_event_question_that_a_log_cannot_answer_says_what_is_missing():
    from intently.errors import ConfigError

    bare = replace(shop(), events=shop().events.drop("tag"))
    with pytest.raises(ConfigError, match=r"Task support reads \['tag'\]"):
        next(task for task in TASKS if task.name == "support").examples(bare, WEEKS)
