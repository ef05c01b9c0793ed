"""How fast a log is checked: Complete Journey as it is, and with faults of every kind sown into it.

    POLARS_MAX_THREADS=1 .venv/bin/python bench/checking.py

Events a CPU-second on one core, the best of five: setting rows aside (what every verb does), and that with all findings
(what `intently check` does).
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

# Polars counts its threads when it is loaded.
os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl

from intently.log import complete_journey, schema
from intently.log.check import checked

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    log = complete_journey.read()
    found = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}, polars {pl.__version__}",
        "date": f"{datetime.fromtimestamp(time.time(), UTC):%Y-%m-%d}",
        "command": " ".join([f"POLARS_MAX_THREADS={pl.thread_pool_size()}", "python", *sys.argv]),
        "events": len(log.events),
        "sound": speed(log.events, log),
        "spoilt": speed(spoilt(log.events), log),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "checking.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def spoilt(events: pl.DataFrame) -> pl.DataFrame:
    """One row in a hundred has one of five faults; one in a hundred is said again; no order."""
    row = pl.int_range(pl.len())
    late = pl.col(schema.TIME) + pl.duration(hours=row % 48)
    changed = events.with_columns(
        pl.when(row % 500 != 0).then(schema.TIME).alias(schema.TIME),
        pl.when(row % 500 != 1).then(schema.TYPE).alias(schema.TYPE),
        pl.when(row % 500 != 2).then(schema.USER).alias(schema.USER),
        pl.when(row % 500 == 3)
        .then(float("nan"))
        .when(row % 500 == 4)
        .then(-1.0)
        .otherwise(schema.AMOUNT)
        .alias("amount"),
        pl.when(row % 5 == 0).then(late).alias(schema.ARRIVED),
    ).drop(schema.SESSION)
    return pl.concat([changed, changed.gather_every(100)]).sample(fraction=1, shuffle=True, seed=1)


def speed(events: pl.DataFrame, log) -> dict:
    """Events a CPU-second without and with the findings, and how many rows are set aside."""
    aside, everything = [], []
    until = log.observed_until + timedelta(days=3)
    for _ in range(5):
        begin = time.process_time()
        found = checked(events, log.items, log.users, until)
        aside.append(time.process_time() - begin)
        _ = found.findings
        everything.append(time.process_time() - begin)
    return {
        "rows": len(events),
        "set_aside": found.rows_read - len(found.events),
        "events_a_second": round(len(events) / min(aside)),
        "events_a_second_with_findings": round(len(events) / min(everything)),
    }


if __name__ == "__main__":
    main()
