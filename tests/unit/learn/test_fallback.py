from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.cli.evaluate import judged
from intently.errors import ConfigError, TooFewExamples
from intently.learn.active import found_labels, kept_labels
from intently.learn.fallback import train_or_fall_back
from intently.learn.update import renewed
from intently.log.log import Log
from intently.ship.bundle import load, save
from intently.tasks import BUILT_IN, demand, interest, next_item, purchase_intent, purchasing_power
from planted_shop import START, UNTIL, planted
from small_logs import day
from text_shop import TASK, shop

CUSTOMER_TASKS = (purchase_intent.TASK, purchasing_power.TASK, interest.TASK, next_item.TASK)


@pytest.fixture(scope="module")
def ten() -> Log:
    log = planted()
    return replace(log, events=log.events.filter(pl.col("user_id").is_in([f"c{n:03}" for n in range(10)])))


@pytest.fixture(scope="module")
def views() -> Log:
    log = planted()
    return replace(log, events=log.events.with_columns(event_type=pl.lit("view")))


def test_it_refuses_by_default_and_names_the_way_out(ten):
    with pytest.raises(TooFewExamples, match=r"10 customers to learn from.*--fallback"):
        train_or_fall_back(ten, UNTIL, [purchase_intent.TASK])


def test_ten_customers_are_served_by_simple_predictors_that_say_so(ten, tmp_path):
    early = UNTIL - timedelta(weeks=5)
    trained = train_or_fall_back(ten, early, CUSTOMER_TASKS, fallback=True)
    assert trained.reader is None
    assert set(trained.fallback) == {task.name for task in CUSTOMER_TASKS}
    assert "10 customers" in trained.fallback["next_item"]
    assert trained.served == trained.baseline
    assert trained.served["next_item"] != "constant"
    save(trained, ten, tmp_path / "bundle")
    card = (tmp_path / "bundle" / "README.md").read_text()
    assert "## Not a model" in card
    assert "- interest: " in card
    again = load(tmp_path / "bundle", BUILT_IN)
    assert again.fallback == trained.fallback
    for task in CUSTOMER_TASKS:
        examples, scores = trained.predict(task.name, ten.before(early), early)
        assert len(scores) == 10
        np.testing.assert_array_equal(again.predict(task.name, ten.before(early), early)[1].values, scores.values)
        assert len(examples) == 10
    told = judged(again, ten, [early], replicates=50)["tasks"]
    assert "fell back on: next_item has 10 customers" in told["next_item"]["sentence"]


def test_labels_by_hand_are_kept_where_they_are_too_few_to_train_on():
    log, until = shop(20), day(85)
    written = log.before(until).events.filter(pl.col("event_type") == "support").head(5)
    labels = found_labels(written.select("event_id", truth=pl.lit("other")), TASK, log.before(until))
    trained = train_or_fall_back(log, until, [TASK], fallback=True, labels={TASK.name: labels})
    assert set(trained.fallback) == {TASK.name}
    assert trained.labels[TASK.name].equals(kept_labels(labels))
    with pytest.raises(ConfigError, match=r"No text reader answers any question"):
        renewed(trained, log, log.observed_until, labels={TASK.name: labels})


def test_one_class_is_rare_rather_than_impossible(views):
    trained = train_or_fall_back(views, UNTIL, [purchase_intent.TASK, purchasing_power.TASK], fallback=True)
    scores = trained.predict("purchase_intent", views, UNTIL)[1].values
    # One of 122 by the rule of succession over 120 customers.
    assert np.allclose(scores, 1 / 122)
    assert trained.served["purchasing_power"] == "constant"
    assert "the same for all" in trained.fallback["purchase_intent"]


def test_what_nobody_can_answer_is_named_all_at_once(views):
    with pytest.raises(TooFewExamples) as raised:
        train_or_fall_back(views, UNTIL, BUILT_IN, fallback=True)
    for name in ("interest", "next_item", "demand"):
        assert f"no example of {name}" in raised.value.problem


def test_a_short_log_falls_back_where_the_reader_cannot_be_trained(monkeypatch):
    monkeypatch.setattr("intently.learn.texts.embed", lambda *_: 1 / 0)  # Refused before any text is read.
    until = START + timedelta(weeks=12)
    trained = train_or_fall_back(planted(), until, [purchase_intent.TASK, demand.TASK], fallback=True)
    assert set(trained.fallback) == {"purchase_intent"}
    assert "84 days are known" in trained.fallback["purchase_intent"]
    assert "lightgbm" in trained.predictors["demand"]
    assert [task.name for task in trained.tasks] == ["purchase_intent", "demand"]


def test_a_single_window_gives_the_constant_unjudged(tmp_path):
    until = START + timedelta(days=10)
    log = planted()
    trained = train_or_fall_back(log, until, [purchase_intent.TASK], fallback=True)
    assert trained.served == {"purchase_intent": "constant"}
    assert trained.choice.tasks == []
    save(trained, log, tmp_path / "bundle")
    assert "not judged" in (tmp_path / "bundle" / "README.md").read_text()


def test_no_whole_window_is_refused_even_so():
    with pytest.raises(TooFewExamples, match="Not even a simple predictor"):
        train_or_fall_back(planted(), START + timedelta(days=6), [purchase_intent.TASK], fallback=True)
