"""Scores as they are asked for: one thread, which answers together what waits together."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from intently.contract import Scores
from intently.errors import StateError
from intently.learn.breath import breathing
from intently.serve.faults import plain_fault
from intently.serve.models import Served
from intently.serve.monitor import Monitor
from intently.serve.pasts import History
from intently.serve.standing import Standing
from intently.serve.told import Told

_SAY = logging.getLogger("intently.serve")
# Of 16 customers together each costs 5.8 ms of processor (Complete Journey), of 48 it is 8.7: histories are padded.
_MOST_CUSTOMERS = 16
_MOST_EVENTS = 60_000


class Wake:
    """Something may be there for `idle` to find: it wakes who waits, and is nothing to be done in its turn."""


_WAKE = Wake()
# Seconds after which it is looked again whether there is something to do, where the last time ended in a fault.
_LOOK_AGAIN = 1.0


@dataclass(frozen=True, eq=False)
class Ask:
    """Some histories, what is asked of them, and of which model."""

    histories: Sequence[History]
    tasks: tuple[str, ...]
    served: Served
    future: Future[list[Told]] = field(default_factory=Future)


@dataclass(frozen=True, eq=False)
class Call:
    """Something to run between batches, unless who waited for it has gone."""

    act: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)

    def __call__(self) -> None:
        """Run it, in the thread of the models."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.act())
        except BaseException as error:
            self.future.set_exception(plain_fault(error))


class Worker:
    """The one thread that touches models. Calls (loading, warming, swapping) run between batches, in order.

    When nothing waits, it does what `idle` finds to do, a little at a time; `idle` says whether it found anything.
    Before a model answers, `fresh` makes its shelf name every kind of event that a history may hold.
    """

    def __init__(
        self, now: Callable[[], int], watch: Monitor, idle: Callable[[], bool], fresh: Callable[[Served], None]
    ) -> None:
        self._now, self._watch, self._idle, self._fresh = now, watch, idle, fresh
        self._queue: queue.Queue[Ask | Wake | Callable[[], None] | None] = queue.Queue()
        # What was taken from the queue, and is next. Of the thread alone.
        self._held: list[Ask | Callable[[], None] | None] = []
        self._ended, self._waking = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="intently-model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many questions wait."""
        return max(0, self._queue.qsize() - self._waking.is_set())

    @property
    def lives(self) -> bool:
        """Whether anybody still answers."""
        return not self._ended.is_set()

    def ask(self, histories: Sequence[History], tasks: tuple[str, ...], served: Served) -> Future[list[Told]]:
        """Scores of each history as of now, in order."""
        asked = Ask(histories, tasks, served)
        self._put(asked)
        return asked.future

    def call(self, act: Callable[[], Any]) -> Future[Any]:
        """Run something between batches, where no question is being answered."""
        called = Call(act)
        self._put(called)
        return called.future

    def wake(self) -> None:
        """There may be something to do for `idle`; where that was said already and not heard yet, once is enough."""
        if not self._waking.is_set():
            self._waking.set()
            self._queue.put(_WAKE)

    def close(self) -> None:
        """Answer what waits, then stop."""
        self._queue.put(None)
        self._thread.join(timeout=30)
        self._leave()

    def _put(self, one: Ask | Call) -> None:
        self._queue.put(one)
        if not self.lives:
            self._leave()

    def _leave(self) -> None:
        """Say to all who still wait that nobody answers any more."""
        with contextlib.suppress(queue.Empty):
            while True:
                left = self._queue.get_nowait()
                if isinstance(left, Ask | Call) and left.future.set_running_or_notify_cancel():
                    told = StateError("The thread that answers has ended.", mend="Start the service again.")
                    left.future.set_exception(told)

    def _run(self) -> None:
        try:
            self._answer_all()
        except BaseException:
            _SAY.exception("the thread that answers has ended")
        finally:
            for one in self._held:
                self._queue.put(one)
            # In this order: who puts something meanwhile either is still seen here, or sees that it has ended.
            self._ended.set()
            self._leave()

    def attend(
        self, patience: float = 0.0, during: Served | None = None, until: Callable[[], bool] = lambda: False
    ) -> None:
        """Answer what waits, in the middle of something that can wait. In the thread of the models alone.

        Where nothing waits, what comes within `patience` seconds is waited for. `during` is the model by which an
        answer is being made meanwhile, if one is: what was read for that one stays. It ends when `until` says so.
        """
        while not self._held and not until():
            try:
                first = self._taken(timeout=patience) if patience > 0 else self._taken(block=False)
            except queue.Empty:
                return
            patience = 0.0
            if isinstance(first, Ask):
                self._answer_with(first, during)
            elif not isinstance(first, Wake):
                self._held.append(first)

    def _taken(self, *, block: bool = True, timeout: float | None = None) -> Ask | Wake | Callable[[], None] | None:
        """What waits longest. Raises queue.Empty where nothing does."""
        first = self._queue.get(block, timeout)
        if first is _WAKE:
            # Before it is looked what there is to do: who says so from now on is heard.
            self._waking.clear()
        return first

    def _answer_all(self) -> None:
        while True:
            first = self._held.pop() if self._held else self._next()
            if first is None:
                return
            if isinstance(first, Ask):
                self._answer_with(first)
            elif not isinstance(first, Wake):
                first()

    def _answer_with(self, first: Ask, during: Served | None = None) -> None:
        """Answer a question and what waits behind it; `during` as `attend` has it."""
        # Who has gone meanwhile is not answered; who is still there cannot go any more.
        for group in _alike([ask for ask in self._gather(first) if ask.future.set_running_or_notify_cancel()]):
            self._answer(group, keep=group[0].served is during)

    def _next(self) -> Ask | Wake | Callable[[], None] | None:
        """What waits; until something does, what there is to do meanwhile."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._taken(block=False)
            failed = False
            try:
                found = self._idle()
            except BaseException:
                _SAY.exception("what was to be done meanwhile failed")
                found, failed = False, True
            if self._held:
                return self._held.pop()
            if failed:
                # A wake-up may have been heard in the middle of it, of which nothing came.
                with contextlib.suppress(queue.Empty):
                    return self._taken(timeout=_LOOK_AGAIN)
            elif not found:
                return self._taken()

    def _gather(self, first: Ask) -> list[Ask]:
        """What waits behind a question and may be answered with it; what may not is held."""
        batch = [first]
        customers, events = len(first.histories), sum(map(len, first.histories))
        while customers < _MOST_CUSTOMERS and events < _MOST_EVENTS:
            try:
                more = self._taken(block=False)
            except queue.Empty:
                break
            if isinstance(more, Wake):
                continue
            if not isinstance(more, Ask):
                self._held.append(more)
                break
            batch.append(more)
            customers += len(more.histories)
            events += sum(map(len, more.histories))
        return batch

    def _answer(self, asks: Sequence[Ask], *, keep: bool) -> None:
        histories = [history for ask in asks for history in ask.histories]
        try:
            self._watch.batch.observe(len(histories))
            self._fresh(asks[0].served)
            at = self._now()
            told = tell(asks[0].served, histories, asks[0].tasks, at, self._watch, keep=keep)
        except BaseException as error:
            _SAY.exception("a question could not be answered")
            for ask in asks:
                ask.future.set_exception(plain_fault(error))
            return
        start = 0
        for ask in asks:
            ask.future.set_result(told[start : start + len(ask.histories)])
            start += len(ask.histories)


def tell(
    served: Served,
    histories: Sequence[History],
    tasks: Sequence[str],
    at: int,
    watch: Monitor | None = None,
    halfway: Callable[[list[Told]], None] | None = None,
    between: Callable[[], None] | None = None,
    *,
    keep: bool = False,
) -> list[Told]:
    """Scores of histories at one time, by the served predictors: what `intently predict` does with the same pasts.

    `watch` looks once a second at how far what is asked about is from what was learned from. Rankings come last, and
    take as long as all the rest: `halfway` is handed what is told by then, where there is both. `between` is called
    between two questions, and where an answer stops for breath: there what is more urgent may be done. With `keep` what
    was read of the histories stays in memory: by the same model another answer is being made, which ends with all of it
    forgotten.
    """
    standing = Standing.of(served.shelf, histories)
    ask = standing.asked(at)
    found: dict[str, Scores] = {}
    tasks = sorted(tasks, key=lambda name: name not in served.but_rankings)
    rankings = next((number for number, name in enumerate(tasks) if name not in served.but_rankings), 0)

    def told() -> list[Told]:
        return [
            Told(
                served.version,
                at,
                {name: scores.take(np.array([row])) for name, scores in found.items()},
                int(standing.pending[row]),
            )
            for row in range(len(histories))
        ]

    try:
        for number, name in enumerate(tasks):
            if halfway is not None and number == rankings and number:
                halfway(told())
            if between is not None and number:
                between()
            examples, past = ask(served.trained.task(name))
            with breathing(between):
                found[name] = served.trained.answer(examples, past)
            if name == tasks[-1] and watch is not None and served.trained.reader is not None and watch.looks(at):
                watch.inputs(served.trained.reader.newest.numbers.apply(past))
    finally:
        # The next question is of another past; this one must not outlive a forgetting.
        if not keep:
            served.trained.forget_pasts()
    return told()


def _alike(asks: Sequence[Ask]) -> list[list[Ask]]:
    groups: dict[tuple[int, tuple[str, ...]], list[Ask]] = {}
    for ask in asks:
        groups.setdefault((id(ask.served), ask.tasks), []).append(ask)
    return list(groups.values())
