"""A shop's own questions through the real command: trained from a TOML file, asked and judged without it."""

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from commands import intently
from own_tables import OWN_TABLES, OWN_TOML
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
    """Trained by a config in the data folder that is then taken away."""
    file = shop / "data" / "intently.toml"
    head = f"[train]\nuntil = {DAY}\nthreads = 1\nseed = 5\ntasks = {list(OWN_TABLES)}\n"
    file.write_text(head + OWN_TOML, encoding="utf-8")
    done = intently(
        "train", "--data", shop / "data", "--out", shop / "bundle", "--seed", "3", "--json", cache=shop / "c"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(json.loads(done.stdout)["served"]) == set(OWN_TABLES)
    file.unlink()
    return shop / "bundle"


@pytest.mark.slow
def test_the_resolved_config_is_saved_and_the_command_line_wins(bundle: Path) -> None:
    contract = json.loads((bundle / "contract.json").read_text())
    train = contract["config"]["train"]
    assert train == {
        "until": DAY, "preset": "fast", "model": "all-MiniLM-L6-v2", "adapt": "frozen", "method": "full", "threads": 1,
        "seed": 3,
        "tasks": list(OWN_TABLES),
    }  # fmt: skip
    assert {name: told["written"]["name"] for name, told in contract["tasks"].items()} == {n: n for n in OWN_TABLES}


@pytest.mark.slow
def test_own_questions_are_predicted_judged_recommended_and_leakchecked_without_the_config(
    shop: Path, bundle: Path
) -> None:
    data = ("--data", shop / "data")
    for name in OWN_TABLES:
        out = shop / f"{name}.parquet"
        done = intently("predict", bundle, *data, "--at", DAY, "--task", name, "--out", out, cache=shop / "c")
        assert done.returncode == 0, done.stderr[-2000:]
        assert len(pl.read_parquet(out)) > 50
    chances = pl.read_parquet(shop / "size_of_month.parquet").select("small", "big", "none")
    assert (chances.sum_horizontal() - 1).abs().max() < 1e-4

    report = ("--cutoffs", DAY, "--replicates", "60", "--out", shop / "report")
    done = intently("evaluate", bundle, *data, *report, cache=shop / "c")
    assert done.returncode == 0, done.stderr[-2000:]
    assert set(json.loads((shop / "report" / "metrics.json").read_text())["tasks"]) == set(OWN_TABLES)

    # c001 has nothing of that kind: they are not asked whether they will be back for it.
    asked = pl.read_parquet(shop / "back_for_kind_one.parquet")["user_id"]
    assert "c001" not in asked
    for user, answers in ((asked[0], {"back_for_kind_one", "size_of_month"}), ("c001", {"size_of_month"})):
        done = intently("recommend", bundle, *data, "--user", user, "--at", DAY, "--json", cache=shop / "c")
        assert done.returncode == 0, done.stderr[-2000:]
        assert set(json.loads(done.stdout)["answers"]) == answers

    done = intently("leakcheck", bundle, *data, "--json", cache=shop / "c")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["findings"] == []


@pytest.mark.slow
def test_where_nobody_is_asked_the_answer_is_an_empty_table(shop: Path, bundle: Path) -> None:
    out = shop / "nobody.parquet"
    first = f"{START:%Y-%m-%d}"
    for name in OWN_TABLES:
        words = ("--data", shop / "data", "--at", first, "--task", name, "--out", out)
        done = intently("predict", bundle, *words, cache=shop / "c")
        assert done.returncode == 0, done.stderr[-2000:]
        assert pl.read_parquet(out).is_empty()


def test_tasks_lists_own_questions_and_counts_their_examples(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "questions.toml"
    file.write_text(OWN_TOML, encoding="utf-8")
    done = intently("tasks", "--data", shop / "data", "--config", file, "--json", cache=shop / "c")
    assert done.returncode == 0, done.stderr[-2000:]
    told = {row["name"]: row for row in json.loads(done.stdout)["tasks"]}
    assert told["demand"]["from"] == "built in"
    mine = told["size_of_month"]
    assert (mine["from"], mine["horizon_days"], mine["examples"]) == ("own", 28.0, 120)
    assert sum(mine["truths"].values()) == 120
    assert 0 < told["back_for_kind_one"]["truths"]["yes"] < told["back_for_kind_one"]["examples"]
    plain = intently("tasks", cache=shop / "c")
    assert "purchase_intent" in plain.stdout
    assert "Will this customer buy" in plain.stdout


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("truth = \"bool_or(categry = 'tea')\"", "did you mean 'category'?"),
        ("truth = \"bool_or(category = 'tea'\"", "^^^^^"),
        ('truth = "count(*) > 1"\nhorizn = "2d"', "did you mean 'horizon'?"),
        ("truth = \"count(*) > 1\"\nasks = { event = 'view' }", "there is no column 'about'"),
    ],
)
def test_a_bad_question_is_refused_before_any_work(shop: Path, tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "questions.toml"
    file.write_text(
        f'[[tasks]]\nname = "tea"\nhorizon = "2w"\nanswer = "yes_no"\nwording.en = "Tea?"\n{line}\n', encoding="utf-8"
    )
    words = ("--data", shop / "data", "--until", DAY, "--tasks", "tea", "--config", file, "--out", tmp_path / "out")
    done = intently("train", *words, cache=shop / "c")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert says in done.stderr
    assert done.stderr.count("error:") == 1
    assert not (tmp_path / "out").exists()


def test_training_needs_an_end(shop: Path, tmp_path: Path) -> None:
    done = intently("train", "--data", shop / "data", "--out", tmp_path / "out", cache=shop / "c")
    assert done.returncode == 1
    assert "Give --until" in done.stderr
