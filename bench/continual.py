"""Month by month on Complete Journey: what each way of going on learning forgets and gains.

    .venv/bin/python bench/continual.py [--task purchasing_power] [--totals] [--dev] [--replayed 1]

A text reader, made here from nothing, learns a task from the first eight months, told of each household how often and
how much it buys a month, or, with --totals, how often and how much it has bought since when. Totals grow with the log:
the reader is asked of ever larger ones, and of longer times, than it learned from, and has to go on learning. Then
every way takes it further with September, October, November and December, one after the other, by the recipe that it
first learned by. After each month it is judged on households it never learns from (three in ten, by lot): on the first
eight months (`old`: positive is better than the reader as it was, negative is forgotten) and on that month (`new`), by
the task's own metrics, with intervals that resample households whole. `next` is the gain on the month after, before
that month is learned. `third` is what a way forgot less a third of what naive training forgot: at most 0 is what is
asked for; `share` is the one over the other. `replay_half` replays one old example for every two new ones. With --dev,
eight of ten of the other households teach and two judge; nothing is written. Figures go to
bench/results/continual.json, of other tasks to continual_TASK.json, with --totals to continual_TASK_totals.json.

`purchase_intent` has one cut-off every six weeks and then one a month, and two epochs. `purchasing_power` has one every
week, and the recipe that text readers have unless told otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently import metrics
from intently.contract import Examples, Past, Scores, Task, pooled
from intently.evaluate.compare import compare, encode
from intently.evaluate.intervals import resampled
from intently.learn.continual import Update, updated
from intently.learn.pretrain import Pretraining, pretrain
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import complete_journey
from intently.log.log import Log
from intently.tasks import purchase_intent, purchasing_power
from intently.text.story import Piece, Story, Teller, about, age_words, amount_words
from intently.text.wording import EN, UNITS

RESULTS = Path(__file__).parent / "results"
MONTHS = {"September": 9, "October": 10, "November": 11, "December": 12}
WAYS = {
    "naive": Update("naive"),
    "replay": Update("replay"),
    "replay_half": Update("replay", replayed=0.5),
    "anchor": Update("anchor", pull=1.0),
    "distil": Update("distil"),
}
RATES = Teller(last=0, rates=True)
REPLICATES = 300


@dataclass(frozen=True)
class Plan:
    """A task with its cut-offs, its recipe, and the metrics it is judged by: the first is the one that is trained."""

    task: Task
    metrics: tuple[str, ...]
    first: tuple[datetime, ...]
    months: dict[str, tuple[datetime, ...]]
    recipe: TextRecipe


def weekly(task: Task, epochs: int, *judges: str) -> Plan:
    """A cut-off every week: those whose windows end by the last of August, then those whose windows end in a month."""
    last = datetime(2017, 8, 31, tzinfo=UTC) - task.horizon
    first = tuple(last - timedelta(days=7 * n) for n in reversed(range(26)))
    months = {
        name: tuple(datetime(2017, month, day, tzinfo=UTC) - task.horizon for day in (9, 16, 23, 30))
        for name, month in MONTHS.items()
    }
    return Plan(task, judges, first, months, TextRecipe(epochs=epochs, max_tokens=40, held_out=0.0))


PLANS = {
    "purchase_intent": Plan(
        purchase_intent.TASK,
        ("log_loss", "auroc"),
        # The last ends on 2017-08-27.
        tuple(datetime(2017, 3, 5, tzinfo=UTC) + timedelta(days=42 * n) for n in range(5)),
        {name: (datetime(2017, month, 12, tzinfo=UTC),) for name, month in MONTHS.items()},
        TextRecipe(epochs=2, fewest_steps=0, max_tokens=40, batch_size=32, held_out=0.0),
    ),
    "purchasing_power": weekly(purchasing_power.TASK, 4, "pinball", "mae", "spearman", "total_ratio"),
}


class Totals(Teller):
    """Tells of each type of event how often and for how much since when, what of it in the last month, when last."""

    def tell(self, examples: Examples, past: Past) -> list[Story]:
        """The story of each example."""
        rows, lately = past.rows(), pl.col("age") <= UNITS[1]
        amount = np.nan_to_num(rows.amount).astype(np.float64)
        frame = pl.DataFrame({"example": rows.example, "kind": rows.event_type, "age": rows.age, "amount": amount})
        summed = frame.group_by("example", "kind", maintain_order=True).agg(
            pl.len(),
            pl.col("amount").sum(),
            pl.col("age").max().alias("first"),
            lately.sum().alias("times_lately"),
            pl.col("amount").filter(lately).sum().alias("amount_lately"),
            pl.col("age").min().alias("last"),
        )
        phrases: list[list[str]] = [[] for _ in range(len(past))]
        for one in summed.sort("example", "kind").iter_rows(named=True):
            many, few = (
                amount_words(about(times)) + (f" for {amount_words(about(money))}" if money else "")
                for times, money in ((one["len"], one["amount"]), (one["times_lately"], one["amount_lately"]))
            )
            first, last = (age_words(one[name], EN) for name in ("first", "last"))
            kind = past.event_types[one["kind"]]
            phrases[one["example"]].append(f"{kind}: {many} since {first}, lately {few}, last {last}")
        return [_story(mine or [EN.nothing]) for mine in phrases]


def _story(phrases: list[str]) -> Story:
    words, pieces = "", []
    for phrase in phrases:
        words += EN.comma if words else ""
        pieces.append(Piece(len(words), len(words) + len(phrase), ()))
        words += phrase
    return Story(words, "", tuple(pieces))


def reader(folder: Path, stories: list[str], recipe: TextRecipe, teller: Teller) -> TextReader:
    """A small reader, not yet fitted, whose model is pre-trained on these stories."""
    plan = Pretraining(epochs=1, width=64, layers=2, attention_heads=2, words=1_000, counted=True, max_tokens=40)
    pretrain(stories, folder, plan)
    return TextReader(model=str(folder), method="full", recipe=recipe, teller=teller)


def split(examples: Examples, judges: pl.Series) -> tuple[Examples, Examples]:
    """The examples of households that teach, and of those that judge."""
    mine = examples.household.is_in(judges.implode())
    return examples.where(~mine), examples.where(mine)


def answers(readers: dict[str, TextReader], log: Log, examples: Examples) -> dict[str, Scores]:
    """What each reader says."""
    hidden = examples.hide()
    past = Past(log, hidden)
    return {name: one.predict(hidden, past) for name, one in readers.items()}


def judged(readers: dict[str, TextReader], log: Log, examples: Examples, names: tuple[str, ...]) -> dict[str, dict]:
    """Each reader against the one that learned nothing more (`as_it_was`), by metric: value, low, high; and the
    other ways against naive.
    """
    told, task = answers(readers, log, examples), examples.task
    report = compare(task, examples, told, names=names, replicates=REPLICATES, rng=np.random.default_rng(0))

    def numbers(interval) -> list[float]:
        return [round(value, 5) for value in (interval.value, interval.low, interval.high)]

    found = {
        f"{name} over as_it_was": {m: numbers(report.difference(name, "as_it_was", task.name, m)) for m in names}
        for name in readers
        if name != "as_it_was"
    }
    found |= {
        f"{name} over naive": {m: numbers(report.difference(name, "naive", task.name, m)) for m in names}
        for name in readers
        if name not in ("as_it_was", "naive")
    }
    found |= {f"{name} to naive": value for name, value in against_third(told, examples, names).items()}
    return found | {"as_it_was": {m: numbers(report.score("as_it_was", task.name, m)) for m in names}}


def against_third(
    told: dict[str, Scores], examples: Examples, names: tuple[str, ...]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """What each way forgot to what naive training did, by metric, on the same resamples of households: value, low,
    high.
    """
    chosen = metrics.of(type(examples.task.answer).__name__, names)
    encoded = {way: encode(examples.task, examples, scores) for way, scores in told.items()}
    truth, values = encoded["naive"][0], {way: pair[1] for way, pair in encoded.items()}
    household = examples.household.rank("dense").to_numpy()
    drawn = resampled(
        chosen, truth, list(values.values()), household, replicates=REPLICATES, rng=np.random.default_rng(0)
    )
    found: dict[str, dict[str, dict[str, list[float]]]] = {way: {} for way in told if way not in ("as_it_was", "naive")}
    for m, metric in enumerate(chosen):
        # The first is the value itself, the others are the resamples.
        goodness = {
            way: metric.goodness(np.concatenate([[metric.value(truth, one)], drawn[:, number, m]]))
            for number, (way, one) in enumerate(values.items())
        }
        forgot = {way: goodness["as_it_was"] - one for way, one in goodness.items()}
        # In a resample naive training may have forgotten nothing at all.
        with np.errstate(divide="ignore", invalid="ignore"):
            share = {way: forgot[way] / forgot["naive"] for way in found}
        for way, mine in found.items():
            mine[metric.name] = {
                what: [round(float(value), 5) for value in (one[0], *np.quantile(one[1:], (0.025, 0.975)))]
                for what, one in (
                    ("third", forgot[way] - forgot["naive"] / 3),
                    ("share", share[way]),
                )
            }
    return found


def main(name: str, totals: bool, dev: bool, replayed: float) -> None:
    """Fit once, go on by every way, judge after each month; so many old examples are replayed for each new one."""
    WAYS["replay"] = Update("replay", replayed=replayed)
    plan, teller = PLANS[name], Totals() if totals else RATES
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    log = complete_journey.read()
    households = log.events["user_id"].unique().sort().sample(fraction=1.0, shuffle=True, seed=0)
    judges = households.head(round(0.3 * len(households)))
    if dev:
        log = replace(log, events=log.events.join(judges.to_frame("user_id"), on="user_id", how="anti"))
        rest = households.tail(-len(judges))
        judges = rest.head(round(0.2 * len(rest)))
    taught, kept = split(plan.task.examples(log, plan.first), judges)
    kept = kept.where(pl.col("at").is_in(plan.first[1::2]))
    with tempfile.TemporaryDirectory() as folder:
        past = Past(log, taught)
        made = reader(Path(folder) / "model", [story.past for story in teller.tell(taught, past)], plan.recipe, teller)
        base = made.fit(taught, past)
        print("first", base.losses, round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin), flush=True)
        now, seen, rows, seconds = dict.fromkeys(WAYS, base), [taught], [], dict.fromkeys(WAYS, 0.0)
        for month, cutoffs in plan.months.items():
            new, new_kept = split(plan.task.examples(log, cutoffs), judges)
            row = {"month": month, "taught": len(new)}
            if len(seen) > 1:
                row["next"] = judged(now | {"as_it_was": base}, log, new_kept, plan.metrics)
            for way, update in WAYS.items():
                start = time.process_time()
                now[way] = updated(now[way], new, pooled(seen), log, update)
                seconds[way] += time.process_time() - start
            seen.append(new)
            row["old"] = judged(now | {"as_it_was": base}, log, kept, plan.metrics)
            row["new"] = judged(now | {"as_it_was": base}, log, new_kept, plan.metrics)
            rows.append(row)
            print(month, json.dumps(row), flush=True)
    told = {
        "command": "python " + " ".join(["bench/continual.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "task": name,
        "told": "totals since when" if totals else "rates a month",
        "recipe": vars(plan.recipe),
        "households": {"all": len(households), "judge": len(judges)},
        "taught_at_first": len(taught),
        "ways": {way: vars(update) for way, update in WAYS.items()},
        "cpu_seconds": {way: round(value) for way, value in seconds.items()}
        | {"all": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin)},
        "months": rows,
    }
    if not dev:
        file = "_".join(["continual", *([name] * (name != "purchase_intent")), *(["totals"] * totals)])
        # The three numbers of an interval on one line.
        text = re.sub(
            r"\[\s+([^][{}]*?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", json.dumps(told, indent=1)
        )
        (RESULTS / f"{file}.json").write_text(text + "\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--task", choices=PLANS, default="purchase_intent")
    options.add_argument("--totals", action="store_true")
    options.add_argument("--dev", action="store_true")
    options.add_argument("--replayed", type=float, default=1.0)
    chosen = options.parse_args()
    main(chosen.task, chosen.totals, chosen.dev, chosen.replayed)
