"""Figures of the demo's bundle that the report does not print: single cut-offs, calibration, time to answer.

    .venv/bin/python bench/acceptance.py [BUNDLE] [DATA]

Reads the five test cut-offs, so each run is a reading: the result is added to bench/results/acceptance.jsonl.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.cli.process import prepare
from intently.contract import TRUTH, Past, pooled
from intently.evaluate.compare import compare
from intently.log.log import Log
from intently.metrics.amount import randomised_pit_deviation
from intently.ship.bundle import load
from intently.tasks import BUILT_IN

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    prepare()
    bundle, data = (sys.argv[1:] + ["out/demo/bundle", "out/demo/data"][len(sys.argv) - 1 :])[:2]
    if not Path(bundle).is_dir():
        print(f"{bundle} is not there: run `make demo` first.")
        return
    begin = time.perf_counter()
    trained, log = load(bundle, BUILT_IN), Log.read(data)
    loaded = time.perf_counter() - begin
    log_at = log.before(trained.until)
    _ = log_at.pack
    begin, cpu = time.perf_counter(), time.process_time()
    trained.predict_all(log_at, trained.until)
    found = {
        "served": dict(trained.served),
        "load_seconds": loaded,
        "all_tasks_all_customers_seconds": time.perf_counter() - begin,
        "all_tasks_all_customers_cpu_seconds": time.process_time() - cpu,
        "at_first_cutoff": first(trained, log),
        "pooled": five(trained, log),
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "acceptance.jsonl").open("a") as file:
        file.write(json.dumps(found) + "\n")
    print(json.dumps(found, indent=1))


def first(trained, log: Log) -> dict:
    """The opponents at the first test cut-off alone."""
    told = {}
    for name, predictors in (("purchasing_power", ("lightgbm",)), ("next_item", ("repeat_purchase",))):
        task = trained.task(name)
        examples = task.examples(log, [trained.until])
        past = Past(log.before(trained.until), examples.hide())
        scores = {one: trained.answer(examples, past, one) for one in predictors}
        report = compare(task, examples, scores, replicates=50, rng=np.random.default_rng(0))
        for one in predictors:
            for metric in task.metrics[:2]:
                told[f"{name} {one} {metric}"] = report.score(one, name, metric).value
    return told


def five(trained, log: Log) -> dict:
    """Calibration of what is served, the five test cut-offs pooled."""
    told = {}
    for name in ("purchase_intent", "purchasing_power", "demand"):
        task = trained.task(name)
        parts, values = [], []
        for week in range(5):
            at = trained.until + timedelta(days=7 * week)
            examples = task.examples(log, [at])
            parts.append(examples)
            values.append(trained.answer(examples, Past(log.before(at), examples.hide())))
        examples = pooled(parts)
        scores = replace(values[0], values=np.concatenate([one.values for one in values]))
        truth = examples.frame[TRUTH].cast(pl.Float64).to_numpy()
        report = compare(task, examples, {"served": scores}, replicates=50, rng=np.random.default_rng(0))
        wanted = ("ece",) if name == "purchase_intent" else ("coverage_90", "total_ratio")
        for metric in wanted:
            told[f"{name} {metric}"] = report.score("served", name, metric).value
        if name == "demand":
            often = scores.values[:, 0] >= 1
            told["demand items with mean >= 1"] = int(often.sum())
            told["demand pit_deviation where mean >= 1"] = randomised_pit_deviation(
                truth[often], scores.values[often], np.random.default_rng(0)
            )
            told["demand total_ratio where mean >= 1"] = float(scores.values[often, 0].sum() / truth[often].sum())
    return told


if __name__ == "__main__":
    main()
