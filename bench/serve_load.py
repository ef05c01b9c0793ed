"""How many requests a second a service answers, and how late, with an open-loop load on the same machine.

    .venv/bin/python bench/serve_load.py --bundle out/demo/bundle --data out/demo/data --seconds 300

Requests are due at fixed times whether or not earlier ones were answered, and are late from when they were due: a
service that falls behind cannot hide it. 70 % scores, 20 % recommendations over the whole catalogue, 10 % events, of
all customers alike; every request carries a key. Answers may be given again for `--reuse` seconds while nothing
happened to a customer, as by default, and the share of those is told. Beside it, on the same machine with the same
load: a FastAPI application that does nothing, and one LightGBM booster behind FastAPI whose features are ready in
memory. Then one customer after another, at once and ten a second: an event, and the score that has seen it. Adds a
line to bench/results/serve_load.jsonl.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil

RESULTS = Path(__file__).parent / "results" / "serve_load.jsonl"
CONNECTIONS = 128
GIVE_UP = 10.0

NOOP = """
import sys, uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/{rest:path}")
async def nothing(rest: str): return {"ok": True}
@app.post("/{rest:path}")
async def taken(rest: str): return {"ok": True}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
"""

PEER = """
import sys, uvicorn, lightgbm, numpy as np
from fastapi import FastAPI
rng = np.random.default_rng(0)
x = rng.normal(size=(5000, 120)).astype(np.float32)
booster = lightgbm.train({"num_leaves": 24, "verbose": -1, "num_threads": 1}, lightgbm.Dataset(x, x[:, 0]), 300)
app = FastAPI()
@app.get("/{rest:path}")
async def score(rest: str):
    row = hash(rest) % len(x)
    return {"probability": float(booster.predict(x[row : row + 1], num_threads=1)[0])}
@app.post("/{rest:path}")
async def taken(rest: str): return {"ok": True}
uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
"""


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--bundle", type=Path, default=Path("out/demo/bundle"))
    asked.add_argument("--data", default="out/demo/data")
    asked.add_argument("--state", help="a state to go on with; a new one without it")
    asked.add_argument("--now", default="2018-01-02")
    asked.add_argument("--rate", type=float, default=500.0)
    asked.add_argument("--seconds", type=float, default=60.0)
    asked.add_argument("--reuse", type=float, default=300.0)
    asked.add_argument("--settle", type=float, default=30.0, help="seconds between the start and the first request")
    asked.add_argument("--warm", type=float, default=15.0, help="seconds of load before anything is counted")
    asked.add_argument("--exported", action="store_true", help="serve what `intently export` wrote beside the bundle")
    asked.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    given = asked.parse_args()
    if not (given.bundle / "contract.json").is_file():
        print(f"skipped: there is no bundle in {given.bundle}; make one with `intently demo`.")
        return
    told = {
        "command": " ".join(["python", "bench/serve_load.py", *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",  # noqa: TID251 - the date of the measurement
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load_before": round(os.getloadavg()[0], 1),
        "rate": given.rate,
        "reuse_seconds": given.reuse,
    }
    if given.peers:
        for name, code in (("noop", NOOP), ("lightgbm_peer", PEER)):
            with tempfile.TemporaryDirectory() as folder:
                process, port = start([sys.executable, "-c", code], Path(folder))
                told[name] = load(port, "none", ["c1"] * 500, given, process.pid, min(given.seconds, 30.0), [1])
                end(process)
    told["service"] = service(given)
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(told) + "\n")
    print(json.dumps(told, indent=1))


def service(given: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        state = given.state or f"sqlite:///{folder}/state.db"
        words = [sys.executable, "-m", "intently", "serve", str(given.bundle), "--data", given.data, "--state", state]
        words += ["--now", given.now, "--reuse", str(given.reuse), "--rate", "100000", "--log-level", "warning"]
        words += ["--exported"] if given.exported else []
        process, port = start(words, Path(folder), port_word="--port")
        key = key_of(state)
        from intently.log.log import Log

        log = Log.read(given.data)
        users = log.pack.user_ids.cast(str).to_list()
        items = log.items["item_id"].to_list()[:2000]
        time.sleep(given.settle)
        told = load(port, key, users, given, process.pid, given.seconds, items, probed=True)
        for name, pause in (("fresh", 0.0), ("fresh_every_tenth_of_a_second", 0.1)):
            told[name] = asyncio.run(fresh(port, key, users, items, given.now, pause))
        text = asyncio.run(metrics(port, key))
        told["reused_of_answers"] = ratio(text)
        told["exit_code"] = end(process)
    return told


def start(words: list[str], folder: Path, port_word: str | None = None) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [*words, *([port_word] if port_word else []), str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(words, env=environment, stdout=said, stderr=said)
    for _ in range(3000):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return process, port
        except OSError:
            if process.poll() is not None:
                raise SystemExit((folder / "said").read_text()) from None
            time.sleep(0.1)
    raise SystemExit("it did not start")


def end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def key_of(state: str) -> str:
    words = [sys.executable, "-m", "intently", "keys", "create", state, "--scope", "admin", "--label", "bench"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def load(
    port: int, key: str, users: list[str], given, pid: int, seconds: float, items: list, *, probed: bool = False
) -> dict:
    process = psutil.Process(pid)
    asyncio.run(drive(port, key, users, items, given.rate, given.warm, given.now, 1))
    before, cpu, begun = process.memory_info().rss, process.cpu_times(), time.perf_counter()
    mine = time.process_time()
    late, statuses, waited = asyncio.run(watched(port, key, users, items, given, seconds, probed))
    took = time.perf_counter() - begun
    after = process.cpu_times()
    return {
        "seconds": round(took, 1),
        "requests": int(sum(statuses.values())),
        "answered_a_second": round(sum(n for s, n in statuses.items() if s in ("200", "201")) / took, 1),
        "statuses": dict(statuses),
        "latency_ms": {kind: spread(values) for kind, values in late.items()},
        "server_cpu_share": round((after.user + after.system - cpu.user - cpu.system) / took, 2),
        "generator_cpu_share": round((time.process_time() - mine) / took, 2),
        "memory_mb": [round(before / 1e6), round(process.memory_info().rss / 1e6)],
    } | ({"fresh_meanwhile": waited} if waited else {})


async def watched(port: int, key: str, users: list[str], items: list, given, seconds: float, probed: bool) -> tuple:
    """The load, and beside it `fresh` once a second where it is asked for."""
    probes = fresh(port, key, users, items, given.now, 1.0, int(seconds * 0.9)) if probed else asyncio.sleep(0)
    (late, statuses), waited = await asyncio.gather(
        drive(port, key, users, items, given.rate, seconds, given.now, 2), probes
    )
    return late, statuses, waited


def spread(values: list[float]) -> dict[str, float]:
    ms = np.array(values) * 1000
    return {f"p{q:g}": round(float(np.percentile(ms, q)), 2) for q in (50, 90, 99, 99.9)} | {"n": len(values)}


async def drive(
    port: int, key: str, users: list[str], items: list, rate: float, seconds: float, now: str, seed: int
) -> tuple[dict[str, list[float]], Counter[str]]:
    rng = random.Random(seed)
    pool: asyncio.Queue = asyncio.Queue()
    for _ in range(CONNECTIONS):
        pool.put_nowait(None)
    late: dict[str, list[float]] = {"scores": [], "recommendations": [], "events": [], "all": []}
    statuses: Counter[str] = Counter()
    began, tasks = time.perf_counter(), set()
    clock = datetime.fromisoformat(now).replace(tzinfo=UTC)

    async def one(kind: str, sent: bytes, due: float) -> None:
        connection = await pool.get()
        try:
            if connection is None:
                connection = await asyncio.open_connection("127.0.0.1", port)
            status, _ = await asyncio.wait_for(exchange(connection, sent), GIVE_UP)
            statuses[status] += 1
            for name in (kind, "all"):
                late[name].append(time.perf_counter() - due)
            pool.put_nowait(connection)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            statuses[type(error).__name__] += 1
            pool.put_nowait(None)

    for number in range(int(rate * seconds)):
        due = began + number / rate
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        kind, sent = request(rng, key, users, items, clock)
        task = asyncio.create_task(one(kind, sent, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    while not pool.empty():
        connection = pool.get_nowait()
        if connection is not None:
            connection[1].close()
    return late, statuses


def request(rng: random.Random, key: str, users: list[str], items: list, clock: datetime) -> tuple[str, bytes]:
    draw, user = rng.random(), rng.choice(users)
    if draw < 0.7:
        return "scores", get(f"/v1/users/{user}/scores", key)
    if draw < 0.9:
        return "recommendations", get(f"/v1/users/{user}/recommendations", key)
    when = clock - timedelta(seconds=rng.random() * 3600)
    return "events", post_event(rng, key, user, items, when)


def post_event(rng: random.Random, key: str, user: str, items: list, when: datetime) -> bytes:
    event = {"user_id": user, "event_type": "buy", "item_id": rng.choice(items), "timestamp": when.isoformat()}
    body = json.dumps(event | {"amount": 3.5, "quantity": 1}).encode()
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str, key: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


async def exchange(connection, sent: bytes) -> tuple[str, bytes]:
    reader, writer = connection
    writer.write(sent)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1])) if length else b""
    return head[9:12].decode(), body


async def fresh(
    port: int, key: str, users: list[str], items: list, now: str, pause: float, count: int = 300
) -> dict[str, float]:
    """An event is posted; the time from then to the answer that has seen it. One customer after another.

    Without a pause the rankings of the one before are still being made meanwhile.
    """
    rng, waits = random.Random(5), []
    connection = await asyncio.open_connection("127.0.0.1", port)
    clock = datetime.fromisoformat(now).replace(tzinfo=UTC)
    for _ in range(count):
        user = rng.choice(users)
        _, before = await exchange(connection, get(f"/v1/users/{user}/scores", key))
        await asyncio.sleep(pause)
        begun = time.perf_counter()
        await exchange(connection, post_event(rng, key, user, items, clock))
        _, after = await exchange(connection, get(f"/v1/users/{user}/scores", key))
        waits.append(time.perf_counter() - begun)
        # The load may have sent one of the same customer meanwhile.
        assert json.loads(after)["events"] > json.loads(before)["events"]
    connection[1].close()
    return spread(waits)


async def metrics(port: int, key: str) -> str:
    connection = await asyncio.open_connection("127.0.0.1", port)
    _, body = await exchange(connection, get("/metrics", key))
    connection[1].close()
    return body.decode()


def ratio(text: str) -> float:
    def total(name: str) -> float:
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    reused, made = total("intently_answers_reused_total"), total("intently_answers_total")
    return round(reused / max(reused + made, 1), 3)


if __name__ == "__main__":
    main()
