"""The real command on a small shop: train, ask, judge; and what it says to bad input."""

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from commands import intently
from planted_shop import START, planted

UNTIL = START + timedelta(weeks=35)
DAY = f"{UNTIL:%Y-%m-%d}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    planted().write(folder / "data")
    return folder


@pytest.fixture(scope="module")
def bundle(shop: Path) -> Path:
    out = shop / "bundle"
    done = intently(
        "train",
        "--data",
        shop / "data",
        "--until",
        DAY,
        "--out",
        out,
        "--threads",
        "1",
        "--json",
        cache=shop / "cache",
        cold=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert set(told["served"]) == {"purchase_intent", "purchasing_power", "interest", "next_item", "demand"}
    return out


def test_bundle_holds_no_code(bundle: Path) -> None:
    kinds = {path.suffix for path in bundle.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".safetensors", ".parquet", ".md"}
    assert "Model card" in (bundle / "README.md").read_text()


@pytest.fixture(scope="module")
def answers(shop: Path, bundle: Path) -> tuple[list[str], Path]:
    """The questions that one process answered, begun from nothing, all at once; and the folder of its answers."""
    out = shop / "answers"
    words = ("predict", bundle, "--data", shop / "data", "--at", DAY, "--out", out, "--json")
    done = intently(*words, cache=shop / "cache", cold=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return [one["task"] for one in json.loads(done.stdout)], out


@pytest.mark.parametrize("task", ["purchase_intent", "purchasing_power", "interest", "next_item", "demand"])
def test_two_processes_give_the_same_one_asked_everything_and_one_asked_this(
    shop: Path, bundle: Path, answers: tuple[list[str], Path], task: str
) -> None:
    out = shop / f"{task}.parquet"
    words = ("predict", bundle, "--data", shop / "data", "--at", DAY, "--task", task, "--out", out)
    done = intently(*words, cache=shop / "cache")
    assert done.returncode == 0, done.stderr[-2000:]
    frames = [pl.read_parquet(file) for file in (out, answers[1] / f"{task}.parquet")]
    assert frames[0].equals(frames[1])
    frame = frames[0]
    assert len(frame) > 0
    match task:
        case "purchase_intent":
            assert frame.columns == ["user_id", "at", "score"]
            assert frame["score"].is_between(0, 1).all()
        case "purchasing_power" | "demand":
            assert frame.columns[1:] == ["at", "mean", "low", "high"]
            assert (frame["low"] <= frame["high"]).all()
        case "interest":
            assert np.allclose(frame.drop("user_id", "at").to_numpy().sum(axis=1), 1, atol=1e-4)
        case "next_item":
            assert frame.columns == ["user_id", "at", "item_id", "score", "rank"]
            assert frame.group_by("user_id").agg(pl.col("rank").min())["rank"].eq(1).all()


def test_without_a_task_every_question_is_answered(shop: Path, bundle: Path, answers: tuple[list[str], Path]) -> None:
    assert answers[0] == ["purchase_intent", "purchasing_power", "interest", "next_item", "demand"]
    words = ("predict", bundle, "--data", shop / "data", "--at", DAY, "--out", shop / "all.parquet")
    assert_one_sentence(intently(*words), "every question is asked")


def test_recommend_one_customer(shop: Path, bundle: Path) -> None:
    user = planted().before(UNTIL).events["user_id"][0]
    done = intently(
        "recommend", bundle, "--data", shop / "data", "--user", user, "--at", DAY, "--json", cache=shop / "cache"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["user_id"] == user
    assert len(told["next_item"]) == 10
    assert 0 <= told["answers"]["purchase_intent"] <= 1


def test_recommendations_are_held_to_a_file_of_rules(shop: Path, bundle: Path) -> None:
    user = planted().before(UNTIL).events["user_id"][0]
    asked = ("recommend", bundle, "--data", shop / "data", "--user", user, "--at", DAY, "--json")
    free = json.loads(intently(*asked, cache=shop / "cache").stdout)["next_item"]
    first, category = free[0]["item_id"], free[1]["category"]
    rules = shop / "rules.toml"
    name = first if isinstance(first, int) else f"'{first}'"
    rules.write_text(f'[rules]\nonly = "item_id <> {name}"\ncategories = ["{category}"]\n')
    done = intently(*asked, "--rules", rules, cache=shop / "cache")
    assert done.returncode == 0, done.stderr[-2000:]
    held = json.loads(done.stdout)["next_item"]
    assert held
    assert {item["category"] for item in held} == {category}
    assert first not in [item["item_id"] for item in held]
    rules.write_text("[rules]\nper_categry = 1\n")
    done = intently(*asked, "--rules", rules, cache=shop / "cache")
    assert done.returncode == 1
    assert "line 2" in done.stderr
    assert "did you mean 'per_category'" in done.stderr


def test_evaluate_writes_a_report(shop: Path, bundle: Path) -> None:
    out = shop / "report"
    final = shop / "results" / "readings.jsonl"
    done = intently(
        "evaluate", bundle, "--data", shop / "data", "--out", out, "--cutoffs", DAY,
        "--replicates", "60", "--readings", final, cache=shop / "cache",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    content = json.loads((out / "metrics.json").read_text())
    assert set(content["tasks"]) == {"purchase_intent", "purchasing_power", "interest", "next_item", "demand"}
    for entry in content["tasks"].values():
        assert entry["sentence"].endswith(".")
        assert entry["sentence"] in done.stdout.replace("\n", "") or entry["served"] in done.stdout
    page = (out / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(final.read_text().splitlines()) == 1


def test_evaluate_refuses_cutoffs_inside_the_training(shop: Path, bundle: Path) -> None:
    early = f"{UNTIL - timedelta(days=7):%Y-%m-%d}"
    done = intently("evaluate", bundle, "--data", shop / "data", "--out", shop / "r", "--cutoffs", early)
    assert_one_sentence(done, "before the end of training")


def test_evaluate_asks_which_cutoffs(shop: Path, bundle: Path) -> None:
    for said in ((), ("--final", "--cutoffs", DAY)):
        done = intently("evaluate", bundle, "--data", shop / "data", "--out", shop / "r", *said)
        assert_one_sentence(done, "--final")


def test_leakcheck_of_an_honest_bundle_is_clean(shop: Path, bundle: Path) -> None:
    done = intently("leakcheck", bundle, "--data", shop / "data", "--json", cache=shop / "cache")
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-2000:]
    assert json.loads(done.stdout)["findings"] == []


def assert_one_sentence(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert says in done.stderr, done.stderr
    assert done.stderr.count("error:") == 1


def changed(shop: Path, folder: Path, change: object) -> Path:
    """A copy of the data with its events changed."""
    shutil.copytree(shop / "data", folder)
    events = pl.read_parquet(folder / "events.parquet")
    change(events).write_parquet(folder / "events.parquet")  # type: ignore[operator]
    return folder


def train(data: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return intently("train", "--data", data, "--until", DAY, "--out", out, *more)


def test_missing_folder(shop: Path, tmp_path: Path) -> None:
    assert_one_sentence(train(tmp_path / "nowhere", tmp_path / "out"), "There is no folder")


def test_missing_column(shop: Path, tmp_path: Path) -> None:
    data = changed(shop, tmp_path / "data", lambda events: events.drop("timestamp"))
    assert_one_sentence(train(data, tmp_path / "out"), "'timestamp' is missing")


def test_wrong_type(shop: Path, tmp_path: Path) -> None:
    data = changed(shop, tmp_path / "data", lambda events: events.with_columns(amount=pl.lit("much")))
    assert_one_sentence(train(data, tmp_path / "out"), "'amount'")


def test_empty_file(shop: Path, tmp_path: Path) -> None:
    data = changed(shop, tmp_path / "data", lambda events: events.clear())
    assert_one_sentence(train(data, tmp_path / "out"), "no rows")


def test_truncated_parquet(shop: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(shop / "data", data)
    file = data / "events.parquet"
    file.write_bytes(file.read_bytes()[:1000])
    assert_one_sentence(train(data, tmp_path / "out"), "cannot be read")


def test_ten_customers_only(shop: Path, tmp_path: Path) -> None:
    few = [f"c{number:03}" for number in range(10)]
    data = changed(shop, tmp_path / "data", lambda events: events.filter(pl.col("user_id").is_in(few)))
    assert_one_sentence(train(data, tmp_path / "out", "--tasks", "purchase_intent"), "customers to learn from")


def test_one_class_only(shop: Path, tmp_path: Path) -> None:
    data = changed(shop, tmp_path / "data", lambda events: events.with_columns(event_type=pl.lit("view")))
    assert_one_sentence(train(data, tmp_path / "out", "--tasks", "purchase_intent"), "the same for all")


def test_unknown_task_names_the_known_ones(shop: Path, tmp_path: Path) -> None:
    assert_one_sentence(train(shop / "data", tmp_path / "out", "--tasks", "fortune"), "purchase_intent")


def test_unknown_customer(shop: Path, bundle: Path) -> None:
    done = intently("recommend", bundle, "--data", shop / "data", "--user", "nobody", "--at", DAY)
    assert_one_sentence(done, "'nobody'")


def test_unknown_question(shop: Path, bundle: Path, tmp_path: Path) -> None:
    words = ("--data", shop / "data", "--at", DAY, "--task", "churn", "--out", tmp_path / "x.parquet")
    says = "The model has no task 'churn'. It answers purchase_intent, purchasing_power, interest, next_item, demand."
    assert_one_sentence(intently("predict", bundle, *words), says)


def test_a_folder_that_is_no_bundle(shop: Path, tmp_path: Path) -> None:
    words = ("--data", shop / "data", "--at", DAY, "--task", "demand", "--out", tmp_path / "x.parquet")
    assert_one_sentence(intently("predict", tmp_path, *words), "is not a bundle")


def test_bad_date(shop: Path, tmp_path: Path) -> None:
    done = intently("train", "--data", shop / "data", "--until", "yesterday", "--out", tmp_path / "out")
    assert_one_sentence(done, "'yesterday' is not a date")


def test_training_never_replaces_what_is_no_bundle(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    assert_one_sentence(train(shop / "data", tmp_path / "out"), "not a bundle")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"


def test_help_is_quick_and_loads_no_torch() -> None:
    code = (
        "import sys, time; sys.argv = ['intently', '--help']; begin = time.perf_counter()\n"
        "from intently.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'polars', 'lightgbm'} & set(sys.modules)\n"
        "sys.stderr.write(f'{sorted(heavy)} {time.perf_counter() - begin:.2f}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "recommend" in done.stdout
    assert done.stderr.startswith("[]"), done.stderr
