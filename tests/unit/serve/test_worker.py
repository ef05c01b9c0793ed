"""The one thread that answers: who has gone does not end it, and where it has ended nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import polars as pl
import pytest

from intently.errors import StateError
from intently.serve.monitor import Monitor
from intently.serve.worker import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker(lambda: 0, Monitor(), lambda: False, lambda _: None)
    yield made
    made.close()


def test_who_has_gone_before_their_turn_does_not_end_the_thread(worker) -> None:
    hold, ran = threading.Event(), []
    first = worker.call(hold.wait)
    gone = worker.call(lambda: ran.append("gone"))
    assert gone.cancel()
    hold.set()
    assert first.result(5)
    assert worker.call(lambda: "still here").result(5) == "still here"
    assert worker.lives
    assert not ran


def test_what_fails_is_told_to_who_asked(worker) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.call(lambda: 1 // 0).result(5)
    assert worker.lives


def panic(*_: object) -> bool:
    """What polars raises where it meets a fault of its own: no Exception."""
    raise pl.exceptions.PanicException("index out of bounds")


def test_a_panic_of_polars_is_told_to_who_asked_and_the_thread_goes_on(caplog) -> None:
    worker = Worker(lambda: 0, Monitor(), panic, panic)
    with pytest.raises(RuntimeError, match="PanicException: index out of bounds"):
        worker.ask([[]], ("purchase_intent",), object()).result(5)
    with pytest.raises(RuntimeError, match="PanicException"):
        worker.call(panic).result(5)
    assert worker.call(lambda: "still here").result(5) == "still here"
    assert "a question could not be answered" in caplog.text
    worker._queue.put(panic)
    worker._thread.join(5)
    assert not worker.lives
    assert "the thread that answers has ended" in caplog.text


def in_the_middle(monkeypatch) -> tuple[Worker, threading.Event, list[str]]:
    """A worker in the middle of what can wait, an event upon which it answers who asks, and what is done by then."""
    began, asked, done = threading.Event(), threading.Event(), []
    monkeypatch.setattr("intently.serve.worker.tell", lambda served, histories, *_, **__: list(histories))

    def idle() -> bool:
        if not done:
            began.set()
            assert asked.wait(5)
            worker.attend()
            done.append("what can wait")
        return False

    worker = Worker(lambda: 0, Monitor(), idle, lambda _: None)
    assert began.wait(5)
    return worker, asked, done


def test_who_asks_in_the_middle_of_what_can_wait_is_answered_first(monkeypatch) -> None:
    worker, asked, done = in_the_middle(monkeypatch)
    futures = {
        "a question": worker.ask(["a history"], ("purchase_intent",), object()),
        "a call": worker.call(lambda: "called"),
        "another question": worker.ask(["another"], ("purchase_intent",), object()),
    }
    for name, future in futures.items():
        future.add_done_callback(lambda _, name=name: done.append(name))
    asked.set()
    assert [future.result(5) for future in futures.values()] == [["a history"], "called", ["another"]]
    worker.close()
    # Calls run between batches, in order: behind one nothing is brought forward.
    assert done == ["a question", "what can wait", "a call", "another question"]


def test_a_wake_does_not_hold_up_who_asks_behind_it(monkeypatch) -> None:
    worker, asked, done = in_the_middle(monkeypatch)
    worker.wake()
    worker.ask(["a history"], ("purchase_intent",), object()).add_done_callback(lambda _: done.append("a question"))
    asked.set()
    worker.close()
    assert done == ["a question", "what can wait"]


def test_where_the_thread_has_ended_nobody_waits(worker) -> None:
    worker.close()
    assert not worker.lives
    with pytest.raises(StateError, match="thread that answers has ended"):
        worker.call(lambda: None).result(5)


def test_a_service_whose_thread_has_ended_is_not_ready(client, service) -> None:
    assert client.get("/ready").status_code == 503
    service.ready.set()
    assert client.get("/ready").status_code == 200
    service.worker.close()
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert "thread" in answer.json()["detail"]


def test_what_waits_when_the_thread_ends_by_a_fault_is_told_so(worker) -> None:
    hold = threading.Event()
    worker.call(hold.wait)
    # Nothing that is known ends the thread: this stands in for a fault of our own.
    worker._queue.put(lambda: 1 // 0)
    waiting, gone = worker.call(lambda: "answered"), worker.call(lambda: "answered")
    assert gone.cancel()
    hold.set()
    with pytest.raises(StateError, match="Start the service again"):
        waiting.result(5)
    assert not worker.lives


def test_a_service_whose_thread_has_ended_says_so_and_what_to_do(client, service, admin) -> None:
    service.ready.set()
    service.worker._queue.put(lambda: 1 // 0)
    for method, path, body in (
        ("GET", "/v1/users/c001/scores", None),
        ("GET", "/v1/users/c001/scores?tasks=purchase_intent", None),
        ("POST", "/v1/scores/batch", {"user_ids": ["c001"]}),
        ("POST", "/v1/scores", {"events": []}),
    ):
        answer = client.request(method, path, json=body, headers=admin)
        assert answer.status_code == 503, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert "Start the service again" in answer.json()["detail"]
        assert answer.headers["retry-after"]
    assert client.get("/ready").status_code == 503
    assert client.get("/health").status_code == 200
