"""The one thread that writes events: a fault of any kind is told to who waits, and where it has ended nobody waits."""

from __future__ import annotations

from contextlib import nullcontext

import polars as pl
import pytest

from intently.errors import StateError
from intently.serve.writer import Writer


class Store:
    """One whose every append does what it is told to."""

    def __init__(self, append) -> None:
        self.append, self.alone = append, nullcontext


def panic(*_: object) -> None:
    """What polars raises where it meets a fault of its own: no Exception."""
    raise pl.exceptions.PanicException("index out of bounds")


def test_a_panic_is_told_to_who_waits_and_the_thread_goes_on() -> None:
    acts = [panic, lambda events: list(events)]
    writer = Writer(Store(lambda events: acts.pop(0)(events)), lambda placed: None)
    with pytest.raises(RuntimeError, match="PanicException: index out of bounds"):
        writer.put(["an event"]).result(5)
    assert writer.put(["an event"]).result(5) == ["an event"]
    assert writer.lives
    writer.close()
    assert not writer.lives


def test_where_the_thread_has_ended_nobody_waits_and_the_service_is_not_ready(client, service, admin) -> None:
    service.ready.set()
    # Nothing that is known ends the thread: this stands in for a fault of our own.
    service.writer._queue.put("no post at all")
    service.writer._thread.join(5)
    with pytest.raises(StateError, match="Start the service again"):
        service.writer.put([]).result(5)
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert "writes events" in answer.json()["detail"]
    event = {"user_id": "c001", "event_type": "view", "timestamp": "2024-01-01T00:00:00Z"}
    assert client.post("/v1/events", json=event, headers=admin).status_code == 503
