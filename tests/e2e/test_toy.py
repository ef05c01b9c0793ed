"""`intently toy` as a person runs it."""

import json
from pathlib import Path

import polars as pl

from commands import intently
from intently.log.log import Log


def test_it_writes_a_log_and_its_truth_and_says_that_it_is_synthetic(tmp_path: Path) -> None:
    out = tmp_path / "shop"
    done = intently("toy", "--out", out, "--customers", 30, "--days", 40, "--seed", 2, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["note"].startswith("Synthetic")
    log = Log.read(out)
    assert len(log.events) == told["events"] > 500
    planted = json.loads((out / "planted.json").read_text())
    assert planted["made_with"] == {"customers": 30, "days": 40, "seed": 2}
    assert pl.read_parquet(out / "planted.parquet").height == 30
    chances = pl.read_parquet(out / "planted_events.parquet")
    assert set(chances["question"].unique()) == set(planted["labels"])
    assert chances["chances"].list.sum().is_between(0.999, 1.001).all()
    # A second run replaces the first.
    assert intently("toy", "--out", out, "--customers", 20, "--days", 40).returncode == 0


def test_it_never_writes_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = intently("toy", "--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("error:") == 1
    assert "not a toy shop" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]
