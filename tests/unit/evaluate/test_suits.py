from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from intently.errors import TooFewExamples
from intently.evaluate import suits as module
from intently.evaluate.suits import suits
from intently.log.log import Log
from intently.tasks import BUILT_IN, demand, interest, next_item, purchase_intent, purchasing_power
from planted_shop import START, UNTIL, planted


@pytest.fixture(scope="module")
def shop() -> Log:
    return planted()


def only(log: Log, task):
    (one,) = suits(log, [task])
    return one


def problems(verdict) -> str:
    return "; ".join(problem for problem, _ in verdict.reasons)


def test_a_small_shop_is_weak_and_says_by_what_numbers(shop):
    for one in suits(shop, BUILT_IN):
        assert one.outcome == "weak"
        assert one.numbers["weeks"] == 40
        assert all(mend for _, mend in one.reasons)
    assert only(shop, purchase_intent.TASK).numbers["class true"] < 120


def test_a_shop_that_is_large_enough_works(shop):
    copies = [shop.events.with_columns(pl.col("user_id") + f"-{n}") for n in range(6)]
    large = Log.of(pl.concat(copies), shop.items, observed_from=shop.observed_from, observed_until=shop.observed_until)
    for task in (purchase_intent, purchasing_power, interest, next_item):
        assert only(large, task.TASK).outcome == "works", problems(only(large, task.TASK))


def test_ten_customers_cannot_and_items_are_asked_apart(shop):
    few = replace(shop, events=shop.events.filter(pl.col("user_id").is_in([f"c{n:03}" for n in range(10)])))
    one = only(few, purchase_intent.TASK)
    assert (one.outcome, problems(one).split(";")[0]) == ("cannot", "10 customers to learn from")
    assert only(few, demand.TASK).outcome == "weak"


def test_one_class_cannot(shop):
    views = replace(shop, events=shop.events.with_columns(event_type=pl.lit("view")))
    assert "the truth is the same for all" in problems(only(views, purchase_intent.TASK))
    assert {one.outcome for one in suits(views, BUILT_IN)} == {"cannot"}


def test_one_class_of_late_is_looked_for_further_back(shop):
    quiet = pl.col("timestamp") >= UNTIL - timedelta(weeks=8)
    late = shop.events.with_columns(event_type=pl.when(quiet).then(pl.lit("view")).otherwise("event_type"))
    assert only(replace(shop, events=late), purchase_intent.TASK).outcome == "weak"


def test_a_short_log_cannot(shop):
    short = suits(shop, BUILT_IN, START + timedelta(weeks=20))
    assert [one.outcome for one in short] == ["cannot"] * 4 + ["weak"]
    assert "only 20 weeks are known" in problems(short[0])
    assert {one.outcome for one in suits(shop, BUILT_IN, START + timedelta(weeks=5))} == {"cannot"}


def test_a_column_that_is_missing_is_named(shop):
    one = only(replace(shop, events=shop.events.drop("amount")), purchasing_power.TASK)
    assert one.outcome == "cannot"
    assert "['amount']" in problems(one)


def test_customers_that_are_all_new(shop):
    # Each week's customers are strangers, known by their sessions only.
    week = pl.col("timestamp").dt.truncate("1w").cast(pl.String)
    anonymous = shop.events.with_columns(pl.col("user_id") + week)
    late = anonymous.filter(pl.col("timestamp") >= UNTIL - timedelta(weeks=10))
    known = anonymous.filter(pl.col("timestamp") < START + timedelta(days=1))
    log = replace(shop, events=pl.concat([known, late]))
    one = only(replace(log, observed_from=START), purchase_intent.TASK)
    assert one.numbers["new_share"] > 0.3
    assert "new within 28 days" not in problems(only(shop, purchase_intent.TASK))


def test_an_amount_that_one_in_a_hundred_carries(shop):
    big = pl.when(pl.col("user_id") == "c000").then(1e6).otherwise("amount").alias("amount")
    one = only(replace(shop, events=shop.events.with_columns(big)), purchasing_power.TASK)
    assert one.numbers["top_share"] > 0.5
    assert "one in a hundred carries" in problems(one)


def test_a_catalogue_of_a_few_items_is_little_to_rank(shop):
    few = shop.events.filter(pl.col("item_id") < 1010)
    assert "different items are bought" in problems(only(replace(shop, events=few), next_item.TASK))


def test_what_cannot_is_what_training_refuses(shop):
    from intently.learn import presets, train

    plan = presets.PRESETS["fast"]
    assert module.FEWEST_ASKED == train.FEWEST_CUSTOMERS
    assert plan.reader_weeks + 6 == module.FEWEST_WEEKS
    assert (plan.weeks, plan.item_weeks) == (module.READ_WEEKS, module.READ_ITEM_WEEKS)
    few = replace(shop, events=shop.events.filter(pl.col("user_id") < "c030"))
    views = replace(shop, events=shop.events.with_columns(event_type=pl.lit("view")))
    for log in (shop, few, views):
        for task, verdict in zip(BUILT_IN, suits(log, BUILT_IN), strict=True):
            try:
                train.examples_until(task, log, UNTIL, plan)
                refused = False
            except TooFewExamples:
                refused = True
            assert (verdict.outcome == "cannot") == refused, (task.name, problems(verdict))


def test_nothing_is_known_before_the_log(shop):
    verdict = suits(shop, [purchase_intent.TASK, demand.TASK], START - timedelta(days=30))
    for one in verdict:
        assert (one.outcome, one.numbers["weeks"]) == ("cannot", 0)
        assert "nothing is known before --until" in problems(one)
        assert "-" not in problems(one).replace("--until", "")
