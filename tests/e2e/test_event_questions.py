"""Questions about events by the real command: trained in words, kept in a bundle, judged and answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from typer.testing import CliRunner

from intently.cli.app import app
from intently.log import schema, toy_shop
from intently.log.log import Log

DAYS = 182
UNTIL = f"{toy_shop.START + timedelta(days=140):%Y-%m-%d}"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    toy_shop.read(300, DAYS).write(folder / "shop")
    return folder


def run(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result


@pytest.fixture(scope="module")
def model(work):
    """Two small layers, pre-trained on what the shop's customers wrote before UNTIL."""
    sizes = ("--width", 64, "--layers", 2, "--epochs", 2, "--threads", 1)
    told = run("pretrain", "--data", work / "shop", "--until", UNTIL, "--out", work / "model", *sizes, "--json").output
    losses = json.loads(told[told.index("{") :])["losses"]
    assert losses[-1] < losses[0]
    return work / "model"


@pytest.fixture(scope="module")
def bundle(work, model):
    """A shop's support messages in two languages, learned by that model."""
    model = ("--model", model)
    run("train", "--data", work / "shop", "--until", UNTIL, "--tasks", "support", *model, "--out", work / "b", "--json")
    return work / "b"


def test_a_bundle_holds_a_text_reader_beside_the_plain_ones(bundle):
    contract = json.loads((bundle / "contract.json").read_text())
    assert contract["tasks"]["support"]["predictors"] == {
        "constant": "Constant",
        "n_grams": "NGrams",
        "text_reader": "TextReader",
        "blend": "Blend",
    }
    assert contract["tasks"]["support"]["baseline"] == "n_grams"
    assert contract["tasks"]["support"]["served"] == "blend"
    assert not list(bundle.rglob("*.bin"))
    assert not list(bundle.rglob("*.pkl"))


def test_it_is_judged_on_later_events(work, bundle):
    run("evaluate", bundle, "--data", work / "shop", "--out", work / "report", "--final", "--json")
    told = json.loads((work / "report" / "metrics.json").read_text())
    rows = pl.DataFrame(told["report"]["scores"]).filter(
        pl.col("metric") == "accuracy", pl.col("slice") == "all", pl.col("task") == "support"
    )
    accuracy = dict(rows.select("predictor", "value").rows())
    # One in ten messages is vague and one in twenty tags is wrong: nobody can do better than about .87.
    assert accuracy["constant"] < 0.4
    assert accuracy["constant"] < accuracy["text_reader"] < 0.95
    assert 0.7 < accuracy["n_grams"] < 0.95
    assert 0.7 < accuracy["blend"] < 0.95


def test_the_newest_messages_are_answered_each_at_its_own_time(work, bundle):
    out = work / "answers.parquet"
    run("predict", bundle, "--data", work / "shop", "--at", "2024-06-01", "--task", "support", "--out", out)
    found = pl.read_parquet(out)
    log = toy_shop.read(300, DAYS)
    asked = log.events.filter(pl.col(schema.TYPE) == "support", pl.col(schema.EVENT).is_in(found["event_id"].implode()))
    assert len(found) == len(asked) > 3
    assert found["at"].min() >= datetime(2024, 5, 25, tzinfo=UTC)
    assert found["at"].max() < datetime(2024, 6, 1, tzinfo=UTC)


def test_every_question_is_listed_and_those_of_events_count_their_examples(work):
    listed = json.loads(run("tasks", "--data", work / "shop", "--json").output)["tasks"]
    rows = {row["name"]: row for row in listed}
    assert rows["support"]["asks"] == "each support"
    assert rows["sentiment"]["examples"] > 5
    assert rows["ad_response"]["asks"] == "each impression"
    assert rows["ad_response"]["examples"] > 50


def test_messages_worth_a_label_are_written_to_be_filled_in(work, bundle):
    log = toy_shop.read(300, DAYS)
    newest = (pl.col(schema.TYPE) == "tag") & (pl.col(schema.TIME) >= datetime(2024, 6, 1, tzinfo=UTC))
    Log.of(log.events.filter(~newest), log.items, log.users, observed_from=log.observed_from).write(work / "untold")
    words = ("suggest-labels", bundle, "--data", work / "untold", "--task", "support", "--at", "2024-06-24")
    told = json.loads(run(*words, "--count", 6, "--out", work / "rows.csv", "--json").output)
    found = pl.read_csv(work / "rows.csv")
    assert len(found) == told["suggested"] == 6 < told["looked_at"]
    assert set(found["label"].fill_null("")) == {""}
    assert found["text"].null_count() == 0
    again = CliRunner().invoke(app, [str(word) for word in (*words, "--out", work / "rows.csv")])
    assert "may hold labels" in str(again.exception)
    # What the log labels, which is most of what it holds, is not proposed.
    words = ("suggest-labels", bundle, "--data", work / "shop", "--task", "support", "--at", "2024-06-24")
    told = json.loads(run(*words, "--out", work / "few.csv", "--json").output)
    before = pl.col(schema.TIME) < datetime(2024, 6, 24, tzinfo=UTC)
    tagged = log.events.filter(before, pl.col(schema.TYPE) == "tag")[schema.ABOUT]
    assert not set(pl.read_csv(work / "few.csv", infer_schema=False)["event_id"]) & set(tagged.cast(pl.String))
    assert told["looked_at"] < 10


def test_it_is_exported_exactly_and_in_eight_bits(work, bundle):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    told = json.loads(run("export", bundle, "--data", work / "shop", "--json").output)
    ((folder, gate),) = told.items()
    assert folder == str(bundle / "onnx_texts" / "support")
    assert gate["apart"]["support"] <= 1e-4
    assert gate["lost"]["support"] <= 0.004
    assert gate["examples"] > 20
    names = sorted(path.name for path in (bundle / "onnx_texts" / "support").iterdir())
    assert names == ["export.json", "text_reader.int8.onnx", "text_reader.onnx"]
    assert gate["whole_bytes"] < 0.5 * gate["exact_bytes"]
