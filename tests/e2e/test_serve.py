"""The real service as a process: faults that must lose nothing, and the guide's own commands."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psutil
import pytest

import served_shop
from commands import intently
from intently.serve.bring import log_of
from intently.serve.keys import Keys
from intently.serve.store import Store
from serving import Serving, asked

NOW = "2024-09-10"
USERS = [f"c{number:03}" for number in range(120)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return served_shop.written(tmp_path_factory)


@pytest.fixture
def serving(shop: tuple[Path, Path], tmp_path: Path) -> Iterator[Serving]:
    made = Serving(shop[1], tmp_path / "s", shop[0], more=("--now", NOW))
    yield made
    if made.process is not None:
        made.end(signal.SIGKILL)


def event(number: int) -> dict[str, object]:
    when = datetime(2024, 9, 1, tzinfo=UTC) + timedelta(seconds=number)
    who = USERS[number % len(USERS)]
    return {"event_id": f"k{number}", "user_id": who, "event_type": "view", "item_id": 1000 + number % 200} | {
        "timestamp": when.isoformat()
    }


class Posters:
    """Threads that post events one by one and note which were acknowledged."""

    def __init__(self, serving: Serving, numbers: range, threads: int = 4) -> None:
        self.acknowledged: set[str] = set()
        self.failed = 0
        self._serving, self._numbers = serving, iter(numbers)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._serving.port, timeout=20)
        with contextlib.closing(connection):
            self._post(connection)

    def _post(self, connection: http.client.HTTPConnection) -> None:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            try:
                status, told = asked(connection, "POST", "/v1/events", event(number), self._serving.key)
            except (OSError, http.client.HTTPException):
                self.failed += 1
                return
            if status == 201:
                with self._lock:
                    self.acknowledged.update(told["event_ids"])
            else:
                self.failed += 1

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(120)


def killed_in_the_middle(serving: Serving, posts: int) -> None:
    serving.start()
    before = Store.open(serving.state)
    already = before.count()
    before.close()
    posters = Posters(serving, range(posts))
    while len(posters.acknowledged) < posts // 2:
        assert any(thread.is_alive() for thread in posters._threads)
        time.sleep(0.005)
    serving.end(signal.SIGKILL)
    posters.wait()
    assert posts // 2 <= len(posters.acknowledged) < posts
    store = Store.open(serving.state)
    ids = log_of(store).events["event_id"].to_list()
    assert posters.acknowledged <= set(ids), "an acknowledged event was lost"
    assert len(ids) == len(set(ids))
    store.close()
    serving.start()
    again = Posters(serving, range(posts))
    again.wait()
    assert again.failed == 0
    assert len(again.acknowledged) == posts
    serving.end()
    store = Store.open(serving.state)
    assert store.count() == already + posts, "sent again, each counts once"
    store.close()


def test_kill_9_among_posts_loses_none_and_doubles_none(serving: Serving) -> None:
    killed_in_the_middle(serving, 1_000)


@pytest.mark.slow
def test_kill_9_among_ten_thousand_posts_loses_none_and_doubles_none(serving: Serving) -> None:
    killed_in_the_middle(serving, 10_000)


def test_sigterm_finishes_what_was_begun_and_takes_no_more(serving: Serving) -> None:
    serving.start()
    posters = Posters(serving, range(100_000))
    while len(posters.acknowledged) < 50:
        time.sleep(0.005)
    assert serving.end() == 0
    posters.wait()
    store = Store.open(serving.state)
    assert posters.acknowledged <= set(log_of(store).events["event_id"].to_list())
    store.close()
    assert "Traceback" not in serving.said()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", serving.port), timeout=1)


def test_a_forecast_that_is_being_made_ends_with_the_service(serving: Serving) -> None:
    serving.start()
    assert serving.process is not None
    mine = psutil.Process(serving.process.pid)
    end = time.monotonic() + 30
    while not (made := [one for one in mine.children(recursive=True) if "forecast" in one.cmdline()]):
        assert time.monotonic() < end, "no forecast was begun"
        time.sleep(0.01)
    # However long it takes: this one would go on for ever.
    made[0].suspend()
    try:
        assert serving.end() == 0
        assert not made[0].is_running()
    finally:
        if made[0].is_running():
            made[0].kill()
    assert "no forecast" not in serving.said()


def test_fifty_slow_clients_do_not_hold_up_others(serving: Serving) -> None:
    serving.start()
    slow = []
    for number in range(50):
        one = socket.create_connection(("127.0.0.1", serving.port), timeout=10)
        head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {serving.key}\r\n"
        one.sendall((head + "Content-Length: 1000\r\n\r\n{").encode() if number % 2 else head[:40].encode())
        slow.append(one)
    waits = []
    for number in range(40):
        begun = time.monotonic()
        status, _ = serving.ask("GET", f"/v1/users/{USERS[number]}/scores")
        waits.append(time.monotonic() - begun)
        assert status == 200
    assert max(waits) < 2.0, waits
    for one in slow:
        one.close()


def test_who_has_no_key_is_refused_before_a_body_is_waited_for(serving: Serving) -> None:
    serving.start()
    with socket.create_connection(("127.0.0.1", serving.port), timeout=10) as one:
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n["
        )
        one.sendall(head.encode())
        assert one.recv(12) == b"HTTP/1.1 401"


def test_what_the_service_says_is_what_the_command_predicts(serving: Serving, shop, tmp_path: Path) -> None:
    serving.start()
    for number in range(60):
        assert serving.ask("POST", "/v1/events", event(number))[0] == 201
    asked_ = {"user_ids": USERS[:100], "tasks": ["purchase_intent", "purchasing_power", "next_item"], "most": 100}
    asked_["max_age"] = 0
    status, told = serving.ask("POST", "/v1/scores/batch", asked_)
    assert status == 200
    as_of = {one["as_of"] for one in told["results"]}
    assert len(as_of) <= 2, "a batch is of one time, or of two where it is long"
    serving.end()
    store = Store.open(serving.state)
    log_of(store).write(tmp_path / "log")
    store.close()
    compared = 0
    for when in as_of:
        out = tmp_path / "answers"
        done = intently("predict", shop[1], "--data", tmp_path / "log", "--at", when, "--out", out)
        assert done.returncode == 0, done.stderr[-2000:]
        for task in ("purchase_intent", "purchasing_power", "next_item"):
            frame = pl.read_parquet(out / f"{task}.parquet")
            for one in told["results"]:
                mine = frame.filter(user_id=one["user_id"])
                if one["as_of"] != when or mine.is_empty():
                    continue
                said = one["answers"][task]
                if task == "purchase_intent":
                    assert said["probability"] == pytest.approx(mine["score"][0], abs=1e-6)
                elif task == "purchasing_power":
                    assert said["mean"] == pytest.approx(mine["mean"][0], rel=1e-6, abs=1e-6)
                    assert said["high"] == pytest.approx(mine["high"][0], rel=1e-6, abs=1e-6)
                else:
                    assert [row["item_id"] for row in said["items"]] == mine["item_id"].to_list()
                    assert [row["score"] for row in said["items"]] == pytest.approx(mine["score"].to_list(), abs=1e-6)
                compared += 1
    assert compared >= 250


def test_a_second_service_on_a_state_is_refused_in_one_sentence(serving: Serving) -> None:
    serving.start()
    second = intently("serve", serving.bundle, "--state", serving.state, "--port", "0", timeout=180)
    assert second.returncode != 0
    assert "Another service writes to this state. End that one first" in second.stderr
    assert "Traceback" not in second.stderr
    assert serving.ask("POST", "/v1/events", event(1) | {"user_id": "a/b"})[0] == 201
    assert serving.ask("DELETE", "/v1/users/a%2Fb")[1]["events"] == 1, "and the first serves on"
    serving.end(signal.SIGKILL)
    serving.start()


def test_keys_are_made_listed_and_revoked_by_command(serving: Serving) -> None:
    serving.start()

    def keys(*words: str) -> str:
        done = intently("keys", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    made = keys("create", serving.state, "--scope", "read", "--label", "page")
    assert serving.ask("GET", "/v1/users/c001/scores", key=made)[0] == 200
    assert serving.ask("POST", "/v1/events", event(1), key=made)[0] == 403
    listed = json.loads(keys("list", serving.state, "--json"))
    assert [row["label"] for row in listed] == ["made at the first start", "page"]
    assert made not in json.dumps(listed)
    keys("revoke", serving.state, made.split("_")[1])
    time.sleep(1.1)
    assert serving.ask("GET", "/v1/users/c001/scores", key=made)[0] == 401
    assert made.split("_", 2)[2] not in serving.said()


def test_a_key_made_beside_holds_at_its_first_use_and_one_revoked_ends_though_others_make_keys_up(
    serving: Serving,
) -> None:
    serving.start()
    store = Store.open(serving.state)
    beside, ended, refused = Keys(store, lambda: 0), threading.Event(), []

    def make_up() -> None:
        while not ended.is_set():
            stranger = f"ik_{len(refused):012x}_{'A' * 43}"
            refused.append(serving.ask("GET", "/v1/users/c001/scores", key=stranger)[0])

    others = [threading.Thread(target=make_up) for _ in range(4)]
    for one in others:
        one.start()
    try:
        while len(refused) < 40:
            time.sleep(0.01)
        for _ in range(5):
            made = beside.make(["read"])
            assert serving.ask("GET", "/v1/users/c001/scores", key=made)[0] == 200
            beside.revoke(made.split("_")[1])
            revoked = time.monotonic()
            # A second, and what requests take on a busy machine.
            while serving.ask("GET", "/v1/users/c001/scores", key=made)[0] == 200:
                assert time.monotonic() - revoked < 5
    finally:
        ended.set()
        for one in others:
            one.join()
        store.close()
    assert {*refused} == {401}


GUIDE = Path(__file__).parents[2] / "docs" / "serve.md"


def test_the_guides_commands_do_what_it_says(serving: Serving) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    serving.python = sys.executable
    serving.start()
    environment = os.environ | {
        "URL": f"http://127.0.0.1:{serving.port}",
        "KEY": serving.key,
        "USER_ID": "c001",
        "ITEM_ID": "1003",
        "NOW": "2024-09-09T12:00:00Z",
    }
    told = []
    for block in re.findall(r"```bash\n(.*?)```", GUIDE.read_text(), re.DOTALL):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, (block, done.stderr, done.stdout)
        told.append(json.loads(done.stdout))
    before, posted, after = told[:3]
    assert posted["accepted"] == 1
    assert after["events"] == before["events"] + 1
    assert after["answers"]["purchase_intent"] != before["answers"]["purchase_intent"]
    streamed = next(one for one in told if "rejected" in one)
    assert (streamed["accepted"], streamed["rejected"]) == (1, 1)
    assert told[-1]["retrain"]["leave_out"] == ["c001"]
    client = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", client[1]], capture_output=True, text=True, env=environment)
    assert "purchase_intent" in done.stdout, done.stderr
    assert serving.end() == 0


def test_models_are_swapped_and_rolled_back_under_load_without_a_lost_request(
    shop, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    models = tmp_path / "models"
    shutil.copytree(shop[1], models / "first")
    shutil.copytree(served_shop.written(tmp_path_factory, seed=3)[1], models / "second")
    more = ("--now", NOW, "--models", str(models), "--reuse", "0")
    serving = Serving(models / "first", tmp_path / "s", shop[0], more=more).start()
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=30)
        with contextlib.closing(connection):
            while not stop.is_set():
                user = USERS[(number + len(seen)) % len(USERS)]
                status, told = asked(connection, "GET", f"/v1/users/{user}/scores", None, serving.key)
                seen.append((status, told.get("model_version", "")))

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    for path in ("second/swap", "rollback", "rollback", "first/swap", "rollback"):
        time.sleep(0.5)
        assert serving.ask("POST", f"/v1/models/{path}", {})[0] == 200
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert serving.end() == 0
    assert len(seen) > 50
    assert {status for status, _ in seen} == {200}
    assert len({version for _, version in seen}) == 2
    served = seen[-1][1]
    try:
        serving.start()
        assert serving.ask("GET", "/v1/users/c001/scores")[1]["model_version"] == served, "a swap outlives a restart"
    finally:
        serving.end()
