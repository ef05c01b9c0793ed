"""Purchasing power over 90 days on UCI Online Retail: past spend, BG/NBD with Gamma-Gamma, trees, the hurdle, a blend.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/purchasing_power.py

Six cut-offs two weeks apart; at each, everybody is fitted on the weekly windows that end by it and judged on the 90
days after it. All windows end before 2011-10-01, where the file ends. Rows without a customer (a quarter) are left
out: nobody can be asked about them. `serves` is whom `train` would choose by rank correlation at an earlier cut-off,
which the log is long enough for at the last cut-off only. The sequence reader is not among them: it takes a first
reader's windows, and windows after it, which do not fit into this log before August.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.baselines.bg_nbd import BGNBD
from intently.baselines.last_weeks import LastWeeks
from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.baselines.lightgbm_hurdle import LightGBMHurdle
from intently.baselines.past_spend import PastSpend
from intently.contract import Past, Scores, pooled, weekly
from intently.evaluate.compare import compare
from intently.learn.blend import blended
from intently.learn.trained import BLEND
from intently.log import schema
from intently.log.log import Log
from intently.tasks.purchasing_power import TASK

RESULTS = Path(__file__).parent / "results"
HORIZON = timedelta(days=90)
POWER = replace(
    TASK,
    name="purchasing_power_90",
    horizon=HORIZON,
    wording={"en": "How much will this customer spend in the next 90 days?", "zh": "该顾客未来 90 天会消费多少?"},
)
METRICS = (
    "spearman",
    "norm_gini",
    "mae",
    "rmse",
    "pinball",
    "coverage_90",
    "total_ratio",
    "decile_ratio",
    "decile_total_ratio",
)
LAST = datetime(2011, 7, 2, tzinfo=UTC)
CUTOFFS = [LAST - timedelta(days=14 * back) for back in range(5, -1, -1)]
OURS = ("lightgbm_hurdle", BLEND)


def main() -> None:
    file = Path(os.environ.get("INTENTLY_DATA", "")) / "online_retail.parquet"
    if not file.is_file():
        print("INTENTLY_DATA does not name a folder with online_retail.parquet.")
        return
    log = shop(file)
    parts, scores, seconds = [], {}, {}
    for at in CUTOFFS:
        known = log.before(at)
        lessons = POWER.examples(known, windows(known, at))
        asked = POWER.examples(log, [at])
        parts.append(asked)
        past, questions = Past(known, lessons), asked.hide()
        now = Past(known, questions)
        for predictor in predictors():
            begin = time.perf_counter()
            answer = predictor.fit(lessons, past).predict(questions, now)
            seconds.setdefault(predictor.name, []).append(round(time.perf_counter() - begin, 2))
            scores.setdefault(predictor.name, []).append(answer)
        scores.setdefault(BLEND, []).append(mixture({name: each[-1] for name, each in scores.items() if name != BLEND}))
    found = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "cutoffs": [f"{at:%Y-%m-%d}" for at in CUTOFFS],
        "examples": sum(map(len, parts)),
        "customers": pooled(parts).asked.n_unique(),
        "serves": serves(log, LAST),
        "fit_and_predict_seconds": seconds,
        "pooled": told(pooled(parts), scores),
        "by_cutoff": {
            f"{part.cutoffs[0]:%Y-%m-%d}": values(part, {name: [each[i]] for name, each in scores.items()})
            for i, part in enumerate(parts)
        },
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "purchasing_power.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["pooled"], indent=1))


def shop(file: Path) -> Log:
    """Online Retail in our schema: cancellations (their numbers begin with C) are returns."""
    rows = pl.read_parquet(file).filter(pl.col("CustomerID").is_not_null())
    back = pl.col("InvoiceNo").str.starts_with("C")
    units = pl.col("Quantity").abs().cast(pl.Float64)
    local = pl.col("InvoiceDate").dt.replace_time_zone("Europe/London")
    events = rows.select(
        pl.col("CustomerID").alias(schema.USER),
        pl.col("StockCode").alias(schema.ITEM),
        pl.when(back).then(pl.lit(schema.RETURN)).otherwise(pl.lit(schema.BUY)).alias(schema.TYPE),
        local.dt.convert_time_zone("UTC").alias(schema.TIME),
        units.alias(schema.QUANTITY),
        (units * pl.col("UnitPrice")).alias(schema.AMOUNT),
        pl.col("InvoiceNo").alias(schema.SESSION),
    )
    title = pl.col("Description").drop_nulls().mode().sort().first()
    items = rows.group_by("StockCode", maintain_order=True).agg(title)
    items = items.select(
        pl.col("StockCode").alias(schema.ITEM),
        pl.coalesce("Description", "StockCode").alias(schema.TITLE),
    )
    span = {
        "observed_from": datetime(2010, 12, 1, tzinfo=UTC),
        "observed_until": datetime(2011, 9, 30, 23, tzinfo=UTC),
    }
    return Log.of(events, items, **span)


def predictors() -> list:
    return [LightGBMHurdle(), LightGBMCustomer(threads=1), BGNBD(), PastSpend(), LastWeeks()]


def windows(log: Log, at: datetime) -> list[datetime]:
    """Weekly cut-offs whose windows end by `at`, none in the first four weeks of the log."""
    return weekly(log.observed_from + timedelta(days=28), at - timedelta(days=91))


def serves(log: Log, until: datetime) -> str:
    """The best by rank correlation at the last cut-off whose window ends by `until`, fitted on windows before it."""
    at = until - timedelta(days=91)
    known = log.before(at)
    lessons, asked = POWER.examples(known, windows(known, at)), POWER.examples(log.before(until), [at])
    past, now = Past(known, lessons), Past(known, asked.hide())
    scores = {p.name: p.fit(lessons, past).predict(asked.hide(), now) for p in predictors()}
    return compare(POWER, asked, scores, replicates=10, rng=np.random.default_rng(0)).best(POWER.name)


def mixture(scores: Mapping[str, Scores]) -> Scores:
    """The trees, the hurdle and past spend in equal parts: what a training blends only beside a reader."""
    return blended([scores[name] for name in ("lightgbm", "lightgbm_hurdle", "past_spend")], None, 0.0)


def joined(scores: dict) -> dict:
    return {
        name: replace(each[0], values=np.concatenate([one.values for one in each])) for name, each in scores.items()
    }


def values(examples, scores: dict) -> dict:
    report = compare(POWER, examples, joined(scores), names=METRICS, replicates=10, rng=np.random.default_rng(0))
    return {name: {m: round(report.score(name, POWER.name, m).value, 4) for m in METRICS} for name in scores}


def told(examples, scores: dict) -> dict:
    """Every metric with its interval, and what ours has over the others; positive is better."""
    report = compare(POWER, examples, joined(scores), names=METRICS, rng=np.random.default_rng(0))

    def numbers(interval) -> list[float]:
        return [round(value, 4) for value in (interval.value, interval.low, interval.high)]

    return {
        "scores": {name: {m: numbers(report.score(name, POWER.name, m)) for m in METRICS} for name in scores},
        "differences": {
            f"{ours} over {name}": {m: numbers(report.difference(ours, name, POWER.name, m)) for m in METRICS}
            for ours in OURS
            for name in scores
            if name != ours
        },
    }


if __name__ == "__main__":
    main()
