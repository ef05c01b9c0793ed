"""Who answers a mailing (Complete Journey): mailings before 2017-10-30 teach, later ones judge.

    .venv/bin/python bench/ad_response.py [epochs]

4,021 mailings whose 28 days ended by then, 400 of them answered; 1,507 later ones, 185 answered. Opponents: the rate of
the campaign's kind, how often and how lately the customer answered and bought, LightGBM with the windowed features of
purchases, and with the answers to earlier mailings too. The text reader reads the mailing and the past as words. What
an opponent knows of a mailing's past is what was known before it was sent. Intervals resample households whole.
"""

from __future__ import annotations

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
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import complete_journey, schema
from intently.log.log import Log
from intently.tasks.ad_response import TASK
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "ad_response.jsonl"
SPLIT = datetime(2017, 10, 30, tzinfo=UTC)


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


def main(epochs: int) -> None:
    """Fit everybody on the earlier mailings, judge on the later ones."""
    log = complete_journey.read(mailings=True)
    known = log.before(SPLIT)
    train = TASK.examples(known, weekly(log.observed_from, log.observed_until))
    test = TASK.examples(log, weekly(SPLIT, SPLIT + timedelta(weeks=9)))
    truth = train.truth.to_numpy().astype(float)
    past, later = Past(known, train), Past(log, test.hide())
    bought, then = windowed(past)[0], windowed(later)[0]
    kinds, kinds_then = campaign(train), campaign(test)
    history, history_then = answered(known, train), answered(log, test)
    rate = np.array([(truth[kinds[:, 0] == kind].sum() + 1) / ((kinds[:, 0] == kind).sum() + 10) for kind in range(3)])
    lately = np.exp(-np.nan_to_num(history_then[:, 3], nan=365.0) / 90)
    predictions = {
        "constant": chances(np.full(len(test), truth.mean())),
        "campaign_rate": chances(rate[kinds_then[:, 0].astype(int)]),
        "recency_frequency": chances((history_then[:, 2] + 0.2 * lately) / 1.2),
        "lightgbm_without_history": chances(boosted(np.hstack([bought, kinds]), truth, np.hstack([then, kinds_then]))),
        "lightgbm": chances(
            boosted(np.hstack([bought, kinds, history]), truth, np.hstack([then, kinds_then, history_then]))
        ),
    }
    seconds = {}
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    recipe = TextRecipe(epochs=epochs, max_tokens=80)
    fitted = TextReader(method="full", recipe=recipe, teller=Teller(last=24)).fit(train, past)
    predictions["text_reader"] = fitted.predict(test.hide(), later)
    seconds["text_reader"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin)
    print(fitted.losses, seconds, flush=True)
    text = predictions["text_reader"].values[:, 0]
    for weight in (0.25, 0.5):
        mixed = (1 - weight) * predictions["lightgbm"].values[:, 0] + weight * text
        predictions[f"lightgbm_and_text_{weight}"] = chances(mixed)
    report = compare(TASK, test, predictions, replicates=500, rng=np.random.default_rng(0))
    shown = report.frame.filter(pl.col("slice") == "all", pl.col("metric").is_in(["auroc", "log_loss", "auprc"]))
    apart = report.differences.filter(pl.col("metric") == "auroc", pl.col("slice") == "all")
    told = {
        "command": "python " + " ".join(["bench/ad_response.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "train": [len(train), int(truth.sum())],
        "test": [len(test), int(test.truth.sum())],
        "cpu_seconds": seconds,
        "scores": shown.select("predictor", "metric", "value", "low", "high").to_dicts(),
        "differences": apart.select("a", "b", "value", "low", "high").to_dicts(),
    }
    with RESULTS.open("a") as file:
        file.write(json.dumps(told) + "\n")
    print(shown.filter(pl.col("metric") == "auroc"))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
