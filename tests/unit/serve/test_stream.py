"""Events from a real broker: each counted once, poison set aside with its reason, a broker that comes back."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from intently.errors import ConfigError, StateError
from intently.serve.clock import written
from intently.serve.stream import Consumer, Source

pytest.importorskip("faststream", reason="FastStream is not installed")
SERVER = Path(sys.executable).with_name("nats-server")


class Broker:
    """nats-server with JetStream, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        program = str(SERVER) if SERVER.exists() else shutil.which("nats-server")
        if program is None:
            pytest.skip("a broker is not to be had: no nats-server")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._words = [program, "-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(self.port)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._listens)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def publish(self, *bodies: bytes) -> None:
        asyncio.run(self._publish(bodies))

    async def _publish(self, bodies: tuple[bytes, ...]) -> None:
        import nats

        connection = await nats.connect(self.url)
        stream = connection.jetstream()
        await stream.add_stream(name="EVENTS", subjects=["shop.>"])
        for body in bodies:
            await stream.publish("shop.events", body)
        await connection.close()

    def waiting(self) -> int:
        async def ask() -> int:
            import nats

            connection = await nats.connect(self.url)
            told = await connection.jetstream().consumer_info("EVENTS", "intently")
            await connection.close()
            return told.num_pending + told.num_ack_pending

        return asyncio.run(ask())


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path / "broker")
    yield made
    made.end()


def until(holds, seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def event(service, number: int, **more: object) -> bytes:
    when = written(service.clock.now() - 1_000_000)
    told = {"event_id": f"n{number}", "user_id": "streamed", "event_type": "view", "item_id": 1001, "timestamp": when}
    return json.dumps(told | more).encode()


def kept(service) -> list[str]:
    return [row["event_id"] for row in service.store.known_of("streamed")["events"]]


def test_each_message_counts_once_and_poison_is_set_aside(broker, service) -> None:
    nameless = json.dumps({k: v for k, v in json.loads(event(service, 0)).items() if k != "event_id"}).encode()
    poison = (
        b"not json at all, call 13912348765",
        event(service, 8, amount="NaN"),
        event(service, 9, item_id="no number"),
    )
    broker.publish(event(service, 1), *poison, event(service, 2), event(service, 1), nameless)
    reader = Consumer(Source.written(f"{broker.url}/EVENTS?subject=shop.events"), service)
    reader.start()
    until(lambda: len(kept(service)) == 3)
    until(lambda: broker.waiting() == 0)
    assert sorted(kept(service)) == ["EVENTS:7", "n1", "n2"]
    letters = service.store.dead_letters()
    assert len(letters) == 3
    assert {letter["reason"].split(":")[0] for letter in letters} >= {"amount", "message"}
    assert any("whole number" in letter["reason"] for letter in letters)
    assert not any("13912348765" in letter["body"] for letter in letters)
    reader.close()


def test_a_broker_that_restarts_loses_none(broker, service) -> None:
    broker.publish(event(service, 1))
    reader = Consumer(Source.written(f"{broker.url}/EVENTS?subject=shop.events"), service)
    reader.start()
    until(lambda: len(kept(service)) == 1)
    broker.end()
    time.sleep(0.5)
    broker.start()
    broker.publish(event(service, 2), event(service, 3))
    until(lambda: len(kept(service)) == 3)
    reader.close()


def test_while_the_state_is_away_messages_wait(broker, service, monkeypatch) -> None:
    plain, away = service.store.append, [True]

    def append(events):
        if away[0]:
            raise StateError("The state's database does not answer.", mend="Try again.")
        return plain(events)

    monkeypatch.setattr(service.store, "append", append)
    monkeypatch.setattr("intently.serve.stream._AGAIN", 0.2)
    broker.publish(event(service, 1), b"poison")
    reader = Consumer(Source.written(f"{broker.url}/EVENTS?subject=shop.events"), service)
    reader.start()
    time.sleep(1.5)
    assert kept(service) == []
    away[0] = False
    until(lambda: kept(service) == ["n1"])
    until(lambda: len(service.store.dead_letters()) == 1)
    reader.close()


@pytest.mark.parametrize("url", ["kafka://x/y", "nats://host", "nats://host/a/b", "nats:///x"])
def test_what_is_no_stream_is_said(url: str) -> None:
    with pytest.raises(ConfigError, match="nats://host"):
        Source.written(url)
