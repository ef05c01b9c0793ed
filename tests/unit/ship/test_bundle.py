"""What a bundle writes and refuses."""

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from intently.baselines.constant import Constant
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.contract import Past
from intently.errors import BundleError
from intently.evaluate.compare import Report
from intently.learn.trained import Trained
from intently.log.log import Log
from intently.ship.arrays import load_arrays, save_arrays
from intently.ship.bundle import FORMAT, _read_predictor, _save_predictor, describe, load, made_with, questions, save
from intently.tasks import BUILT_IN
from intently.tasks.ad_response import TASK as AD_RESPONSE
from intently.tasks.next_item import TASK as NEXT_ITEM
from planted_shop import START, planted


def test_arrays_of_numbers_and_texts_come_back_as_they_were(tmp_path) -> None:
    arrays = {
        "numbers": np.arange(6, dtype=np.float32).reshape(2, 3),
        "codes": np.array([3, -1], dtype=np.int64),
        "ids": np.array(["a", "雨衣", "long id"]),
        "none": np.zeros(0, dtype=np.float64),
    }
    save_arrays(tmp_path / "x.safetensors", arrays)
    found = load_arrays(tmp_path / "x.safetensors")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].tolist() == array.tolist()


def test_no_bundle_a_broken_one_and_a_later_format_are_refused(tmp_path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        load(tmp_path, BUILT_IN)
    (tmp_path / "contract.json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        load(tmp_path, BUILT_IN)
    (tmp_path / "contract.json").write_text(json.dumps({"format": 99}))
    for ask in (lambda: load(tmp_path, BUILT_IN), lambda: questions(tmp_path), lambda: made_with(tmp_path)):
        with pytest.raises(BundleError, match="format 99"):
            ask()
    for readable in (3, FORMAT):
        (tmp_path / "contract.json").write_text(json.dumps({"format": readable, "tasks": {"fortune": {}}}))
        with pytest.raises(BundleError, match="fortune"):
            load(tmp_path, BUILT_IN)


def test_a_bundles_own_question_is_checked_like_a_config(tmp_path) -> None:
    table = {"name": "tea", "horizon": "14d", "answer": "yes_no", "truth": "count(*) > 1", "wording": {"en": "Tea?"}}
    for changed, says in (
        ({"truth": "summ(amount)"}, "no function summ"),
        ({"name": "coffee"}, "calls 'coffee' 'tea'"),
    ):
        told = {"format": FORMAT, "tasks": {"tea": {"written": table | changed}}}
        (tmp_path / "contract.json").write_text(json.dumps(told))
        with pytest.raises(BundleError, match=says):
            load(tmp_path, BUILT_IN)


def test_the_folder_that_one_stands_in_takes_a_bundle_and_stays(tiny_log, tmp_path, monkeypatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    trained = Trained(tiny_log.observed_until, (), None, None, {}, {}, {}, Report())
    for _ in range(2):
        save(trained, tiny_log, ".")
        assert json.loads(Path("contract.json").read_text())["tasks"] == {}
    assert [one.name for one in tmp_path.iterdir()] == ["here"]
    Path("contract.json").rename("shopping.json")
    with pytest.raises(BundleError, match="not a bundle"):
        save(trained, tiny_log, ".")


@pytest.mark.parametrize("given", ["reading", "candidates", None])
def test_a_ranking_is_given_again_what_it_was_given_of_the_reader_and_no_more(tmp_path, given) -> None:
    log, task = planted(), NEXT_ITEM
    examples = task.examples(log, [START + timedelta(weeks=week) for week in (24, 26, 28)])
    fitted = LightGBMRanking(threads=1, weeks=2, at_most=60, trees=3).fit(examples, Past(log, examples))
    columns: Any = object()
    _save_predictor(replace(fitted, **({given: columns} if given else {})), tmp_path / "one")
    back: Any = _read_predictor(tmp_path / "one", "LightGBMRanking", "lightgbm", None, columns, 1)
    assert {name: getattr(back, name) is columns for name in ("reading", "candidates")} == {
        name: name == given for name in ("reading", "candidates")
    }


def test_labels_that_are_gone_or_broken_are_named(tiny_log, tmp_path) -> None:
    labels = {"support": pl.DataFrame({"event_id": ["a"], "truth": ["refund"]})}
    trained = Trained(tiny_log.observed_until, (), None, None, {}, {}, {}, Report(), labels=labels)
    save(trained, tiny_log, tmp_path / "b")
    assert load(tmp_path / "b", BUILT_IN).labels["support"].equals(labels["support"])
    (tmp_path / "b" / "labels" / "support.parquet").write_bytes(b"none")
    with pytest.raises(BundleError, match=r"support\.parquet, cannot be read"):
        load(tmp_path / "b", BUILT_IN)
    (tmp_path / "b" / "labels" / "support.parquet").unlink()
    with pytest.raises(BundleError, match=r"support\.parquet, cannot be read"):
        load(tmp_path / "b", BUILT_IN)


def test_a_bundle_says_what_the_columns_hold_that_a_question_sees_of_an_event(tiny_log) -> None:
    more = {
        "bid": 3,
        "price": 2.5,
        "cost": Decimal("2.50"),
        "mobile": True,
        "banner": "wide",
        "day": date(2024, 1, 1),
        "none": None,
    }
    log = Log.of(
        tiny_log.events.with_columns(pl.lit(value).alias(name) for name, value in more.items()), tiny_log.items
    )
    task = replace(AD_RESPONSE, sees=("text", "event_type", *more, "not there"))
    part = {task.name: {"constant": Constant()}}
    trained = Trained(log.observed_until, (task,), None, None, part, {task.name: ""}, {task.name: ""}, Report())
    found = describe(trained, log)["tasks"][task.name]["sees"]
    wanted = {"event_type": "text", "bid": "number", "price": "number", "cost": "number", "mobile": "flag"}
    assert found == wanted | {"banner": "text", "day": "other", "none": "text"} | (
        {"text": "text"} if "text" in log.events.columns else {}
    )
