"""Who answers a mailing (Complete Journey): mailings before 2017-10-30 teach, later ones judge.

    .venv/bin/python bench/ad_response.py [--dev] [--epochs N] [--method M] [--without READER ...]

4,021 mailings whose 28 days ended by then, 400 of them answered; 1,507 later ones, 185 answered. Opponents: the rate of
the campaign's kind, how often and how lately the customer answered and bought, LightGBM with the windowed features of
purchases, and with the answers to earlier mailings too. The text reader reads the mailing and the rates of the past as
words, the sequence reader all that was bought, moment by moment, and not the mailing. What an opponent knows of a
mailing's past is what was known before it was sent. Intervals resample households whole.

Choices were made with --dev, which writes nothing: mailings before 2017-06-26 teach (2,020, of which 183 were answered)
and those from then on whose 28 days ended by 2017-10-30 judge (1,825 and 203).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl

from intently.baselines.features import windowed
from intently.contract import Examples, Past, Scores, weekly
from intently.evaluate.compare import compare
from intently.learn.reader import SequenceReader
from intently.learn.recipe import Recipe
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import complete_journey, schema
from intently.log.log import Log
from intently.tasks.ad_response import TASK
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "ad_response.jsonl"
SPLIT, DEV = datetime(2017, 10, 30, tzinfo=UTC), datetime(2017, 6, 26, tzinfo=UTC)
TEXT, SEQUENCE = "text_reader", "sequence_reader"


def answered(log: Log, examples: Examples) -> np.ndarray:
    """Of each mailing's household: earlier mailings, how many answered by then, their share, days since an answer."""
    sent = log.events.filter(pl.col(schema.TYPE) == "impression").select(schema.USER, schema.EVENT, schema.TIME)
    clicks = log.events.filter(pl.col(schema.TYPE) == "click").select(
        schema.USER, pl.col(schema.ABOUT).alias(schema.EVENT), pl.col(schema.TIME).alias("clicked")
    )
    asked = examples.frame.select(schema.USER, "at").with_row_index("row")
    before = asked.join(sent, on=schema.USER).filter(pl.col(schema.TIME) < pl.col("at"))
    lately = asked.join(clicks, on=schema.USER).filter(pl.col("clicked") < pl.col("at"))
    counts = asked.join(before.group_by("row").len("sent"), on="row", how="left", maintain_order="left")
    found = lately.group_by("row").agg(
        pl.col(schema.EVENT).n_unique().alias("answered"),
        ((pl.col("at") - pl.col("clicked")).dt.total_hours().min() / 24).alias("days"),
    )
    table = counts.join(found, on="row", how="left", maintain_order="left").with_columns(
        pl.col("sent", "answered").fill_null(0)
    )
    share = (pl.col("answered") + 1) / (pl.col("sent") + 10)
    return table.select("sent", "answered", share.alias("share"), "days").cast(pl.Float64).to_numpy()


def campaign(examples: Examples) -> np.ndarray:
    """The kind of campaign, 0 to 2, and how many households have the same mailing."""
    kind = examples.frame[schema.TEXT].str.slice(5, 1).replace_strict({"a": 0, "b": 1, "c": 2}).to_numpy()
    size = examples.frame.select(pl.len().over(schema.TEXT))["len"].to_numpy()
    return np.column_stack([kind, np.log(size)])


def boosted(train: np.ndarray, truth: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Chances by LightGBM, the mean of five seeds."""
    settings = {"objective": "binary", "learning_rate": 0.03, "num_leaves": 15, "min_data_in_leaf": 40, "verbose": -1}
    more = {"feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "num_threads": 1}
    return np.mean(
        [
            lightgbm.train(settings | more | {"seed": seed}, lightgbm.Dataset(train, truth), 150).predict(test)
            for seed in range(5)
        ],
        axis=0,
    )


def chances(values: np.ndarray) -> Scores:
    """Probabilities (n,) as scores."""
    return Scores(TASK.answer, np.asarray(values, dtype=np.float32).reshape(-1, 1))


def opponents(train: Examples, past: Past, test: Examples, later: Past, logs: tuple[Log, Log]) -> dict[str, Scores]:
    """What counts and trees make of it."""
    truth = train.truth.to_numpy().astype(float)
    bought, then = windowed(past)[0], windowed(later)[0]
    kinds, kinds_then = campaign(train), campaign(test)
    history, history_then = answered(logs[0], train), answered(logs[1], test)
    rate = np.array([(truth[kinds[:, 0] == kind].sum() + 1) / ((kinds[:, 0] == kind).sum() + 10) for kind in range(3)])
    lately = np.exp(-np.nan_to_num(history_then[:, 3], nan=365.0) / 90)
    return {
        "constant": chances(np.full(len(test), truth.mean())),
        "campaign_rate": chances(rate[kinds_then[:, 0].astype(int)]),
        "recency_frequency": chances((history_then[:, 2] + 0.2 * lately) / 1.2),
        "lightgbm_without_history": chances(boosted(np.hstack([bought, kinds]), truth, np.hstack([then, kinds_then]))),
        "lightgbm": chances(
            boosted(np.hstack([bought, kinds, history]), truth, np.hstack([then, kinds_then, history_then]))
        ),
    }


def read_as_words(train: Examples, past: Past, test: Examples, later: Past, method: str, epochs: int) -> Scores:
    """The text reader: what was done in all, in the last month and when last, and the mailing."""
    recipe = TextRecipe(epochs=epochs, max_tokens=160)
    reader = TextReader(method=method, recipe=recipe, teller=Teller(last=0, rates=True))
    return reader.fit(train, past).predict(test.hide(), later)


def read_in_order(train: Examples, past: Past, test: Examples, later: Past, epochs: int) -> Scores:
    """The sequence reader, on the one task."""
    recipe = Recipe(pretrain_epochs=1, epochs=epochs, threads=1)
    return SequenceReader((TASK,), recipe).fit({TASK.name: (train, past)}).predict(test.hide(), later)


def main(chosen: argparse.Namespace) -> None:
    """Fit everybody on the earlier mailings, judge on the later ones."""
    whole = complete_journey.read(mailings=True)
    log, split = (whole.before(SPLIT), DEV) if chosen.dev else (whole, SPLIT)
    known = log.before(split)
    train = TASK.examples(known, weekly(log.observed_from, log.observed_until))
    test = TASK.examples(log, weekly(split, split + timedelta(weeks=18 if chosen.dev else 9)))
    past, later = Past(known, train), Past(log, test.hide())
    predictions = opponents(train, past, test, later, (known, log))
    readers = {
        TEXT: lambda: read_as_words(train, past, test, later, chosen.method, chosen.epochs),
        SEQUENCE: lambda: read_in_order(train, past, test, later, chosen.epochs),
    }
    seconds = {}
    for name in readers.keys() - set(chosen.without):
        begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        predictions[name] = readers[name]()
        seconds[name] = round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin)
        print(name, seconds[name], flush=True)
        mixed = (predictions["lightgbm"].values[:, 0] + predictions[name].values[:, 0]) / 2
        predictions[f"lightgbm_and_{name}"] = chances(mixed)
    report = compare(TASK, test, predictions, replicates=500, rng=np.random.default_rng(0))
    shown = report.frame.filter(pl.col("slice") == "all", pl.col("metric").is_in(["auroc", "log_loss", "auprc"]))
    print(shown.filter(pl.col("metric") == "auroc"))
    if chosen.dev:
        return
    apart = report.differences.filter(pl.col("metric") == "auroc", pl.col("slice") == "all")
    told = {
        "command": "python " + " ".join(["bench/ad_response.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "train": [len(train), int(train.truth.sum())],
        "test": [len(test), int(test.truth.sum())],
        "cpu_seconds": seconds,
        "scores": shown.select("predictor", "metric", "value", "low", "high").to_dicts(),
        "differences": apart.select("a", "b", "value", "low", "high").to_dicts(),
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--dev", action="store_true")
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--method", default="frozen")
    options.add_argument("--without", nargs="*", default=[], choices=[TEXT, SEQUENCE])
    main(options.parse_args())
