"""62,774 Chinese shopping reviews, good or bad: a model pre-trained here on the training reviews alone.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/chinese_reviews.py fast|whole [--dev] [--seeds 0 1 2]

The reviews are de-duplicated and split 80/20 by lot, once. The model is pre-trained once, on the training reviews, and
fine-tuned by each seed. The opponent is a logistic regression on TF-IDF of one to three characters. `blend` is the
reader with `baselines.n_grams`, as `intently train` blends them; the weight of `fast` was chosen with --dev, that of
`whole` is chosen in the same run, by one more fine-tuning that leaves a fifth of the training reviews out.
Figures are appended to bench/results/chinese_reviews.jsonl. Choices are made with --dev, which judges on a fifth of the
training reviews instead, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from labelled_texts import asked, nothing, question

from intently.baselines.n_grams import NGrams
from intently.contract import Past, Scores
from intently.learn.blend import WEIGHTS, mixed
from intently.learn.pretrain import Pretraining, pretrain
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "chinese_reviews.jsonl"
LABELS = ("0", "1")
# The reader's weight in the blend; None where the run chooses it.
READER_WEIGHT: dict[str, float | None] = {"fast": 0.2, "whole": None}
# (pre-training, fine-tuning) by preset.
PLANS = {
    "fast": (
        Pretraining(epochs=1, width=128, layers=2, attention_heads=2, counted=True, max_tokens=64),
        TextRecipe(epochs=1, fewest_steps=0, learning_rate=5e-4, max_tokens=64, held_out=0.0, batch_size=64),
    ),
    "whole": (
        Pretraining(epochs=3, width=256, layers=3, counted=True, max_tokens=96),
        TextRecipe(epochs=2, fewest_steps=0, learning_rate=3e-4, max_tokens=96, held_out=0.0, batch_size=64),
    ),
}


def opponent(train: pl.DataFrame, test: pl.DataFrame) -> float:
    """Accuracy of TF-IDF of characters with a logistic regression."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=10, max_iter=300).fit(words.fit_transform(train["review"]), train["label"])
    return float((model.predict(words.transform(test["review"])) == test["label"].to_numpy()).mean())


def cpu() -> float:
    """Seconds of the processor so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(chosen: argparse.Namespace) -> None:
    """Pre-train once, fine-tune by each seed, judge."""
    data = os.environ.get("INTENTLY_DATA")
    if data is None:
        sys.exit("skipped: INTENTLY_DATA does not name the folder with online_shopping_10_cats.parquet")
    begin, began = time.perf_counter(), cpu()
    reviews = pl.read_parquet(Path(data) / "online_shopping_10_cats.parquet").drop_nulls("review")
    reviews = reviews.unique("review", keep="first", maintain_order=True).with_row_index("row")
    test = reviews.sample(fraction=0.2, shuffle=True, seed=0)
    train = reviews.join(test.select("row"), on="row", how="anti")
    if chosen.dev:
        test = train.sample(fraction=0.2, shuffle=True, seed=1)
        train = train.join(test.select("row"), on="row", how="anti")
    plan, recipe = PLANS[chosen.preset]
    task = question(LABELS)
    rows = []
    goal = test["label"].to_numpy()

    def right(scores: Scores) -> float:
        return float((scores.values.argmax(1) == goal).mean())

    def learned(made: NGrams | TextReader, some: pl.DataFrame, later: pl.DataFrame) -> tuple[Scores, Any]:
        examples, judged = asked(task, some["review"], some["label"].cast(pl.String)), asked(task, later["review"])
        fitted = made.fit(examples, Past(nothing(), examples))
        return fitted.predict(judged, Past(nothing(), judged)), fitted

    def reader(folder: str, seed: int) -> TextReader:
        tuned = TextRecipe(**(asdict(recipe) | {"seed": seed}))
        return TextReader(model=f"{folder}/model", method="full", recipe=tuned, teller=Teller("zh", last=0))

    counted, _ = learned(NGrams(), train, test)
    with tempfile.TemporaryDirectory() as folder:
        losses = pretrain(train["review"].to_list(), Path(folder) / "model", plan)
        pretrained = cpu() - began
        print("pre-trained", losses, round(pretrained), flush=True)
        weight = READER_WEIGHT[chosen.preset]
        if weight is None:
            later = train.sample(fraction=0.2, shuffle=True, seed=2)
            some, wanted = train.join(later.select("row"), on="row", how="anti"), later["label"].to_numpy()
            parts = [learned(made, some, later)[0] for made in (NGrams(), reader(folder, 0))]
            tried = {one: float((mixed(*parts, one).values.argmax(1) == wanted).mean()) for one in WEIGHTS}
            weight = max(tried, key=tried.__getitem__)
            print("weights", tried, flush=True)
        for seed in chosen.seeds:
            given, fitted = learned(reader(folder, seed), train, test)
            both = mixed(counted, given, weight)
            if chosen.dev:
                print({one: right(mixed(counted, given, one)) for one in WEIGHTS}, flush=True)
            answers = {"reader": given, "blend": both}
            table = test.select(
                "cat", *(pl.Series(name, one.values.argmax(1) == goal) for name, one in answers.items())
            )
            table = table.group_by("cat").agg(pl.col(*answers).mean(), pl.len()).sort("cat")
            rows.append({"seed": seed, "accuracy": right(given), "blend": right(both), "by_category": table.to_dicts()})
            print(rows[-1]["accuracy"], rows[-1]["blend"], fitted.losses, flush=True)
    ours = cpu() - began
    told = {
        "command": "python " + " ".join(["bench/chinese_reviews.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "preset": chosen.preset,
        "accuracy": float(np.mean([row["accuracy"] for row in rows])),
        "reader_weight": weight,
        "blend": float(np.mean([row["blend"] for row in rows])),
        "n_grams": right(counted),
        "opponent": opponent(train, test),
        "reviews": {"train": len(train), "test": len(test)},
        "cpu_seconds": {"pre-training": round(pretrained), "all": round(ours)},
        "wall_seconds": round(time.perf_counter() - begin),
        "pretraining": asdict(plan),
        "recipe": asdict(recipe),
        "seeds": rows,
    }
    if not chosen.dev:
        with RESULTS.open("a") as file:
            file.write(json.dumps(told, ensure_ascii=False) + "\n")
    print(
        json.dumps(
            {key: told[key] for key in ("accuracy", "blend", "n_grams", "opponent", "cpu_seconds", "wall_seconds")}
        )
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("preset", choices=PLANS)
    options.add_argument("--dev", action="store_true")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    main(options.parse_args())
