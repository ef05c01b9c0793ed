"""Each detector catches a cheat planted for it under a random name, and lets honest ones pass."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from intently.contract import Amount, EachEvent, Examples, Past, Ranking, Scores, Task, YesNo
from intently.evaluate.leakcheck import (
    COLUMN,
    FUTURE,
    LATE,
    checks,
    findings,
    future_scrambled,
    late_scrambled,
    leakcheck,
    products,
    static_columns,
)
from intently.log.log import Log
from intently.tasks import BUILT_IN, demand, interest, next_item, purchase_intent, purchasing_power
from planted_shop import UNTIL, planted

AT = UNTIL - timedelta(weeks=8)
ASKS = purchase_intent.TASK


@pytest.fixture(scope="module")
def shop() -> Log:
    return planted()


@pytest.fixture(scope="module")
def late_shop(shop: Log) -> Log:
    """The same, of which every fifth event is learned of up to three weeks late."""
    rng = np.random.default_rng(3)
    days = pl.Series(np.where(rng.random(len(shop.events)) < 0.2, rng.integers(1, 22, len(shop.events)), 0))
    arrived = pl.col("timestamp") + pl.duration(days=days)
    return Log.of(
        shop.events.with_columns(arrived.alias("arrived_at")),
        shop.items,
        shop.users,
        observed_from=shop.observed_from,
        observed_until=shop.observed_until,
    )


def some_name() -> str:
    """A name that no check can know beforehand."""
    return f"x{np.random.default_rng().integers(2**60):x}"


@dataclass(frozen=True)
class Counting:
    """Answers n / (n + 1) by how many events of each customer `seen` gives from the raw log it holds."""

    log: Log
    seen: Callable[[Log], pl.DataFrame]
    weight: float = 1.0

    def predict(self, examples: Examples, past: Past) -> Scores:
        counts = self.seen(self.log).group_by("user_id").len("n")
        n = examples.frame.join(counts, on="user_id", how="left", maintain_order="left")["n"].fill_null(0).to_numpy()
        return Scores(YesNo(), (0.5 + self.weight * n / (n + 1) / 2).astype(np.float32)[:, None])


@dataclass(frozen=True)
class Honest:
    """Answers from counts and totals of the past."""

    log: Log

    def predict(self, examples: Examples, past: Past) -> Scores:
        known = past.count(28) + past.total("amount", 84) + len(past.shop(AT).events)
        return Scores(YesNo(), (known / (known + 1)).astype(np.float32)[:, None])


def cheat(seen: Callable[[Log], pl.DataFrame], weight: float = 1.0) -> Callable[[Log], Any]:
    return lambda log: Counting(log, seen, weight)


AFTER = cheat(lambda log: log.between(AT, AT + timedelta(days=7)))
# Whoever buys last of all, by a hair: one answer in a hundred and twenty.
ONE_HAIR = cheat(lambda log: log.events.tail(1), weight=1e-6)
HAPPENED_BEFORE = cheat(lambda log: log.events.filter(pl.col("timestamp") < AT))


def caught(maker: Callable[[Log], Any], log: Log) -> tuple[str, set[str]]:
    """Which of the two scrambling detectors find a predictor with a random name."""
    name = some_name()

    def answer(_task: str, asked: str, given: Log, at: datetime) -> Scores:
        assert asked == name
        examples = ASKS.questions(given, at)
        return maker(given).predict(examples, Past(given, examples))

    found = leakcheck([ASKS], answer, {ASKS.name: [name]}, log, AT, np.random.default_rng(1))
    assert all(leak.task == ASKS.name and leak.predictor == name for leak in found)
    return name, {leak.detector for leak in found}


@pytest.mark.parametrize("maker", [AFTER, ONE_HAIR], ids=["counts", "one hair"])
def test_reading_the_future_is_caught(maker: Callable[[Log], Any], shop: Log, late_shop: Log) -> None:
    assert FUTURE in caught(maker, shop)[1]
    assert FUTURE in caught(maker, late_shop)[1]


def test_reading_what_happened_but_was_not_known_is_caught(shop: Log, late_shop: Log) -> None:
    # Without `arrived_at` nothing but the check's own late rows can show it.
    assert caught(HAPPENED_BEFORE, shop)[1] == {LATE}
    assert LATE in caught(HAPPENED_BEFORE, late_shop)[1]


def test_the_honest_pass_every_detector(shop: Log, late_shop: Log) -> None:
    assert caught(Honest, shop)[1] == set()
    assert caught(Honest, late_shop)[1] == set()


def leaking(log: Log, task: Task, rng: np.random.Generator) -> tuple[Log, str]:
    """The log with a column that is the task's truth at AT with a third of noise, under a random name."""
    truth = pl.col("truth").list.len() if isinstance(task.answer, Ranking) else pl.col("truth")
    if task is interest.TASK:
        truth = pl.col("truth").list.eval(pl.element().struct.field("weight")).list.sum()
    told = task.examples(log, [AT]).frame.with_columns(truth.cast(pl.Float64).alias("truth"))
    values = told["truth"] * pl.Series(rng.lognormal(0, 0.2, len(told)))
    name = some_name()
    column = told.select(task.key, values.alias(name))
    table = "users" if task.key == "user_id" else "items"
    return replace(log, **{table: getattr(log, table).join(column, on=task.key, how="left")}), f"{table}.{name}"


@pytest.mark.parametrize("task", BUILT_IN, ids=lambda task: task.name)
def test_a_column_made_of_the_truth_is_caught_and_the_traits_are_not(task: Task, shop: Log) -> None:
    rng = np.random.default_rng(5)
    log, name = leaking(shop, task, rng)
    rows = list(static_columns(task, log, AT, rng))
    assert {row.predictor for row in rows if row.leaks} == {name}
    assert len(rows) >= 3
    assert all(row.detector == COLUMN and row.task == task.name for row in rows)
    assert name in next(row.detail for row in rows if row.leaks)


def test_a_yes_or_no_told_by_which_customers_have_a_value_is_caught(shop: Log) -> None:
    told = ASKS.examples(shop, [AT]).frame
    note = pl.when(pl.col("truth")).then(pl.lit("called"))
    log = replace(shop, users=shop.users.join(told.select("user_id", note.alias("note")), on="user_id", how="left"))
    found = [row.predictor for row in static_columns(ASKS, log, AT, np.random.default_rng(0)) if row.leaks]
    assert found == ["users.note"]


def test_an_item_column_that_tells_what_will_be_bought_is_caught_by_the_ranking(shop: Log) -> None:
    named = next_item.TASK.examples(shop, [AT]).frame
    counts = named.select(pl.col("truth").list.explode().alias("item_id")).group_by("item_id").len("hot")
    log = replace(shop, items=shop.items.join(counts, on="item_id", how="left"))
    found = [row.predictor for row in static_columns(next_item.TASK, log, AT, np.random.default_rng(0)) if row.leaks]
    assert found == ["items.hot"]


def test_a_trait_as_true_of_the_past_is_no_leak_however_strong(shop: Log) -> None:
    spent = shop.events.group_by("user_id").agg(pl.col("amount").sum().alias("wealth"))
    log = replace(shop, users=shop.users.join(spent, on="user_id", how="left"))
    rows = {row.predictor: row for row in static_columns(purchasing_power.TASK, log, AT, np.random.default_rng(0))}
    assert not rows["users.wealth"].leaks
    groups = np.repeat(np.arange(4), 25)
    assert products(groups, np.arange(100) % 5, groups.astype(float)).mean() > 0.95


def test_what_cannot_be_judged_says_why(shop: Log) -> None:
    late = list(static_columns(demand.TASK, shop, UNTIL - timedelta(days=1), np.random.default_rng(0)))
    assert [(row.leaks, np.isnan(row.difference)) for row in late] == [(False, True)]
    assert "not wholly observed" in late[0].detail
    event = replace(ASKS, asks=EachEvent("buy", timedelta(days=7)))
    assert "events" in next(static_columns(event, shop, AT, np.random.default_rng(0))).detail


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        (Scores(Ranking("item_id"), np.array([[2.0, 1.0]]), ids=np.array([[7, 9]])), np.inf),
        (Scores(Ranking("item_id"), np.array([[2.0, 1.5]]), ids=np.array([[7, 8]])), 0.5),
        (Scores(Ranking("item_id"), np.array([[2.0]]), ids=np.array([[7]])), np.inf),
        (Scores(Ranking("item_id"), np.array([[2.0, 1.0]]), ids=np.array([[7, 8]])), 0.0),
    ],
    ids=["other ids", "other scores", "other shape", "same"],
)
def test_rankings_are_compared_by_ids_and_scores(changed: Scores, difference: float, shop: Log) -> None:
    first = Scores(Ranking("item_id"), np.array([[2.0, 1.0]]), ids=np.array([[7, 8]]))
    seen: list[str] = []

    def answer(_task: str, _name: str, given: Log, _at: datetime) -> Scores:
        return first if given is shop else changed

    made = checks(
        [ASKS], answer, {ASKS.name: ["a"]}, shop, AT, np.random.default_rng(0), lambda what, _part: seen.append(what)
    )
    rows = [row for row in made if row.detector == FUTURE]
    assert [(row.difference, row.leaks) for row in rows] == [(difference, difference > 0)]
    assert len(findings(made)) == (2 if difference else 0)
    assert seen[-1] == "leak check"


def test_the_scrambled_future_differs_in_every_column(shop: Log, late_shop: Log) -> None:
    for log in (shop, late_shop):
        past = log.before(AT).events
        scrambled = future_scrambled(log, AT, np.random.default_rng(2))
        before, after = log.events.slice(len(past)), scrambled.events.slice(len(past))
        assert scrambled.before(AT).events.equals(past)
        assert len(after) > len(before)
        assert scrambled.observed_until > log.observed_until
        for column in ("user_id", "item_id", "event_type", "amount", "quantity"):
            same = (before[column] == after[column].head(len(before))).fill_null(value=False).mean()
            assert same < 0.7, column
        assert not set(after["user_id"]) <= set(past["user_id"])
        assert scrambled.items is log.items


def test_late_scrambling_leaves_the_rest_of_the_future_alone(late_shop: Log) -> None:
    scrambled = late_scrambled(late_shop, AT, np.random.default_rng(2))
    assert scrambled.between(AT, UNTIL).sort(pl.all()).equals(late_shop.between(AT, UNTIL).sort(pl.all()))
    happened = pl.col("timestamp") < AT
    assert len(scrambled.events.filter(happened)) > len(late_shop.events.filter(happened))
    assert scrambled.before(AT).events.equals(late_shop.before(AT).events)


def test_amounts_of_nobody_are_asked_of_items_too(shop: Log) -> None:
    assert isinstance(demand.TASK.answer, Amount)
    rows = list(static_columns(demand.TASK, shop, AT, np.random.default_rng(0)))
    assert {row.predictor for row in rows} == {"items.title", "items.category", "items.price"}


@pytest.mark.slow
def test_no_false_alarm_on_the_demographics_of_complete_journey(complete_journey_log: Log) -> None:
    log = complete_journey_log.before(datetime(2017, 11, 5, tzinfo=UTC))
    for task in BUILT_IN:
        rows = list(static_columns(task, log, datetime(2017, 10, 8, tzinfo=UTC), np.random.default_rng(0)))
        assert len(rows) >= 4
        assert findings(rows) == []


def test_a_window_of_hours_is_said_in_hours(shop):
    hours = replace(ASKS, horizon=timedelta(hours=6))
    (said,) = static_columns(hours, shop, shop.observed_until, np.random.default_rng(0))
    assert said.detail == "not checked: 6 hours before and after the cut-off are not wholly observed"
