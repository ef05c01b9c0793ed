"""What customers ask a bank, 77 intents (banking77, official split): full data, few labels, and what is out of scope.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/banking77.py full together frozen shots scope [--draws 5]

`full` trains all weights with a head; `together` draws texts of an intent together and then trains the head alone.
`blend` is the reader with `baselines.n_grams`, as `intently train` blends them, by a weight chosen with --dev.
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
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from labelled_texts import asked, nothing, question

from intently.baselines.n_grams import NGrams
from intently.contract import Past, Scores
from intently.learn.batches import Truths
from intently.learn.blend import mixed
from intently.learn.few_shot import Contrast, label_words
from intently.learn.heads import OneOfHead
from intently.learn.text_finetune import TextRecipe, fit_head
from intently.learn.text_network import TextNetwork
from intently.learn.text_reader import TextReader
from intently.metrics.yes_no import auroc
from intently.text.language_model import embed
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "banking77.jsonl"
WORDS = Teller(last=0)
FULL = {"epochs": 5, "learning_rate": 1e-4}
# With all labels at hand, a few rounds do.
FULL_CONTRAST = {"rounds": 3}
HELD_OUT_INTENTS = 15
# Of .2, .4 and .6, with --dev and the model left as it is: .9235, .933, .9365 (n_grams alone .9045, the model .9285).
READER_WEIGHT = 0.6
# With few labels, of .6, .8 and .9, with --dev, three draws: .8577, .8603, .8565 from ten texts of each label (the
# reader alone .8572), .8088, .8247, .8227 from five (.8235).
FEW_WEIGHT = 0.8


def reader(method: str, contrast: Contrast | None = None, seed: int = 0, **recipe: object) -> TextReader:
    """A text reader of messages alone."""
    settings = {"max_tokens": 64, "held_out": 0.0, "seed": seed} | recipe
    return TextReader(method=method, recipe=TextRecipe(**settings), teller=WORDS, contrast=contrast)


def judge(
    made: TextReader, train: pl.DataFrame, test: pl.DataFrame, weight: float = READER_WEIGHT
) -> dict[str, object]:
    """Accuracy on test texts, the reader's own and blended with n-grams, and the processor's seconds of both."""
    labels = tuple(sorted(train["category"].unique()))
    task = question(labels)
    examples, judged = asked(task, train["text"], train["category"]), asked(task, test["text"])
    past = Past(nothing(), judged)

    def right(scores: Scores) -> float:
        return float((np.array(labels)[scores.values.argmax(1)] == test["category"].to_numpy()).mean())

    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    scores = made.fit(examples, Past(nothing(), examples)).predict(judged, past)
    counted = NGrams().fit(examples, Past(nothing(), examples)).predict(judged, past)
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - start
    return {
        "accuracy": right(scores),
        "n_grams": right(counted),
        "blend": right(mixed(counted, scores, weight)),
        "cpu_seconds": round(seconds),
    }


def shots(train: pl.DataFrame, count: int, draw: int) -> pl.DataFrame:
    """So many texts of each label, by lot."""
    shuffled = train.sample(fraction=1.0, shuffle=True, seed=draw)
    return shuffled.group_by("category", maintain_order=True).head(count)


def frozen(train: pl.DataFrame, test: pl.DataFrame, *, named: bool) -> float:
    """Accuracy of a logistic regression on the packaged model's vectors, with the labels' words as texts or not."""
    labels = sorted(train["category"].unique())
    texts, truth = train["text"].to_list(), [labels.index(one) for one in train["category"]]
    if named:
        texts, truth = [*texts, *map(label_words, labels)], [*truth, *range(len(labels))]
    values = np.array(truth, dtype=np.float32)
    known, asked_of = (torch.from_numpy(embed(some)) for some in (texts, test["text"].to_list()))
    torch.manual_seed(0)
    head = OneOfHead(known.shape[1], Truths(question(tuple(labels)), np.zeros(0, dtype=np.int64), values), len(labels))
    scale = known.shape[1] ** 0.5
    fit_head(TextNetwork(torch.nn.Identity(), head), known * scale, values, TextRecipe())
    with torch.no_grad():
        given = head.answer(asked_of * scale).numpy().argmax(1)
    return float((np.array(labels)[given] == test["category"].to_numpy()).mean())


def few(train: pl.DataFrame, test: pl.DataFrame, count: int, draw: int, plan: Contrast) -> dict[str, object]:
    """Accuracy from so many labels each: left as they are, with the labels' words, and drawn together as well."""
    some = shots(train, count, draw)
    found: dict[str, object] = {
        "shots": count,
        "draw": draw,
        "frozen": frozen(some, test, named=False),
        "names": frozen(some, test, named=True),
    }
    if plan.rounds:
        told = judge(replace(reader("full", plan, seed=draw), name_labels=True), some, test, FEW_WEIGHT)
        found |= {"contrast_and_names": told.pop("accuracy"), **told, "contrast": asdict(plan)}
    return found


def means() -> pl.DataFrame:
    """The mean accuracy over draws, each as it was measured last, by the number of labels each."""
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    found = pl.DataFrame([row for row in rows if row["part"] == "shots"], infer_schema_length=None)
    found = found.unique(["shots", "draw"], keep="last", maintain_order=True)
    columns = pl.col("frozen", "names", "contrast_and_names", "blend")
    return found.group_by("shots").agg(pl.len(), columns.mean()).sort("shots")


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
    about = {
        "command": "python " + " ".join(["bench/banking77.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    for part in chosen.parts:
        for made in parts(part, train, test, chosen, plan):
            row = about | {"part": part} | made
            print(json.dumps(row), flush=True)
            if not chosen.dev:
                with RESULTS.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    if "shots" in chosen.parts and not chosen.dev:
        print(means())


def parts(
    part: str, train: pl.DataFrame, test: pl.DataFrame, chosen: argparse.Namespace, plan: Contrast
) -> Iterator[dict[str, object]]:
    """The rows of one part of the bench."""
    match part:
        case "full":
            yield judge(reader("full", **(FULL | chosen.full)), train, test) | {"recipe": FULL | chosen.full}
        case "together":
            drawn = Contrast(**(FULL_CONTRAST | chosen.full))
            yield judge(reader("full", drawn), train, test) | {"contrast": asdict(drawn)}
        case "frozen":
            yield judge(reader("frozen"), train, test) | {"accuracy_names": frozen(train, test, named=True)}
        case "shots":
            for draw in range(chosen.draws):
                for count in chosen.shots:
                    yield few(train, test, count, draw, plan)
        case "scope":
            yield scope(train, test, reader("frozen"))


if __name__ == "__main__":
    main()
