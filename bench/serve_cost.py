"""What one answer of a service costs in processor time, without HTTP and without waiting.

    .venv/bin/python bench/serve_cost.py --bundle out/demo/bundle --data out/demo/data --now 2018-01-02

One process, one thread that computes. Customers are drawn at random, their pasts are in memory, nothing is kept: what
a question about one customer costs, what each of sixteen costs that wait together, for scores and for recommendations
over the whole catalogue; then what an answer costs that is given again. Median over customers and the 10th and 90th
percentile, in milliseconds of processor time. Writes bench/results/serve_cost.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from intently.cli import console
from intently.cli.serve import clock_from
from intently.serve import run
from intently.serve.service import Service
from intently.serve.store import Store
from intently.ship.bundle import load

RESULTS = Path(__file__).parent / "results" / "serve_cost.json"
TOGETHER = 16


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--bundle", type=Path, default=Path("out/demo/bundle"))
    asked.add_argument("--data", default="out/demo/data")
    asked.add_argument("--now", default="2018-01-02")
    asked.add_argument("--customers", type=int, default=320)
    given = asked.parse_args()
    if not (given.bundle / "contract.json").is_file():
        print(f"skipped: there is no bundle in {given.bundle}; make one with `intently demo`.")
        return
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/state.db")
        run.take_log(store, given.data, lambda *_: None)
        tasks = console.every_task()
        service = Service(
            store,
            given.bundle,
            lambda one: load(one, tasks, threads=1),
            clock=clock_from(given.now),
            forecaster=lambda *_: [],
        )
        service.start()
        for thread in threading.enumerate():
            if thread.name == "intently-fill":
                thread.join()
        told = asyncio.run(measured(service, given.customers))
        service.close()
    about = {
        "command": " ".join(["python", "bench/serve_cost.py", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",  # noqa: TID251 - the date of the measurement
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "customers": given.customers,
        "load_before": round(os.getloadavg()[0], 1),
    }
    RESULTS.write_text(json.dumps(about | {"ms_of_processor": told}, indent=1) + "\n")
    print(RESULTS.read_text())


async def measured(service: Service, customers: int) -> dict[str, dict[str, float]]:
    users = service.store.users(limit=1_000_000)
    random.Random(3).shuffle(users)
    users = users[:customers]
    for user in users:
        service.pasts.of(user)
    rankings = tuple(name for name in service.models.champion.tasks if name == "next_item")
    scores = tuple(name for name in service.models.champion.tasks if name not in rankings)
    groups = [users[start : start + TOGETHER] for start in range(0, customers, TOGETHER)]
    found = {}
    for name, tasks in (("scores", scores), ("recommendations", rankings)):
        # Whatever is made once is made before anything is counted.
        await service.answer(groups[0], tasks, reuse=0)
        found[f"{name}, one customer"] = spread([await cost(service, [user], tasks, 0) for user in users])
        found[f"{name}, each of {TOGETHER}"] = spread([await cost(service, group, tasks, 0) for group in groups])
        again = []
        for user in users:
            await service.answer([user], tasks)
            again.append(await cost(service, [user], tasks, None))
        found[f"{name}, given again"] = spread(again)
    return found


async def cost(service: Service, users: list[str], tasks: tuple[str, ...], reuse: float | None) -> float:
    begun = time.process_time()
    await service.answer(users, tasks, reuse=reuse)
    return (time.process_time() - begun) * 1000 / len(users)


def spread(costs: list[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(costs, q)), 3) for q in (10, 50, 90)} | {"n": len(costs)}


if __name__ == "__main__":
    main()
