"""How long it takes to pack a hundred million events, in how much memory, and how fast pasts are read from the pack.

    python bench/pack_scale.py [FOLDER] [--events 100_000_000] [--pasts]

Events are made up (time-ordered, customers and items drawn by power laws, text ids, ten files) in FOLDER/shop unless
they are there; the pack goes to FOLDER/pack. Without FOLDER all is made in a temporary folder and removed. Making the
events is not counted. Writes results/pack_scale.json beside this file. With --pasts nothing is packed: the pack that is
in FOLDER is let go by the system's file cache, and only pasts are read; their figures go to results/pasts.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import Examples, Past
from intently.log.packed import PackedLog
from intently.tasks.purchase_intent import TASK

RESULTS = Path(__file__).parent / "results" / "pack_scale.json"
PASTS = RESULTS.with_name("pasts.json")
CUSTOMERS, ITEMS, FILES = 2_000_000, 1_000_000, 10
YEAR = 365 * 86_400 * 10**6
START = int(datetime(2023, 1, 1, tzinfo=UTC).timestamp()) * 10**6
HISTORIES, LAST, BATCH = 200_000, 64, 4_096


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--events", type=int, default=100_000_000)
    parser.add_argument("--pasts", action="store_true")
    asked = parser.parse_args()
    if asked.pasts:
        write(PASTS, only_pasts(asked.folder / "pack"))
        return
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="pack_scale"))
    try:
        if not (folder / "shop" / "made").exists():
            generate(folder / "shop" / "events", asked.events)
            (folder / "shop" / "made").touch()
        shutil.rmtree(folder / "pack", ignore_errors=True)
        shutil.rmtree(folder / "pack.part", ignore_errors=True)
        result = packed(folder) | {"pasts": pasts(folder / "pack")}
    finally:
        if asked.folder is None:
            shutil.rmtree(folder)
    write(RESULTS, result)


def write(file: Path, result: dict) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def generate(folder: Path, events: int) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    customers, items = powers(CUSTOMERS, 0.8, 50), powers(ITEMS, 0.9, 20)
    customer_ids = "c" + pl.Series(rng.permutation(CUSTOMERS)).cast(pl.String).str.zfill(9)
    item_ids = "sku-" + pl.Series(rng.permutation(ITEMS)).cast(pl.String).str.zfill(8)
    types = pl.Series(["view", "cart", "buy", "search", "review"])
    for file in range(FILES):
        size = events // FILES
        begin, end = (START + YEAR * edge // FILES for edge in (file, file + 1))
        kind = np.searchsorted([0.7, 0.8, 0.9, 0.97], rng.random(size))
        bought = pl.Series(kind == 2)
        frame = pl.DataFrame(
            {
                "user_id": customer_ids.gather(np.searchsorted(customers, rng.random(size))),
                "item_id": item_ids.gather(np.searchsorted(items, rng.random(size))),
                "event_type": types.gather(kind),
                "timestamp": pl.Series(np.sort(rng.integers(begin, end, size))).cast(pl.Datetime("us", "UTC")),
                "quantity": pl.Series(rng.integers(1, 4, size).astype(np.float64)),
                "amount": pl.Series(np.round(rng.gamma(2, 15, size), 2)),
                "discount": pl.Series(rng.random(size).astype(np.float32)),
            }
        )
        empty = pl.when(bought).then(pl.col("quantity", "amount"))
        frame.with_columns(empty).write_parquet(folder / f"{file:03}.parquet")


def powers(n: int, exponent: float, shift: float) -> np.ndarray:
    """Cumulative chances of n ranks, falling as (rank + shift) ** -exponent."""
    chance = (np.arange(n) + shift) ** -exponent
    running = np.cumsum(chance / chance.sum())
    running[-1] = 1.0
    return running


def packed(folder: Path) -> dict:
    """`intently pack` as a user runs it: one process, whose peak the system tells."""
    words = [sys.executable, "-m", "intently", "pack", "--data", folder / "shop", "--out", folder / "pack", "--json"]
    load, begin = os.getloadavg(), time.perf_counter()
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    wall, used = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    told = json.loads(done.stdout)
    size = sum(path.stat().st_size for path in (folder / "pack").rglob("*") if path.is_file())
    return {
        "command": f"python bench/pack_scale.py --events {told['events']}",
        "date": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_before_and_after": [load[0], os.getloadavg()[0]],
        "niceness": os.nice(0),
        "events": told["events"],
        "customers": told["customers"],
        "items": told["items"],
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_rss_gigabytes": round(used.ru_maxrss / 2**20, 2),
        "events_per_second": round(told["events"] / wall),
        "pack_gigabytes": round(size / 1e9, 2),
    }


def only_pasts(folder: Path) -> dict:
    """Pasts of a pack that is there, in no order, from maps not touched before: files on disk, and in the cache."""
    told = json.loads((folder / "pack.json").read_text())
    result: dict = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "niceness": os.nice(0),
        "events": told["events"],
    }
    for cached in (False, True):
        for file in () if cached else sorted((folder / "by_user").glob("*.npy")):
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        name = "files in the cache of the system" if cached else "files on disk alone"
        result[name] = pasts(folder, orders=("shuffled",))
    return result


def pasts(folder: Path, orders: tuple[str, ...] = ("shuffled", "by customer")) -> dict:
    """Histories a second of one process and one thread: whole pasts of 64 events, found by id and read."""
    log = PackedLog.open(folder)
    busy = np.flatnonzero(np.diff(log.pack.by_user.offsets) >= LAST)
    result: dict = {"histories": HISTORIES, "events_each": LAST, "batch": BATCH}
    for order in orders:
        rng = np.random.default_rng(0)
        asked = rng.choice(busy, HISTORIES)
        asked = asked if order == "shuffled" else np.sort(asked)
        at = pl.lit(log.observed_until).cast(pl.Datetime("us", "UTC")).alias("at")
        frame = pl.DataFrame({"user_id": log.pack.user_ids.gather(asked)}).with_columns(at)
        Past(log, Examples(TASK, frame[:1]))  # the index of ids is built once
        for reading in ("first", "second"):
            cpu, begin, events = time.process_time(), time.perf_counter(), 0
            for start in range(0, HISTORIES, BATCH):
                events += len(Past(log, Examples(TASK, frame[start : start + BATCH])).rows(last=LAST))
            wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
            assert events == HISTORIES * LAST
            name = f"{order}, {reading} reading"
            result[name] = {
                "histories_per_second": round(HISTORIES / wall),
                "histories_per_cpu_second": round(HISTORIES / cpu),
            }
    result["peak_rss_gigabytes"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    return result


if __name__ == "__main__":
    main()
