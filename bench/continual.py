"""Month by month on Complete Journey: what each way of going on learning forgets and gains.

    .venv/bin/python bench/continual.py [--dev] [--replayed 1]

A text reader, made here from nothing, learns `purchase_intent` from the first eight months, told of each household in
sums. Then every way takes it further with September, October, November and December, one after the other. After each
month it is judged on households it never learns from (three in ten, by lot): on the first eight months (`forgot`:
against the reader as it was, positive is worse) and on that month (`gained`: against the reader as it was, positive is
better), both in nats of log loss, with intervals that resample households whole. `next` is the gain on the month after,
before that month is learned. With --dev, eight of ten of the other households teach and two judge; nothing is written.
Figures go to bench/results/continual.json.
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
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import Examples, Past, Scores, pooled
from intently.evaluate.compare import compare
from intently.learn.continual import Update, updated
from intently.learn.pretrain import Pretraining, pretrain
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import complete_journey
from intently.log.log import Log
from intently.tasks.purchase_intent import TASK
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "continual.json"
FIRST = [datetime(2017, 3, 5, tzinfo=UTC) + timedelta(days=42 * n) for n in range(5)]  # the last ends on 2017-08-27
# A week of each month.
MONTHS = {
    name: [datetime(2017, number, 12, tzinfo=UTC)]
    for name, number in (("September", 9), ("October", 10), ("November", 11), ("December", 12))
}
WAYS = {
    "naive": Update("naive"),
    "replay": Update("replay"),
    "anchor": Update("anchor", pull=1.0),
    "distil": Update("distil"),
}
TELLER = Teller(last=0, sums=True)
METRICS = ("log_loss", "auroc")


def reader(folder: Path, stories: list[str]) -> TextReader:
    """A small reader, not yet fitted, whose model is pre-trained on these stories."""
    plan = Pretraining(epochs=1, width=64, layers=2, attention_heads=2, words=1_000, counted=True, max_tokens=40)
    pretrain(stories, folder, plan)
    recipe = TextRecipe(epochs=2, fewest_steps=0, max_tokens=40, batch_size=32, held_out=0.0)
    return TextReader(model=str(folder), method="full", recipe=recipe, teller=TELLER)


def split(examples: Examples, judges: pl.Series) -> tuple[Examples, Examples]:
    """The examples of households that teach, and of those that judge."""
    mine = examples.household.is_in(judges.implode())
    return examples.where(~mine), examples.where(mine)


def answers(readers: dict[str, TextReader], log: Log, examples: Examples) -> dict[str, Scores]:
    """What each reader says."""
    hidden = examples.hide()
    past = Past(log, hidden)
    return {name: one.predict(hidden, past) for name, one in readers.items()}


def judged(readers: dict[str, TextReader], log: Log, examples: Examples) -> dict[str, dict[str, list[float]]]:
    """Each reader against the one that learned nothing more (`as_it_was`), by metric: value, low, high; and replay,
    anchor and distil against naive.
    """
    report = compare(
        TASK,
        examples,
        answers(readers, log, examples),
        names=METRICS,
        replicates=300,
        rng=np.random.default_rng(0),
    )

    def numbers(interval) -> list[float]:
        return [round(value, 5) for value in (interval.value, interval.low, interval.high)]

    found = {
        f"{name} over as_it_was": {m: numbers(report.difference(name, "as_it_was", TASK.name, m)) for m in METRICS}
        for name in readers
        if name != "as_it_was"
    }
    found |= {
        f"{name} over naive": {m: numbers(report.difference(name, "naive", TASK.name, m)) for m in METRICS}
        for name in readers
        if name not in ("as_it_was", "naive")
    }
    return found | {"as_it_was": {m: numbers(report.score("as_it_was", TASK.name, m)) for m in METRICS}}


def main(dev: bool, replayed: float) -> None:
    """Fit once, go on four ways, judge after each month; so many old examples are replayed for each new one."""
    WAYS["replay"] = Update("replay", replayed=replayed)
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    log = complete_journey.read()
    households = log.events["user_id"].unique().sort().sample(fraction=1.0, shuffle=True, seed=0)
    judges = households.head(round(0.3 * len(households)))
    if dev:
        log = replace(log, events=log.events.join(judges.to_frame("user_id"), on="user_id", how="anti"))
        rest = households.tail(-len(judges))
        judges = rest.head(round(0.2 * len(rest)))
    taught, kept = split(TASK.examples(log, FIRST), judges)
    kept = kept.where(pl.col("at").is_in(FIRST[1::2]))
    with tempfile.TemporaryDirectory() as folder:
        past = Past(log, taught)
        made = reader(Path(folder) / "model", [story.past for story in TELLER.tell(taught, past)])
        base = made.fit(taught, past)
        print("first", base.losses, round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin), flush=True)
        now, seen, rows, seconds = dict.fromkeys(WAYS, base), [taught], [], dict.fromkeys(WAYS, 0.0)
        for month, cutoffs in MONTHS.items():
            new, new_kept = split(TASK.examples(log, cutoffs), judges)
            row = {"month": month, "taught": len(new)}
            if len(seen) > 1:
                row["next"] = judged(now | {"as_it_was": base}, log, new_kept)
            for way, plan in WAYS.items():
                start = time.process_time()
                now[way] = updated(now[way], new, pooled(seen), log, plan)
                seconds[way] += time.process_time() - start
            seen.append(new)
            row["old"] = judged(now | {"as_it_was": base}, log, kept)
            row["new"] = judged(now | {"as_it_was": base}, log, new_kept)
            rows.append(row)
            print(month, json.dumps(row), flush=True)
    told = {
        "command": "python " + " ".join(["bench/continual.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "households": {"all": len(households), "judge": len(judges)},
        "taught_at_first": len(taught),
        "ways": {way: vars(plan) for way, plan in WAYS.items()},
        "cpu_seconds": {way: round(value) for way, value in seconds.items()}
        | {"all": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin)},
        "months": rows,
    }
    if not dev:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--dev", action="store_true")
    options.add_argument("--replayed", type=float, default=1.0)
    chosen = options.parse_args()
    main(chosen.dev, chosen.replayed)
