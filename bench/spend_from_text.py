"""What customers write says what they can spend: purchasing power from words alone, and beside the purchases.

    .venv/bin/python bench/spend_from_text.py [customers] [--wording W] [--rare] [--dev [SEED]] [--shuffled]

On a toy shop (synthetic: no real log with both texts and amounts is at hand) in which, with a W above 0, who has a
taste for the dear asks for "best" and gifts, and who has not for "cheap". `words` is a text reader, made here from
nothing, that is told only what a customer wrote, and how often: searches, reviews and messages, newest first, without
items, amounts or purchases. `how_often` is LightGBM on the same events without their words, `words_and_how_often` the
same with the reader's answers as further columns. `purchases` is LightGBM on the purchases alone; with further columns,
on the same rows and by the same settings, it is `purchases_and_words`, `purchases_and_how_often` and
`purchases_and_both`. What the words themselves bring is how much better `both` is than `how_often`. The reader is out
of time (`TextColumns`): fitted, then taken further every six weeks, and a row is read by the newest one before it; rows
before the first have no columns. Five weekly cut-offs judge, and those customers apart who had bought less than five
times; intervals resample customers whole. With --rare one look in thirty is bought instead of one in eight: purchases
say less. With --shuffled every customer writes what another wrote, as often as before: what words bring must then
vanish. Settings were tried on other shops (--dev: generator seed 2 or the one given, which writes nothing); figures, of
seed 1, are added to bench/results/spend_from_text.jsonl.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from intently.baselines.constant import Constant
from intently.baselines.features import windowed
from intently.baselines.lightgbm_customer import LightGBMCustomer, Reading
from intently.baselines.once import Once
from intently.contract import Examples, Past, Predictor, Scores, Task
from intently.evaluate.compare import compare
from intently.evaluate.intervals import Interval
from intently.learn.pretrain import Pretraining, pretrain
from intently.learn.text_columns import TextColumns
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import schema, toy_shop
from intently.log.log import Log
from intently.log.pack import Array
from intently.log.toy_process import Constants
from intently.tasks.purchasing_power import TASK
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "spend_from_text.jsonl"
METRICS = ("spearman", "norm_gini", "mae", "pinball")
WEEK = timedelta(days=7)
# Windows of four weeks: the last that teach end where the first that judge begin.
JUDGED_FROM = toy_shop.START + 31 * WEEK
TAUGHT = [JUDGED_FROM - back * WEEK for back in range(22, 3, -2)]
JUDGED = [JUDGED_FROM + week * WEEK for week in range(5)]
# When the reader is fitted and taken further, and from how many of the newest cut-offs: as many as there are at first.
READERS = [JUDGED_FROM - back * WEEK for back in (12, 6, 0)]
NEWEST = 4
# Mean and spread of the log odds that a look ends in the cart, where purchases are rare.
RARE = (-3.5, 1.3)
# Purchases so far under which a customer is judged apart too.
FEW = 5
TELLER = Teller(last=12, rates=True)
PAIRS = (
    ("words", "constant"),
    ("words", "how_often"),
    ("words_and_how_often", "how_often"),
    ("purchases_and_words", "purchases"),
    ("purchases_and_how_often", "purchases"),
    ("purchases_and_both", "purchases"),
    ("purchases_and_both", "purchases_and_how_often"),
)


@dataclass(frozen=True)
class HowOften:
    """The windowed features of a past, as a reading."""

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """Columns of events by type and window."""
        values, names = windowed(past)
        return values, tuple(f"written_{name}" for name in names)


@dataclass(frozen=True)
class Beside:
    """What is read of another log than the booster's own; `once` keeps what has been read."""

    log: Log
    reading: Reading
    once: Once

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """The reading of the other log."""
        other = Past(self.log, examples)
        return self.once.of(other, lambda: self.reading.columns(task, examples, other))


@dataclass(frozen=True)
class Both:
    """Two readings side by side."""

    first: Reading
    second: Reading

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """The columns of the one, then of the other."""
        (a, names), (b, more) = (one.columns(task, examples, past) for one in (self.first, self.second))
        return np.column_stack([a, b]), (*names, *more)


def text_reader(folder: Path, stories: Sequence[str]) -> TextReader:
    """A text reader, not yet fitted, whose model is made of these stories."""
    plan = Pretraining(epochs=1, width=64, layers=2, attention_heads=2, words=1_500, counted=True, max_tokens=128)
    pretrain(stories, folder, plan)
    recipe = TextRecipe(
        epochs=8,
        fewest_steps=0,
        max_tokens=128,
        learning_rate=0.0006,
        batch_size=32,
        held_out=0.0,
        by_length=False,
    )
    return TextReader(model=str(folder), method="full", recipe=recipe, teller=TELLER)


def shuffled(events: pl.DataFrame) -> pl.DataFrame:
    """Every customer's texts of a type are, in their order, those of one other customer: as many, but not their own."""
    kind = [schema.USER, schema.TYPE]
    users = events[schema.USER].unique().sort().shuffle(seed=0).to_list()
    other = dict(zip(users, [*users[1:], users[0]], strict=True))
    told = events.select(*kind, schema.TEXT).partition_by(kind, as_dict=True, maintain_order=True)
    texts = {owner: some[schema.TEXT].to_list() for owner, some in told.items()}
    anybody = {
        name: some[schema.TEXT].to_list() for (name,), some in events.partition_by(schema.TYPE, as_dict=True).items()
    }
    place = events.select(*kind, pl.int_range(pl.len()).over(kind))
    said = []
    for user, name, number in place.iter_rows():
        theirs = texts.get((other[user], name)) or anybody[name]
        said.append(theirs[number % len(theirs)])
    return events.with_columns(pl.Series(schema.TEXT, said, dtype=events.schema[schema.TEXT]))


def answered(fitted: Predictor, log: Log, examples: Examples) -> Scores:
    """What a fitted predictor says of what a log shows."""
    hidden = examples.hide()
    return fitted.predict(hidden, Past(log, hidden))


def found(examples: Examples, answers: Mapping[str, Scores]) -> dict[str, Any]:
    """Values and differences by name and metric, each with its interval."""
    report = compare(TASK, examples, answers, names=METRICS, replicates=500, rng=np.random.default_rng(0))

    def numbers(interval: Interval) -> list[float]:
        return [round(value, 4) for value in (interval.value, interval.low, interval.high)]

    return {
        "scores": {name: {m: numbers(report.score(name, TASK.name, m)) for m in METRICS} for name in answers},
        "differences": {
            f"{a} over {b}": {m: numbers(report.difference(a, b, TASK.name, m)) for m in METRICS} for a, b in PAIRS
        },
    }


def main(customers: int, constants: Constants, seed: int, mixed_up: bool, record: bool) -> None:
    """Fit everybody on the cut-offs that teach, judge on the later ones."""
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime

    def told(what: object) -> None:
        print(what, round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin), flush=True)

    whole = toy_shop.read(customers, 280, seed, constants)
    events = whole.events
    nothing_else = (pl.lit(None, dtype=events.schema[name]).alias(name) for name in (schema.ITEM, schema.AMOUNT))
    written = events.filter(pl.col(schema.TEXT).is_not_null()).with_columns(nothing_else)
    texts = replace(whole, events=shuffled(written) if mixed_up else written)
    purchases = replace(whole, events=events.filter(pl.col(schema.TYPE) == schema.BUY))
    taught, judged = TASK.examples(whole.before(JUDGED_FROM), TAUGHT), TASK.examples(whole, JUDGED)
    past, later = Past(texts, taught), Past(texts, judged.hide())
    with tempfile.TemporaryDirectory() as folder:
        first = np.flatnonzero((taught.at + TASK.horizon <= READERS[0]).to_numpy())
        stories = TELLER.tell(taught.take(first), past.take(first))
        reader = text_reader(Path(folder), [one.past for one in stories])
        columns = TextColumns.of(reader, taught, past, READERS, NEWEST)
    told([round(loss, 3) for _, one in columns.stages for loss in (one.losses[0], one.losses[-1])])
    words, often = Beside(texts, columns, Once()), Beside(texts, HowOften(), Once())
    # Read once, and kept as long as these pasts are.
    for examples, one in ((taught, past), (judged.hide(), later)):
        words.once.of(one, lambda examples=examples, one=one: columns.columns(TASK, examples, one))
        often.once.of(one, lambda examples=examples, one=one: HowOften().columns(TASK, examples, one))
    told("read")
    booster = LightGBMCustomer(threads=1)
    made = {
        "how_often": (texts, booster),
        "words_and_how_often": (texts, replace(booster, reading=words)),
        "purchases": (purchases, booster),
        "purchases_and_words": (purchases, replace(booster, reading=words)),
        "purchases_and_how_often": (purchases, replace(booster, reading=often)),
        "purchases_and_both": (purchases, replace(booster, reading=Both(often, words))),
        "constant": (purchases, Constant()),
    }
    answers = {"words": columns.newest.predict(judged.hide(), later)}
    for name, (log, predictor) in made.items():
        answers[name] = answered(predictor.fit(taught, Past(log, taught)), log, judged)
        told(name)
    # Who has bought little has said little by it.
    few = Past(purchases, judged.hide()).lengths < FEW
    newcomers = {name: replace(scores, values=scores.values[few]) for name, scores in answers.items()}
    result = {
        "note": toy_shop.NOTE,
        "command": "python " + " ".join(["bench/spend_from_text.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "customers": customers,
        "wording": constants.wording,
        "cart": constants.cart,
        "purchases_so_far": float(np.median(Past(purchases, judged.hide()).lengths)),
        "seed": seed,
        "shuffled": mixed_up,
        "examples": {"taught": len(taught), "judged": len(judged)},
        **found(judged, answers),
        "few": {"examples": int(few.sum()), **found(judged.where(few), newcomers)},
        "cpu_seconds": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin),
    }
    if record:
        with RESULTS.open("a") as file:
            file.write(json.dumps(result) + "\n")
    for told_of in (result, result["few"]):
        for part in ("scores", "differences"):
            for name, values in told_of[part].items():
                print(f"{name:50}", *(f"{m} {value}" for m, value in values.items()))
    print(result["cpu_seconds"])


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("customers", type=int, nargs="?", default=300)
    options.add_argument("--wording", type=float, default=2.0)
    options.add_argument("--rare", action="store_true")
    options.add_argument("--dev", type=int, nargs="?", const=2)
    options.add_argument("--shuffled", action="store_true")
    chosen = options.parse_args()
    seed = 1 if chosen.dev is None else chosen.dev
    constants = Constants(wording=chosen.wording)
    if chosen.rare:
        constants = replace(constants, cart=RARE)
    main(chosen.customers, constants, seed, chosen.shuffled, record=chosen.dev is None)
