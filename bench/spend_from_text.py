"""What customers write says what they can spend: purchasing power from words alone, and beside the purchases.

    .venv/bin/python bench/spend_from_text.py [customers] [--wording W] [--dev]

On a toy shop (synthetic: no real log with both texts and amounts is at hand) in which, with a W above 0, who has a
taste for the dear asks for "best" and gifts, and who has not for "cheap". `words` is a text reader, made here from
nothing, that is told only what a customer wrote: searches, reviews and messages, newest first, without items, amounts
or purchases. `how_often` is LightGBM on the same events without their words. `purchases` is LightGBM on the purchases
alone, `purchases_and_words` its blend with `words` by a weight chosen on the last three cut-offs that teach, and
`purchases_and_how_often` the same with `how_often`: what the words bring is the difference of the two. Five weekly
cut-offs judge; intervals resample customers whole. Settings were tried on another shop (--dev: generator seed 2, which
writes nothing); figures, of seed 1, are added to bench/results/spend_from_text.jsonl.
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
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.baselines.constant import Constant
from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.contract import Examples, Past, Predictor, Scores
from intently.evaluate.compare import compare
from intently.learn.blend import WEIGHTS, mixed
from intently.learn.pretrain import Pretraining, pretrain
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import schema, toy_shop
from intently.log.log import Log
from intently.log.toy_process import Constants
from intently.tasks.purchasing_power import TASK
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "spend_from_text.jsonl"
METRICS = ("spearman", "norm_gini", "mae", "pinball")
WEEK = timedelta(days=7)
# Windows of four weeks: the last that teach end where the first that judge begin.
JUDGED_FROM = toy_shop.START + 31 * WEEK
TAUGHT = [JUDGED_FROM - back * WEEK for back in range(4, 24, 2)]
JUDGED = [JUDGED_FROM + week * WEEK for week in range(5)]
CHOSEN_ON = TAUGHT[:3]
TELLER = Teller(last=12, sums=True)


def words(folder: Path, examples: Examples, past: Past) -> TextReader:
    """A text reader whose model is made of the stories that it is taught by."""
    stories = TELLER.tell(examples, past)
    plan = Pretraining(epochs=1, width=64, layers=2, attention_heads=2, words=1_500, counted=True, max_tokens=128)
    pretrain([one.past for one in stories], folder, plan)
    recipe = TextRecipe(
        epochs=5,
        fewest_steps=0,
        max_tokens=128,
        learning_rate=3e-3,
        head_learning_rate=1e-2,
        batch_size=32,
        held_out=0.0,
    )
    return TextReader(model=str(folder), method="full", recipe=recipe, teller=TELLER)


def chosen_weight(first: Scores, second: Scores, examples: Examples) -> float:
    """The share of the second of two answers by which both together rank best, none among them."""
    answers = {str(weight): mixed(first, second, weight) for weight in (0.0, *WEIGHTS)}
    return float(compare(TASK, examples, answers, replicates=10, rng=np.random.default_rng(0)).best(TASK.name))


def answered(fitted: Predictor, log: Log, examples: Examples) -> Scores:
    """What a fitted predictor says of what a log shows."""
    hidden = examples.hide()
    return fitted.predict(hidden, Past(log, hidden))


def main(customers: int, wording: float, dev: bool) -> None:
    """Fit everybody on the cut-offs that teach, judge on the later ones."""
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    whole = toy_shop.read(customers, 280, 2 if dev else 1, Constants(wording=wording))
    events = whole.events
    nothing_else = (pl.lit(None, dtype=events.schema[name]).alias(name) for name in (schema.ITEM, schema.AMOUNT))
    logs = {
        "words": replace(whole, events=events.filter(pl.col(schema.TEXT).is_not_null()).with_columns(nothing_else)),
        "purchases": replace(whole, events=events.filter(pl.col(schema.TYPE) == schema.BUY)),
    }
    logs["how_often"] = logs["words"]
    taught, judged = TASK.examples(whole.before(JUDGED_FROM), TAUGHT), TASK.examples(whole, JUDGED)
    earlier = taught.where(pl.col("at") <= CHOSEN_ON[-1] - timedelta(days=28))
    later = taught.where(pl.col("at").is_in(CHOSEN_ON))
    told: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:

        def fitted(name: str, examples: Examples) -> Predictor:
            past = Past(logs[name], examples)
            if name == "words":
                made: Predictor = words(Path(folder) / str(len(examples)), examples, past)
            else:
                made = LightGBMCustomer(threads=1)
            found = made.fit(examples, past)
            print(name, len(examples), round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin), flush=True)
            return found

        first = {name: answered(fitted(name, earlier), log, later) for name, log in logs.items()}
        for name in ("words", "how_often"):
            told[name] = chosen_weight(first["purchases"], first[name], later)
        answers = {name: answered(fitted(name, taught), log, judged) for name, log in logs.items()}
    for name, weight in told.items():
        answers[f"purchases_and_{name}"] = mixed(answers["purchases"], answers[name], weight)
    answers["constant"] = answered(Constant().fit(taught, Past(whole, taught)), whole, judged)
    report = compare(TASK, judged, answers, names=METRICS, replicates=500, rng=np.random.default_rng(0))

    def numbers(interval) -> list[float]:
        return [round(value, 4) for value in (interval.value, interval.low, interval.high)]

    pairs = [
        ("words", "constant"),
        ("words", "how_often"),
        ("purchases_and_words", "purchases"),
        ("purchases_and_words", "purchases_and_how_often"),
    ]
    result = {
        "note": toy_shop.NOTE,
        "command": "python " + " ".join(["bench/spend_from_text.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "customers": customers,
        "wording": wording,
        "examples": {"taught": len(taught), "judged": len(judged)},
        "weight": told,
        "scores": {name: {m: numbers(report.score(name, TASK.name, m)) for m in METRICS} for name in answers},
        "differences": {
            f"{a} over {b}": {m: numbers(report.difference(a, b, TASK.name, m)) for m in METRICS} for a, b in pairs
        },
        "cpu_seconds": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin),
    }
    if not dev:
        with RESULTS.open("a") as file:
            file.write(json.dumps(result) + "\n")
    print(json.dumps({name: result[name] for name in ("weight", "scores", "differences", "cpu_seconds")}))


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("customers", type=int, nargs="?", default=300)
    options.add_argument("--wording", type=float, default=2.0)
    options.add_argument("--dev", action="store_true")
    chosen = options.parse_args()
    main(chosen.customers, chosen.wording, chosen.dev)
