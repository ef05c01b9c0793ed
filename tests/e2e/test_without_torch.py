"""The real service, and the command, in a Python in which importing torch and transformers raises."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import served_shop
import without_torch
from commands import intently
from intently.serve.bring import log_of
from intently.serve.store import Store
from serving import Serving

pytest.importorskip("onnxscript", reason="onnxscript is not installed")

NOW = "2024-09-10"
TASKS = ["purchase_intent", "purchasing_power", "interest", "next_item"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return served_shop.written_exported(tmp_path_factory)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(without_torch.make(tmp_path_factory.mktemp("python") / "env"))


def said_by(python: str, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, *map(str, words)],
        capture_output=True,
        text=True,
        env=environment | {"OMP_NUM_THREADS": "1"},
        check=False,
    )


def event(number: int, item: int = 1003) -> dict[str, object]:
    told = {"event_id": f"n{number}", "user_id": "c001", "event_type": "buy", "item_id": item, "amount": 9.0}
    return told | {"timestamp": datetime(2024, 9, 9, 12, number, tzinfo=UTC).isoformat(), "quantity": 1}


@pytest.mark.parametrize("package", ["torch", "transformers", "peft"])
def test_this_python_has_none_of_them(python: str, package: str) -> None:
    done = said_by(python, "-c", f"import {package}")
    assert done.returncode != 0
    assert f"No module named '{package}'" in done.stderr


def test_an_event_moves_every_answer_and_they_are_those_of_torch(
    shop, python: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    # A cache that holds nothing: what is read is read here.
    more = {"INTENTLY_CACHE": str(tmp_path / "cache")}
    serving = Serving(shop[1], tmp_path / "s", shop[0], more=("--now", NOW), environment=more, python=python).start()
    try:
        first = serving.ask("GET", "/v1/users/c001/scores")[1]
        best = serving.ask("GET", "/v1/users/c001/recommendations")[1]["answers"]
        for number in range(3):
            assert serving.ask("POST", "/v1/events", event(number))[0] == 201
        after = serving.ask("GET", "/v1/users/c001/scores")[1]
        assert after["events"] == first["events"] + 3
        for task in TASKS[:3]:
            assert after["answers"][task] != first["answers"][task], task
        assert serving.ask("GET", "/v1/users/c001/recommendations")[1]["answers"] != best
        new = {"items": [{"item_id": 77777, "title": "a red thing", "category": "kind 3"}]}
        assert serving.ask("POST", "/v1/items", new)[0] in (200, 201)
        assert serving.ask("POST", "/v1/events", event(9, 77777))[0] == 201
        end = time.monotonic() + 60
        while (told := serving.ask("GET", "/v1/users/c001/scores")[1])["unread_items"]:
            assert time.monotonic() < end, "the new item's text was never read"
            time.sleep(0.2)
        assert told["events"] == after["events"] + 1
        while serving.ask("GET", "/v1/demand")[0] != 200:
            assert time.monotonic() < end, serving.said()[-2000:]
            time.sleep(0.5)
        batch = {"user_ids": [f"c{number:03}" for number in range(100)], "tasks": TASKS, "most": 100, "max_age": 0}
        results = serving.ask("POST", "/v1/scores/batch", batch)[1]["results"]
    finally:
        assert serving.end() == 0
    assert "Traceback" not in serving.said()
    assert gaps(shop[1], serving.state, results, tmp_path, partial(said_by, python, "-m", "intently")).max() <= 1e-6
    # Where a value lies within rounding of a tree's threshold, torch and onnxruntime may take different branches.
    apart = gaps(shop[1], serving.state, results, tmp_path, intently)
    assert np.mean(apart > 1e-4) <= 1e-3, np.sort(apart)[-10:]
    assert apart.max() <= 0.05


def gaps(bundle: Path, state: str, results, folder: Path, run) -> np.ndarray:
    """How far the service's answers are from those of `intently predict`, as `run` runs it, one by one."""
    store = Store.open(state)
    log_of(store).write(folder / "log")
    store.close()
    found: list[float] = []
    compared = 0
    for when in {one["as_of"] for one in results}:
        out = folder / "out"
        done = run("predict", bundle, "--data", folder / "log", "--at", when, "--out", out)
        assert done.returncode == 0, done.stderr[-2000:]
        frames = {task: pl.read_parquet(out / f"{task}.parquet") for task in TASKS}
        for one in results:
            if one["as_of"] != when:
                continue
            intent, power, interest, items = (
                frames[task].filter(pl.col("user_id").cast(pl.String) == one["user_id"]) for task in TASKS
            )
            answers = one["answers"]
            found.append(answers["purchase_intent"]["probability"] - intent["score"][0])
            if len(power):
                size = max(1.0, power["high"][0])
                found += [(answers["purchasing_power"][one] - power[one][0]) / size for one in ("mean", "low", "high")]
            found += [share["share"] - interest[share["label"]][0] for share in answers["interest"]["shares"]]
            known = dict(items.select("item_id", "score").iter_rows())
            least = items["score"].min()
            # Where two items change places at the end of the list, one of them is not in the other's.
            found += [row["score"] - known.get(row["item_id"], least) for row in answers["next_item"]["items"]]
            compared += 1
    assert compared == len(results)
    return np.abs(found)


def test_training_says_what_to_install(shop, python: str, tmp_path: Path) -> None:
    words = ("train", "--data", shop[0], "--until", "2024-09-01", "--out", tmp_path / "bundle")
    done = said_by(python, "-m", "intently", *words)
    assert done.returncode == 1
    assert "pip install 'intently[train]'" in done.stderr
    assert "Traceback" not in done.stderr
