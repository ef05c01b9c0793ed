"""One addition is one file and one name in a visible tuple; nothing is found by accident."""

import importlib
import subprocess
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

import intently
from intently import tasks
from intently.contract import Everyone, Past, Task, YesNo
from small_logs import day

SOURCE = Path(intently.__file__).parent


def modules(room: str) -> list[str]:
    return sorted(path.stem for path in (SOURCE / room).glob("*.py") if not path.stem.startswith("_"))


def test_every_task_file_is_listed():
    found = [importlib.import_module(f"intently.tasks.{name}").TASK for name in modules("tasks")]
    assert sorted(task.name for task in found) == sorted(task.name for task in tasks.EVERY)
    assert all(any(task is listed for listed in tasks.EVERY) for task in found)


def test_a_task_file_bears_the_name_of_its_task():
    for name in modules("tasks"):
        assert importlib.import_module(f"intently.tasks.{name}").TASK.name == name


def predictors(module: object) -> list[type]:
    """The classes that a module defines and that fit and predict."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
        and hasattr(value, "fit")
        and hasattr(value, "predict")
    ]


def test_every_baseline_is_listed():
    baselines = importlib.import_module("intently.baselines") if find_spec("intently.baselines") else None
    listed = getattr(baselines, "ALL", None)
    if listed is None:
        pytest.skip("intently.baselines has no tuple ALL yet")
    kinds = {entry if isinstance(entry, type) else type(entry) for entry in listed}
    for name in modules("baselines"):
        for kind in predictors(importlib.import_module(f"intently.baselines.{name}")):
            assert kind in kinds, f"{kind.__name__} of baselines/{name}.py is not in intently.baselines.ALL"


def test_every_method_file_is_listed_under_its_name():
    listed = {method.name: method for method in importlib.import_module("intently.learn.methods").METHODS}
    assert sorted(listed) == [name for name in modules("learn/methods") if name != "method"]
    for name, method in listed.items():
        assert importlib.import_module(f"intently.learn.methods.{name}").METHOD is method


def test_a_task_of_ones_own_runs_like_a_built_in_one(tiny_log):
    own = Task(
        name="comes_back_for_tea",
        asks=Everyone("user_id", among=(pl.col("title") == "green tea").any()),
        answer=YesNo(),
        horizon=timedelta(days=14),
        truth=(pl.col("title") == "green tea").any(),
        absent=False,
        wording={"en": "Will they look at green tea again?", "zh": "他们还会再看绿茶吗?"},
    )
    examples = own.examples(tiny_log, [day(8), day(15)])
    # bo has not met green tea by day 8, ann buys it on day 20, and nobody after that.
    assert examples.frame.select("user_id", "truth").rows() == [("ann", True), ("ann", True), ("bo", False)]
    assert Past(tiny_log, examples).lengths.tolist() == [3, 4, 3]


@pytest.mark.parametrize("module", ["intently", "intently.contract", "intently.tasks", "intently.cli"])
def test_an_import_loads_neither_torch_nor_transformers(module):
    if find_spec(module) is None:
        pytest.skip(f"{module} is not there yet")
    heavy = "('torch', 'transformers', 'peft', 'lightgbm', 'sklearn')"
    code = f"import {module}, sys; sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or None)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(SOURCE.parent)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
