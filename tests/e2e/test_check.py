"""The real `intently check` on spoilt logs, and training on them with and without --fallback."""

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from commands import intently
from planted_shop import START, planted

DAY = f"{START + timedelta(weeks=35):%Y-%m-%d}"


def written(folder: Path, change=lambda events: events, items=lambda items: items) -> Path:
    """The planted shop, each event once, with its events and items changed."""
    log = planted()
    log.write(folder)
    change(log.events.unique(maintain_order=True)).write_parquet(folder / "events.parquet")
    items(log.items).write_parquet(folder / "items.parquet")
    return folder


def told(folder: Path, *more: str | Path) -> dict:
    done = intently("check", folder, "--json", *more)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def codes(content: dict) -> dict[str, int]:
    return {one["code"]: one["count"] for one in content["findings"]}


def test_a_sound_shop_has_no_fault_and_a_verdict_for_each_task(tmp_path):
    done = intently("check", written(tmp_path / "shop"))
    assert done.returncode == 0, done.stderr
    assert "no row is at fault" in done.stdout
    for task in ("purchase_intent", "purchasing_power", "interest", "next_item", "demand"):
        assert task in done.stdout
    assert "weak" in done.stdout


def test_spoilt_rows_are_named_counted_and_written_apart(tmp_path):
    def spoil(events: pl.DataFrame) -> pl.DataFrame:
        row = pl.int_range(pl.len())
        buys = events.filter(event_type="buy")
        bad = buys.head(6).with_columns(
            amount=pl.when(row < 2).then(float("nan")).when(row < 5).then(-1.0).otherwise(pl.col("amount")),
            event_type=pl.when(row == 5).then(pl.lit("poke")).otherwise("event_type"),
        )
        return pl.concat([events.reverse(), bad, events.head(7)])

    def prices(items: pl.DataFrame) -> pl.DataFrame:
        row = pl.int_range(pl.len())
        return items.with_columns(
            price=pl.when(row == 0).then(float("nan")).when(row == 1).then(-3.0).otherwise("price")
        )

    folder = written(tmp_path / "shop", spoil, prices)
    file = tmp_path / "aside" / "rejects.csv"
    content = told(folder, "--rejects", file, "--tasks", "purchase_intent")
    found = codes(content)
    assert (found["bad_amount"], found["negative_amount"], found["repeated"]) == (2, 3, 7)
    assert found["emptied_price"] == 2
    assert found["unknown_types"] == 1
    assert found["out_of_order"] > 1000
    assert content["rows_set_aside"] == 12
    rejects = pl.read_csv(file)
    assert rejects.columns == ["table", "row", "column", "value", "reason"]
    negative = rejects.filter(pl.col("reason") == "amount of a purchase is negative")
    assert negative["value"].cast(pl.Float64).to_list() == [-1.0] * 3
    # Other verbs say it in one line and go on.
    done = intently("pack", "--data", folder, "--out", tmp_path / "pack", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == content["rows_read"] - 12
    assert done.stderr.count("are set aside") == 1


def test_out_holds_the_verdict_and_the_rejects(tmp_path):
    folder = written(tmp_path / "shop", lambda events: pl.concat([events, events.head(1)]))
    content = told(folder, "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == content
    assert len(pl.read_parquet(tmp_path / "out" / "rejects.parquet")) == 1


def test_a_log_that_cannot_be_used_is_one_sentence_and_its_rejects_are_kept(tmp_path):
    folder = written(tmp_path / "shop", lambda events: events.with_columns(event_type=pl.lit(None, dtype=pl.String)))
    done = intently("check", folder, "--rejects", tmp_path / "rejects.parquet")
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    assert "No event can be used" in done.stderr
    assert "event_type is empty" in pl.read_parquet(tmp_path / "rejects.parquet")["reason"].to_list()


@pytest.mark.parametrize("file", ["rejects.xlsx", "rejects"])
def test_a_form_of_rejects_that_is_not_known(tmp_path, file):
    done = intently("check", written(tmp_path / "shop"), "--rejects", tmp_path / file)
    assert done.returncode == 1
    assert ".parquet or .csv" in done.stderr


@pytest.mark.slow
def test_one_class_is_refused_unless_a_simple_predictor_will_do(tmp_path):
    folder = written(tmp_path / "shop", lambda events: events.with_columns(event_type=pl.lit("view")))
    content = told(folder, "--tasks", "purchase_intent", "--until", DAY)
    assert content["tasks"]["purchase_intent"]["outcome"] == "cannot"
    assert {"no_buy", "single_type"} <= set(codes(content))
    train = ("train", "--data", folder, "--until", DAY, "--tasks", "purchase_intent", "--out", tmp_path / "bundle")
    done = intently(*train)
    assert done.returncode == 1
    assert "--fallback" in done.stderr
    assert not (tmp_path / "bundle").exists()
    done = intently(*train, "--fallback")
    assert done.returncode == 0, done.stderr
    assert "purchase_intent falls back on constant: " in done.stderr


@pytest.mark.slow
def test_ten_customers_with_fallback_are_served_to_the_end(tmp_path):
    few = [f"c{number:03}" for number in range(10)]
    folder = written(tmp_path / "shop", lambda events: events.filter(pl.col("user_id").is_in(few)))
    assert told(folder, "--tasks", "next_item")["tasks"]["next_item"]["outcome"] == "cannot"
    bundle, tasks = tmp_path / "bundle", "purchase_intent,next_item"
    done = intently(
        "train", "--data", folder, "--until", DAY, "--tasks", tasks, "--out", bundle, "--fallback", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["fallback"]) == {"purchase_intent", "next_item"}
    done = intently("recommend", bundle, "--data", folder, "--user", "c001", "--at", DAY, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["next_item"]
    assert "next_item falls back on" in done.stderr
    out = tmp_path / "report"
    done = intently("evaluate", bundle, "--data", folder, "--out", out, "--cutoffs", DAY, "--replicates", "50")
    assert done.returncode == 0, done.stderr
    assert "fell back on" in (out / "report.html").read_text()
