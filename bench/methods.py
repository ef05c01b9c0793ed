"""Every way of fine-tuning on one task: what it trains, what it costs, what it saves, and how well it answers.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/methods.py [METHOD ...]

banking77, ten texts of each of 77 intents, the same by every method; 770 texts of the test split judge. Every method
reads the texts three times; frozen, which is where all begin, trains its head to the optimum. Rows are appended to
bench/results/methods.jsonl, and printed as a table without methods.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from labelled_texts import asked, nothing, question

from intently.contract import Past
from intently.learn.methods import METHODS
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "methods.jsonl"
RECIPE = TextRecipe(epochs=3, fewest_steps=0, max_tokens=32, held_out=0.0, head_learning_rate=5e-3)


def run(method: str, data: Path) -> dict[str, object]:
    """One method, in a process of its own where its memory is to be known."""
    train, test = (pl.read_csv(data / f"banking77_{part}.csv") for part in ("train", "test"))
    some = train.sample(fraction=1.0, shuffle=True, seed=0).group_by("category", maintain_order=True).head(10)
    judge = test.sample(n=770, shuffle=True, seed=0)
    labels = tuple(sorted(train["category"].unique()))
    task = question(labels)
    examples, later = asked(task, some["text"], some["category"]), asked(task, judge["text"])
    begin = resource.getrusage(resource.RUSAGE_SELF)
    fitted = TextReader(method=method, recipe=RECIPE, teller=Teller(last=0)).fit(examples, Past(nothing(), examples))
    end = resource.getrusage(resource.RUSAGE_SELF)
    given = np.array(labels)[fitted.predict(later, Past(nothing(), later)).values.argmax(1)]
    with tempfile.TemporaryDirectory() as folder:
        fitted.save(Path(folder))
        size = (Path(folder) / "weights.safetensors").stat().st_size
    trained = sum(weight.numel() for weight in fitted.network.language_model.parameters() if weight.requires_grad)
    return {
        "method": method,
        "trained_parameters": trained,
        "cpu_seconds": round(end.ru_utime - begin.ru_utime),
        "peak_megabytes": round(end.ru_maxrss / 1024),
        "saved_megabytes": round(size / 1e6, 2),
        "loss": fitted.losses[-1],
        "accuracy": float((given == judge["category"].to_numpy()).mean()),
    }


def main(methods: list[str]) -> None:
    """Run some methods, or show what has been run."""
    data = os.environ.get("INTENTLY_DATA")
    if data is None:
        sys.exit("skipped: INTENTLY_DATA does not name the folder with banking77_train.csv")
    for method in methods:
        row = run(method, Path(data)) | {
            "command": f"python bench/methods.py {method}",
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        }
        print(row, flush=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
    if not methods:
        rows = pl.read_ndjson(RESULTS).drop("command", "date", "machine")
        known = {method.name: place for place, method in enumerate(METHODS)}
        with pl.Config(tbl_rows=20, tbl_cols=10):
            print(rows.sort(pl.col("method").replace_strict(known)))


if __name__ == "__main__":
    main(sys.argv[1:])
