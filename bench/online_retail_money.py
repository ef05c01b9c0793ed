"""Purchasing power over 28 days on UCI Online Retail: what is served against past spend and BG/NBD.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/online_retail_money.py [SEED ...]

Of customers with a CustomerID alone: where there is none (a quarter of the rows) an invoice stands for a customer, who
can hardly come back, and knowing that much would flatter what is served. For each seed (0, without any) the commands
run as a person would run them, `init` and `train` until 2011-08-01; then everybody known is asked at the five weekly
cut-offs from there on, all windows of which end before the file does. Differences are paired, customers resampled
whole. Writes bench/results/online_retail_money.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import Past
from intently.evaluate.compare import compare
from intently.log.log import Log
from intently.ship.bundle import load
from intently.tasks.purchasing_power import TASK

RESULTS = Path(__file__).parent / "results"
UNTIL = "2011-08-01"
RULES = ("past_spend", "bg_nbd")
OTHERS = ("lightgbm_hurdle", "lightgbm", "reader")
MONEY = ("spearman", "norm_gini", "mae", "total_ratio", "decile_total_ratio")


def main() -> None:
    file = Path(os.environ.get("INTENTLY_DATA", "")) / "online_retail.parquet"
    if not file.is_file():
        print("INTENTLY_DATA does not say where online_retail.parquet lies: nothing is run.")
        return
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        registered, config = Path(folder) / "registered.parquet", Path(folder) / "intently.toml"
        pl.read_parquet(file).drop_nulls("CustomerID").write_parquet(registered)
        run("init", registered, "--out", config)
        for seed in map(int, sys.argv[1:] or ["0"]):
            bundle = Path(folder) / f"bundle{seed}"
            run("train", "--data", config, "--until", UNTIL, "--tasks", TASK.name, "--seed", seed, "--out", bundle)
            told[f"seed {seed}"] = judged(bundle, config)
            print(json.dumps(told[f"seed {seed}"], indent=1))
            (RESULTS / "online_retail_money.json").write_text(json.dumps(told, indent=1) + "\n")


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "intently", *map(str, words)], check=True)


def judged(bundle: Path, config: Path) -> dict[str, object]:
    """Every predictor's metrics at the five cut-offs together, and the served one's lead over the two rules."""
    trained, log = load(bundle, [TASK]), Log.read(config)
    times = [trained.until + timedelta(days=7 * week) for week in range(5)]
    served = trained.served[TASK.name]
    names = [name for name in dict.fromkeys((served, *RULES, *OTHERS)) if name in trained.predictors[TASK.name]]
    examples = TASK.examples(log, times)
    past = Past(log, examples.hide())
    scores = {name: trained.answer(examples, past, name) for name in names}
    report = compare(TASK, examples, scores, names=MONEY, replicates=2000, rng=np.random.default_rng(0))
    found: dict[str, object] = {
        "cut-offs": [f"{at:%Y-%m-%d}" for at in times],
        "served": served,
        "examples": len(examples),
        "customers": examples.household.n_unique(),
    }
    for metric in MONEY:
        values = {name: report.score(name, TASK.name, metric) for name in names}
        found[metric] = {
            name: [round(part, 4) for part in (one.value, one.low, one.high)] for name, one in values.items()
        }
    for rule in RULES:
        for metric in MONEY[:3]:
            better = report.difference(served, rule, TASK.name, metric)
            found[f"{metric}: {served} over {rule}"] = [
                round(part, 4) for part in (better.value, better.low, better.high)
            ]
    return found


if __name__ == "__main__":
    main()
