"""Purchasing power over 28 days on UCI Online Retail: what is served against past spend and BG/NBD, window by window.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/online_retail_money.py [SEED ...]

Of customers with a CustomerID alone: where there is none (a quarter of the rows) an invoice stands for a customer, who
can hardly come back, and knowing that much would flatter what is served. For each seed (0, without any) the commands
run as a person would run them: `init`, then `train` anew every four weeks from 2011-05-09 to 2011-08-01, and everybody
known is asked at the four weekly cut-offs from each on; all windows end before the file does. Differences are paired,
customers resampled whole, over all cut-offs together and over those of the last training alone (the blend was
designed on cut-offs from 2011-05-23 to 2011-07-04). Writes bench/results/online_retail_money.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import Examples, Past, Scores, pooled
from intently.evaluate.compare import compare
from intently.evaluate.intervals import Interval
from intently.log.log import Log
from intently.ship.bundle import load
from intently.tasks.purchasing_power import TASK

RESULTS = Path(__file__).parent / "results"
UNTIL = ("2011-05-09", "2011-06-06", "2011-07-04", "2011-08-01")
WEEKS = 4
SERVED = "served"
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
            parts = []
            for until in UNTIL:
                bundle = Path(folder) / f"bundle{seed}-{until}"
                run("train", "--data", config, "--until", until, "--tasks", TASK.name, "--seed", seed, "--out", bundle)
                parts.append(answered(bundle, config))
            told[f"seed {seed}"] = {
                "served": {until: served for until, (served, _, _) in zip(UNTIL, parts, strict=True)},
                "all": judged(parts),
                "the last training": judged(parts[-1:]),
            }
            print(json.dumps(told[f"seed {seed}"], indent=1))
            (RESULTS / "online_retail_money.json").write_text(json.dumps(told, indent=1) + "\n")


def run(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "intently", *map(str, words)], check=True)


def answered(bundle: Path, config: Path) -> tuple[str, Examples, dict[str, Scores]]:
    """Whom a bundle serves, who is asked in the weeks after its training, and what each predictor answers."""
    trained, log = load(bundle, [TASK]), Log.read(config)
    examples = TASK.examples(log, [trained.until + timedelta(days=7 * week) for week in range(WEEKS)])
    past = Past(log, examples.hide())
    served = trained.served[TASK.name]
    names = {SERVED: served} | {name: name for name in (*RULES, *OTHERS)}
    return served, examples, {name: trained.answer(examples, past, one) for name, one in names.items()}


def judged(parts: list[tuple[str, Examples, dict[str, Scores]]]) -> dict[str, object]:
    """Every predictor's metrics at all cut-offs together, and the served one's lead over the two rules."""
    examples = pooled([examples for _, examples, _ in parts])
    scores = {
        name: replace(parts[0][2][name], values=np.concatenate([told[name].values for _, _, told in parts]))
        for name in parts[0][2]
    }
    report = compare(TASK, examples, scores, names=MONEY, replicates=1000, rng=np.random.default_rng(0))

    def numbers(interval: Interval) -> list[float]:
        return [round(part, 4) for part in (interval.value, interval.low, interval.high)]

    found: dict[str, object] = {
        "cut-offs": [f"{at:%Y-%m-%d}" for at in examples.cutoffs],
        "examples": len(examples),
        "customers": examples.household.n_unique(),
    }
    found |= {metric: {name: numbers(report.score(name, TASK.name, metric)) for name in scores} for metric in MONEY}
    return found | {
        f"{metric}: {SERVED} over {rule}": numbers(report.difference(SERVED, rule, TASK.name, metric))
        for rule in RULES
        for metric in MONEY[:3]
    }


if __name__ == "__main__":
    main()
