"""What a toy shop's customers do next, at every step of a session: words against a Markov chain.

    .venv/bin/python bench/next_event.py [customers]

A decoder of two layers, from nothing, on the sessions of sixteen weeks; the four weeks after them judge. `planted` is
who knows the law by which the shop was made: nobody does better but by luck. Intervals resample customers whole.
Rates were chosen on another toy shop (seed 2); figures, of seed 1, go to bench/results/next_event.json.
"""

from __future__ import annotations

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

from intently.learn.pretrain import Pretraining, pretrain
from intently.learn.step_reader import StepReader, Steps, markov
from intently.learn.text_finetune import TextRecipe
from intently.log import schema, toy_shop
from intently.text.steps import NONE, sessions

RESULTS = Path(__file__).parent / "results" / "next_event.json"
ACTS = ("buy", "cart", "search", "view")


def macro_f1(truth: np.ndarray, given: np.ndarray, labels: int) -> float:
    """F1 of each label that is true or given, averaged without weights."""
    right = np.bincount(truth[truth == given], minlength=labels)
    both = np.bincount(truth, minlength=labels) + np.bincount(given, minlength=labels)
    return float((2 * right[both > 0] / both[both > 0]).mean())


def main(customers: int) -> None:
    """Train, and judge everybody on the same steps."""
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    log, planted = toy_shop.plant(customers, 140, seed=1)
    log = replace(log, events=log.events.filter(pl.col(schema.TYPE).is_in(ACTS)))
    split, end = toy_shop.START + timedelta(days=112), toy_shop.START + timedelta(days=140)
    earlier, later = sessions(log, toy_shop.START, split), sessions(log, split, end)
    with tempfile.TemporaryDirectory() as folder:
        plan = Pretraining(objective="causal", epochs=1, width=64, layers=2, words=1_500, max_tokens=128)
        pretrain([one.text for one in earlier[:8_000]], Path(folder) / "model", plan)
        recipe = TextRecipe(epochs=2, max_tokens=120, learning_rate=5e-3, head_learning_rate=1e-2, batch_size=64)
        reader = StepReader(model=str(Path(folder) / "model"), recipe=recipe)
        fitted = reader.fit(log, toy_shop.START, split)
    ours = fitted.predict(log, split, end)
    chain = markov(earlier, later, ours.labels)
    events = log.events.with_row_index("_row").select("_row", schema.EVENT, schema.USER)
    rows = pl.DataFrame({"_row": pl.Series(ours.row, dtype=pl.UInt32)}).join(
        events, on="_row", how="left", maintain_order="left"
    )
    best = rows.join(
        planted.chances["next_event"].rename({"leave": NONE}), on=schema.EVENT, how="left", maintain_order="left"
    )
    usual = max(ours.labels, key=ours.then.count)
    answers = {
        "planted": Steps(ours.row, ours.kind, ours.then, best.select(ours.labels).to_numpy(), ours.labels),
        "step_reader": ours,
        "markov_chain": chain,
        "most_frequent": replace(
            chain, chances=np.tile([float(label == usual) for label in ours.labels], (len(ours.row), 1))
        ),
    }
    number = {label: place for place, label in enumerate(ours.labels)}
    truth = np.array([number[label] for label in ours.then])
    who = rows[schema.USER].rank("dense").to_numpy() - 1
    of = [np.flatnonzero(who == one) for one in range(who.max() + 1)]
    rng = np.random.default_rng(0)
    draws = [np.concatenate([of[one] for one in rng.integers(len(of), size=len(of))]) for _ in range(300)]
    given = {name: steps.chances.argmax(1) for name, steps in answers.items()}
    drawn = {name: [macro_f1(truth[row], mine[row], len(number)) for row in draws] for name, mine in given.items()}
    gain = np.array(drawn["step_reader"]) - np.array(drawn["markov_chain"])
    told = {
        "command": "python " + " ".join(["bench/next_event.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "customers": customers,
        "sessions": [len(earlier), len(later)],
        "steps": len(truth),
        "macro_f1": {
            name: [
                round(macro_f1(truth, given[name], len(number)), 4),
                *np.quantile(drawn[name], [0.025, 0.975]).round(4),
            ]
            for name in answers
        },
        "step_reader_over_markov_chain": [float(gain.mean().round(4)), *np.quantile(gain, [0.025, 0.975]).round(4)],
        "report": ours.report().to_dicts(),
        "cpu_seconds": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin),
    }
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")
    print(
        json.dumps(
            {name: told[name] for name in ("macro_f1", "step_reader_over_markov_chain", "cpu_seconds")}, indent=1
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
