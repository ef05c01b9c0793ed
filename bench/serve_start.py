"""What a service takes to start, and to hold: with torch, and by what was exported alone.

    .venv/bin/python bench/serve_start.py BUNDLE --data DATA --now 2017-09-11

BUNDLE has been exported (`intently export`). The state is made once, beforehand. Each service is started twice in
turns; seconds of processor and of the clock until it is ready, and its memory then and after scores and recommendations
of some customers. Forecasts run in a process of their own, which is ended at once.
Writes bench/results/serve_start.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from serving import Serving

RESULTS = Path(__file__).parent / "results"
CUSTOMERS, ROUNDS = 30, 2
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    words = argparse.ArgumentParser()
    words.add_argument("bundle", type=Path)
    words.add_argument("--data", type=Path, required=True)
    words.add_argument("--now", required=True)
    given = words.parse_args()
    events = next(given.data.glob("events*.parquet"))
    users = pl.scan_parquet(events).select(pl.col("user_id").unique().sort()).head(CUSTOMERS).collect().to_series()
    ways: dict[str, tuple[str, ...]] = {"torch": (), "exported": ("--exported",)}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = Serving(given.bundle, folder / "first", given.data, more=("--now", given.now, "--exported"))
        first.start(900).end(patience=300)
        for number in range(ROUNDS):
            for name, more in ways.items():
                found[name].append(one(given, folder / f"{name}{number}", first, more, [str(user) for user in users]))
    told = {
        "date": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "command": "bench/serve_start.py BUNDLE --data DATA --now " + given.now,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared; load {os.getloadavg()[0]:.1f}",
        "customers": CUSTOMERS,
        **{name: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for name, rows in found.items()},
        "packages_bytes": {name: size_of(name) for name in ("torch", "transformers", "onnxruntime")},
    }
    (RESULTS / "serve_start.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


def one(given, folder: Path, first: Serving, more: tuple[str, ...], users: list[str]) -> dict[str, float]:
    shutil.copytree(first.folder / "state", folder / "state")
    serving = Serving(given.bundle, folder, more=("--now", given.now, *more), key=first.key)
    begun = time.monotonic()
    serving.start(900)
    ready = time.monotonic() - begun
    busy, held = processor(serving), memory(serving)
    for child in psutil.Process(serving.process.pid).children():
        child.kill()
    for user in users:
        for what in ("scores", "recommendations"):
            assert serving.ask("GET", f"/v1/users/{user}/{what}?max_age=0", timeout=300)[0] == 200
    after = memory(serving)
    serving.end(patience=300)
    told = {"ready_seconds": ready, "ready_processor_seconds": busy, "megabytes_ready": held, "megabytes_after": after}
    return {name: round(value, 2) for name, value in told.items()}


def processor(serving: Serving) -> float:
    """Seconds of processor that the process has used."""
    told = Path(f"/proc/{serving.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(told[11]) + int(told[12])) / TICKS


def memory(serving: Serving) -> float:
    """Megabytes that the process holds."""
    told = Path(f"/proc/{serving.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in told.splitlines() if line.startswith("VmRSS")) / 1e3


def size_of(package: str) -> int:
    """Bytes that a package takes on disk."""
    from importlib.metadata import distribution

    files = (file.locate() for file in distribution(package).files or ())
    return sum(Path(file).stat().st_size for file in files if Path(file).is_file())


if __name__ == "__main__":
    main()
