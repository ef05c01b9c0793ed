"""What customers ask a bank, 77 intents (banking77, official split): full data, few labels, and what is out of scope.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/banking77.py full together frozen shots scope [--draws 5]

`full` trains all weights with a head; `together` draws texts of an intent together and then trains the head alone.
Each part is appended to bench/results/banking77.jsonl. No setting was chosen on the test split: `--dev` judges on a
fifth of the training split instead, and writes nothing. The opponent is the packaged model left as it is with a
logistic regression.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
from labelled_texts import asked, nothing, question

from intently.contract import Past
from intently.learn.few_shot import Contrast
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.metrics.yes_no import auroc
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "banking77.jsonl"
WORDS = Teller(last=0)
FULL = {"epochs": 5, "learning_rate": 1e-4}
# With all labels at hand, a few rounds do.
FULL_CONTRAST = {"rounds": 3, "name_labels": False}
HELD_OUT_INTENTS = 15


def reader(method: str, contrast: Contrast | None = None, seed: int = 0, **recipe: object) -> TextReader:
    """A text reader of messages alone."""
    settings = {"max_tokens": 64, "held_out": 0.0, "seed": seed} | recipe
    return TextReader(method=method, recipe=TextRecipe(**settings), teller=WORDS, contrast=contrast)


def accuracy(made: TextReader, train: pl.DataFrame, test: pl.DataFrame) -> tuple[float, float]:
    """Accuracy on test texts, and the processor's seconds."""
    labels = tuple(sorted(train["category"].unique()))
    task = question(labels)
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    examples = asked(task, train["text"], train["category"])
    fitted = made.fit(examples, Past(nothing(), examples))
    judged = asked(task, test["text"], test["category"])
    scores = fitted.predict(judged.hide(), Past(nothing(), judged))
    right = float((np.array(labels)[scores.values.argmax(1)] == judged.truth.to_numpy()).mean())
    return right, resource.getrusage(resource.RUSAGE_SELF).ru_utime - start


def shots(train: pl.DataFrame, count: int, draw: int) -> pl.DataFrame:
    """So many texts of each label, by lot."""
    shuffled = train.sample(fraction=1.0, shuffle=True, seed=draw)
    return shuffled.group_by("category", maintain_order=True).head(count)


def few(train: pl.DataFrame, test: pl.DataFrame, count: int, draws: int, plan: Contrast) -> dict[str, object]:
    """Accuracy from so many labels each, drawn together first and left as they are."""
    rows: dict[str, list[float]] = {"contrast": [], "frozen": [], "cpu_seconds": []}
    for draw in range(draws):
        some = shots(train, count, draw)
        right, seconds = accuracy(reader("full", plan, seed=draw), some, test)
        rows["contrast"].append(right)
        rows["cpu_seconds"].append(round(seconds))
        rows["frozen"].append(accuracy(reader("frozen"), some, test)[0])
        print(count, draw, rows, flush=True)
    return rows | {
        name: {"mean": float(np.mean(rows[name])), "draws": [round(value, 4) for value in rows[name]]}
        for name in ("contrast", "frozen")
    }


def scope(train: pl.DataFrame, test: pl.DataFrame, made: TextReader, seed: int = 0) -> dict[str, object]:
    """How well the likeliest label's chance tells messages of known intents from those of intents never seen."""
    labels = sorted(train["category"].unique())
    unseen = np.random.default_rng(seed).choice(labels, HELD_OUT_INTENTS, replace=False).tolist()
    known = train.filter(~pl.col("category").is_in(unseen))
    task = question(tuple(sorted(known["category"].unique())))
    examples = asked(task, known["text"], known["category"])
    fitted = made.fit(examples, Past(nothing(), examples))
    judged = asked(task, test["text"])
    scores = fitted.predict(judged, Past(nothing(), judged))
    inside = ~test["category"].is_in(unseen).to_numpy()
    return {
        "auroc": auroc(inside, scores.values.max(axis=1)),
        "intents_out_of_scope": HELD_OUT_INTENTS,
        "accuracy_in_scope": float(
            (np.array(task.answer.labels)[scores.values.argmax(1)] == test["category"].to_numpy())[inside].mean()
        ),
    }


def main() -> None:
    """Run the parts that are asked for."""
    options = argparse.ArgumentParser()
    options.add_argument("parts", nargs="+", choices=["full", "together", "frozen", "shots", "scope"])
    options.add_argument("--dev", action="store_true")
    options.add_argument("--draws", type=int, default=5)
    options.add_argument("--shots", type=int, nargs="+", default=[10, 5])
    options.add_argument("--full", type=json.loads, default={})
    options.add_argument("--contrast", type=json.loads, default={})
    chosen = options.parse_args()
    data = os.environ.get("INTENTLY_DATA")
    if data is None:
        sys.exit("skipped: INTENTLY_DATA does not name the folder with banking77_train.csv")
    train, test = (pl.read_csv(Path(data) / f"banking77_{part}.csv") for part in ("train", "test"))
    if chosen.dev:
        mixed = train.sample(fraction=1.0, shuffle=True, seed=99)
        test, train = mixed.head(len(mixed) // 5), mixed.tail(-(len(mixed) // 5))
    plan = Contrast(**chosen.contrast)
    for part in chosen.parts:
        made: dict[str, object] = {}
        match part:
            case "full":
                right, seconds = accuracy(reader("full", **(FULL | chosen.full)), train, test)
                made = {"accuracy": right, "cpu_seconds": round(seconds), "recipe": FULL | chosen.full}
            case "together":
                right, seconds = accuracy(reader("full", Contrast(**(FULL_CONTRAST | chosen.full))), train, test)
                made = {"accuracy": right, "cpu_seconds": round(seconds), "contrast": FULL_CONTRAST | chosen.full}
            case "frozen":
                right, seconds = accuracy(reader("frozen"), train, test)
                made = {"accuracy": right, "cpu_seconds": round(seconds)}
            case "shots":
                made = {f"{count}_shot": few(train, test, count, chosen.draws, plan) for count in chosen.shots}
                made |= {"contrast": asdict(plan)}
            case "scope":
                made = scope(train, test, reader("frozen"))
        row = {
            "command": "python " + " ".join(["bench/banking77.py", *sys.argv[1:]]),
            "date": time.strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "part": part,
        } | made
        print(json.dumps(row), flush=True)
        if not chosen.dev:
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
