"""What ranking a whole catalogue costs in the reader's way and in the exact one, in CPU seconds.

    OMP_NUM_THREADS=1 .venv/bin/python bench/whole_catalogue.py

As many customers and items as Complete Journey has, asked in blocks as the reader asks, one thread. The reader's way
also moves single logits. Vectors are drawn.
Writes bench/results/whole_catalogue.json.
"""

from __future__ import annotations

import json
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from intently.learn.whole_catalogue import Memories, WholeCatalogue
from intently.ranking.top import Catalogue

RESULTS = Path(__file__).parent / "results"
CUSTOMERS, ITEMS, WIDTH, K, BLOCK, MET = 2_469, 92_331, 64, 100, 256, 60


def main() -> None:
    rng = np.random.default_rng(0)
    queries, vectors = (rng.normal(0, 0.5, (rows, WIDTH)).astype(np.float32) for rows in (CUSTOMERS, ITEMS))
    bias = rng.standard_normal(ITEMS).astype(np.float32)
    row = np.repeat(np.arange(CUSTOMERS), MET)
    memory = Memories(row, rng.integers(ITEMS, size=len(row)), rng.standard_normal(len(row)).astype(np.float32))
    reader, exact = WholeCatalogue.of(vectors, bias), Catalogue(vectors, bias)
    starts = range(0, CUSTOMERS, BLOCK)
    blocks = [queries[begin : begin + BLOCK] for begin in starts]
    found = {
        "date": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "command": "OMP_NUM_THREADS=1 bench/whole_catalogue.py",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, shared; CPU seconds",
        "customers": CUSTOMERS,
        "items": ITEMS,
        "width": WIDTH,
        "reader": spent(lambda: [reader.best(queries, memory, begin, begin + BLOCK, K) for begin in starts]),
        "exact": spent(lambda: [exact.top(some, K) for some in blocks]),
    }
    (RESULTS / "whole_catalogue.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def spent(work, runs: int = 3) -> float:
    """CPU seconds, the least of some runs."""
    seconds = []
    for _ in range(runs):
        begun = time.process_time()
        work()
        seconds.append(time.process_time() - begun)
    return min(seconds)


if __name__ == "__main__":
    main()
