"""Searching: it finds what works, goes on where it stopped, and keeps to its time."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from intently import metrics
from intently.contract import Examples, Past
from intently.errors import ConfigError, TooFewExamples
from intently.learn import search as searching
from intently.learn.augment import Augment, drop_events, typos
from intently.learn.search import Space, _apart, search
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import schema
from intently.text.story import Teller
from small_logs import day
from text_shop import TASK, shop
from tiny_models import encoder

QUESTION = replace(TASK, metrics=("accuracy",))


@pytest.fixture(scope="module")
def log():
    return shop(160)


@pytest.fixture(scope="module")
def examples(log):
    return QUESTION.examples(log, [day(7 * week) for week in range(1, 11)])


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    recipe = TextRecipe(fewest_steps=0, batch_size=16, max_tokens=16, held_out=0.0)
    return TextReader(model=encoder(tmp_path_factory.mktemp("search") / "e"), recipe=recipe, teller=Teller(last=0))


def test_a_search_finds_a_method_that_works_and_goes_on_where_it_stopped(reader, examples, log, tmp_path):
    space = Space(methods=("full", "frozen"), epochs=(3, 6))
    first = search(reader, examples, log, space=space, trials=3, study=tmp_path / "study.log")
    assert len(first.trials) == 3
    again = search(reader, examples, log, space=space, trials=3, study=tmp_path / "study.log")
    assert again.trials == first.trials
    more = search(reader, examples, log, space=space, trials=5, study=tmp_path / "study.log")
    assert more.trials[:3] == first.trials
    assert more.value >= first.value == max(row["value"] for row in first.trials)
    best = max(more.trials, key=lambda row: row["value"])
    assert (more.reader.method, more.reader.recipe.epochs) == (best["method"], best["epochs"])
    assert more.reader.fitted is None
    fitted = more.reader.fit(examples, Past(log, examples))
    assert fitted.recipe.rate == best["rate"]


def test_a_method_that_the_model_does_not_go_with_is_passed_over(reader, examples, log, tmp_path):
    found = search(reader, examples, log, space=Space(methods=("frozen",)), trials=2)
    assert all(row["method"] == "frozen" for row in found.trials)
    with pytest.raises(ConfigError, match="no method 'loraa'"):
        search(reader, examples, log, space=Space(methods=("loraa",)))


def test_where_every_trial_fails_it_is_said_why(reader, examples, log):
    with pytest.raises(ConfigError, match="/nothing"):
        search(replace(reader, model="/nothing"), examples, log, space=Space(methods=("frozen",)), trials=1)
    alike = Examples(QUESTION, examples.frame.with_columns(truth=pl.lit("other")))
    with pytest.raises(TooFewExamples):
        search(reader, alike, log, space=Space(methods=("frozen",)), trials=1)
    with pytest.raises(ConfigError, match="No trial was finished"):
        search(reader, examples, log, space=Space(methods=("frozen",)), trials=1, seconds=0)


@pytest.mark.parametrize("content", ["years of work", "years of work\n", '{"a": 1}\n', '{"op_code": 0}\n{"op_'])
def test_a_file_that_is_no_study_is_left_as_it_is(reader, examples, log, tmp_path, content):
    file = tmp_path / "diary.txt"
    file.write_text(content)
    with pytest.raises(ConfigError, match="holds no study"):
        search(reader, examples, log, space=Space(methods=("frozen",)), trials=1, study=file)
    assert file.read_text() == content


def test_a_study_of_other_texts_or_changes_of_them_does_not_go_on(reader, examples, log, tmp_path):
    space, file = Space(methods=("frozen",)), tmp_path / "study.log"
    begun = replace(reader, augment=Augment((typos(0.1),)))
    first = search(begun, examples, log, space=space, trials=1, study=file)
    again = search(replace(reader, augment=Augment((typos(0.1),))), examples, log, space=space, trials=1, study=file)
    assert again.trials == first.trials
    texts = examples.frame.with_columns(pl.col(schema.TEXT).str.replace("refund", "money"))
    for mine, asked in (
        (reader, examples),
        (replace(reader, augment=Augment((typos(0.3),))), examples),
        (replace(reader, augment=Augment((typos(0.1), drop_events(0.1)))), examples),
        (begun, Examples(QUESTION, texts)),
    ):
        with pytest.raises(ConfigError, match="begun with other data, settings"):
            search(mine, asked, log, space=space, trials=1, study=file)


def test_what_is_judged_comes_after_what_was_learned(examples):
    earlier, later = _apart(examples, 0.25)
    assert earlier.at.max() + QUESTION.horizon <= later.at.min()
    assert 0.2 < len(later) / len(examples) < 0.3
    with pytest.raises(TooFewExamples, match="too short a time"):
        _apart(examples.where(examples.at == examples.at.max()), 0.25)


@pytest.mark.parametrize("metric", metrics.ALL, ids=lambda metric: f"{metric.kind}-{metric.name}")
def test_the_score_is_what_the_metric_says_whatever_its_direction(metric, reader, examples, log, monkeypatch):
    plain = replace(metric, function=lambda _, values: values[0], rowwise=False)
    fitted = SimpleNamespace(predict=lambda *_: np.array([0.95]))
    monkeypatch.setattr(metrics, "of", lambda *_: (plain,))
    monkeypatch.setattr(searching, "judged", lambda _task, _examples, scores: (None, scores))
    monkeypatch.setattr(searching, "_drawn", lambda *_: SimpleNamespace(fit=lambda *_: fitted))
    found = search(reader, examples, log, trials=1)
    assert (found.score, found.value) == (0.95, metric.goodness(0.95))
