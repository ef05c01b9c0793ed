"""Another shop, with no hand: Online Retail from `init` to a report with the generated config alone.

    INTENTLY_DATA=... .venv/bin/python bench/online_retail.py [FOLDER]

Runs the commands as a person would, in a folder of their own, and adds the reading of the five weekly cut-offs from
2011-08-01 on to bench/results/online_retail.jsonl. Then what is served for money over 28 days is compared with past
spend and BG/NBD, customers resampled whole: of everybody, and of those with a CustomerID alone (a quarter of the rows
has none: there an invoice stands for a customer, who can hardly come back). Writes
bench/results/online_retail_money.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import Past
from intently.evaluate.compare import compare
from intently.log.log import Log
from intently.metrics.amount import decile_total_ratio
from intently.ship.bundle import load
from intently.tasks.purchasing_power import TASK

RESULTS = Path(__file__).parent / "results"
RULES = ("past_spend", "bg_nbd")
MONEY = ("spearman", "norm_gini", "mae", "decile_total_ratio")


def main() -> None:
    file = Path(os.environ.get("INTENTLY_DATA", "")) / "online_retail.parquet"
    if not file.is_file():
        print("INTENTLY_DATA does not say where online_retail.parquet lies: nothing is run.")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else scratch).resolve()
        config, bundle, begun = folder / "intently.toml", folder / "bundle", time.perf_counter()
        for said in (
            ("init", file, "--out", config),
            ("train", "--data", config, "--until", "2011-08-01", "--out", bundle),
            ("evaluate", bundle, "--data", config, "--final", "--out", folder / "report",
             "--readings", RESULTS / "online_retail.jsonl"),
        ):  # fmt: skip
            subprocess.run([sys.executable, "-m", "intently", *map(str, said)], check=True)
        print(f"{time.perf_counter() - begun:.0f} s from init to report")
        ids = pl.read_parquet(file, columns=["CustomerID"])["CustomerID"].drop_nulls().unique().cast(pl.String)
        found = money(bundle, config, ids)
        (RESULTS / "online_retail_money.json").write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(found, indent=1))


def money(bundle: Path, config: Path, ids: pl.Series) -> dict:
    """What is served, the reader and LightGBM against the rules that ask no model, at the five cut-offs."""
    trained, log = load(bundle, [TASK]), Log.read(config)
    times = [trained.until + timedelta(days=7 * week) for week in range(5)]
    served = trained.served[TASK.name]
    names = tuple(dict.fromkeys((served, "reader", "lightgbm", *RULES)))
    everyone = TASK.examples(log, times)
    told = {"cut-offs": [f"{at:%Y-%m-%d}" for at in times], "served": served}
    for who, examples in (
        ("everybody", everyone),
        ("with a CustomerID", everyone.where(everyone.asked.cast(pl.String).is_in(ids.implode()).to_numpy())),
    ):
        past = Past(log, examples.hide())
        scores = {name: trained.answer(examples, past, name) for name in names}
        report = compare(TASK, examples, scores, names=MONEY, replicates=2000, rng=np.random.default_rng(0))
        found = {"examples": len(examples), "customers": examples.household.n_unique()}
        for metric in MONEY:
            found[metric] = {name: round(report.score(name, TASK.name, metric).value, 4) for name in names}
        found["decile_total_ratio of the cut-offs"] = {
            f"{at:%Y-%m-%d}": one_ratio(examples, scores[served], at) for at in times
        }
        for rule in RULES:
            for metric in MONEY[:3]:
                better = report.difference(served, rule, TASK.name, metric)
                found[f"{metric}: {served} over {rule}"] = [
                    round(part, 4) for part in (better.value, better.low, better.high)
                ]
        told[who] = found
    return told


def one_ratio(examples, scores, at) -> float:
    """Foreseen for the top tenth of one cut-off over what came of it."""
    rows = np.flatnonzero((examples.at == at).to_numpy())
    return round(decile_total_ratio(examples.take(rows).truth.to_numpy(), scores.take(rows).values), 3)


if __name__ == "__main__":
    main()
