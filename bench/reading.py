"""How many events a second are read and mapped to our schema, on one core.

    POLARS_MAX_THREADS=1 .venv/bin/python bench/reading.py

Complete Journey's purchases (1,469,307 rows) are written as another shop would have them: its own names, times
without a zone, an amount to be worked out. The best of three runs counts (other work only slows), all three are kept.
Writes bench/results/reading.json.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from intently.log import complete_journey
from intently.log.log import Log
from intently.log.source import read_tables, settings_of

RESULTS = Path(__file__).parent / "results"
RUNS = 3
# Events a second on one core that the design asks for.
TARGETS = {"parquet": 500_000, "csv": 50_000, "csv.gz": 50_000, "jsonl": 50_000}

MAPPING = """
[data]
events = "{file}"
timezone = "America/New_York"
[data.columns]
user_id = "household"
item_id = "sku"
session_id = "Basket No"
timestamp = "sold at"
event_type = "CASE WHEN paid = 0 THEN 'coupon' ELSE 'buy' END"
quantity = "units"
amount = "paid * 1.0"
"""


def main() -> None:
    if pl.thread_pool_size() != 1:
        print("Set POLARS_MAX_THREADS=1: the figures are of one core.")
        sys.exit(1)
    events = complete_journey.read().events
    theirs = events.select(
        pl.col("user_id").alias("household"),
        pl.col("item_id").alias("sku"),
        pl.col("session_id").alias("Basket No"),
        pl.col("timestamp").dt.replace_time_zone(None).dt.to_string("%Y-%m-%d %H:%M:%S").alias("sold at"),
        pl.col("quantity").alias("units"),
        pl.col("amount").alias("paid"),
    )
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(theirs, folder)
        for kind, target in TARGETS.items():
            (folder / "intently.toml").write_text(MAPPING.format(file=f"orders.{kind}"))
            mapped, whole = [], []
            for _ in range(RUNS):
                begin, cpu = time.perf_counter(), time.process_time()
                tables = read_tables(settings_of(folder))
                mapped.append((time.perf_counter() - begin, time.process_time() - cpu))
                begin = time.perf_counter()
                log = Log.read(folder)
                whole.append(time.perf_counter() - begin)
            assert len(tables.events) == len(log.events) == len(theirs)
            speed = len(theirs) / min(wall for wall, _ in mapped)
            found[kind] = {
                "events_per_second": round(speed),
                "target": target,
                "met": speed >= target,
                "seconds_read_and_mapped": [round(wall, 2) for wall, _ in mapped],
                "cpu_seconds_read_and_mapped": [round(cpu, 2) for _, cpu in mapped],
                "seconds_with_checks_and_sorting": [round(one, 2) for one in whole],
                "megabytes": round((folder / f"orders.{kind}").stat().st_size / 1e6, 1),
            }
            print(kind, found[kind])
    content = {
        "rows": len(theirs),
        "read": found,
        "machine": {"processor": processor(), "cores": os.cpu_count(), "polars": pl.__version__, "threads": 1}
        | {"load_average": [round(one, 1) for one in os.getloadavg()]},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),  # noqa: TID251
        "command": "POLARS_MAX_THREADS=1 python bench/reading.py",
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "reading.json").write_text(json.dumps(content, indent=1) + "\n")


def write(theirs: pl.DataFrame, folder: Path) -> None:
    import gzip

    theirs.write_parquet(folder / "orders.parquet")
    theirs.write_csv(folder / "orders.csv")
    theirs.write_ndjson(folder / "orders.jsonl")
    (folder / "orders.csv.gz").write_bytes(gzip.compress((folder / "orders.csv").read_bytes(), 6))


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


if __name__ == "__main__":
    main()
