"""Events on their way to disk: what waits together is written in one transaction."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from intently.errors import StateError
from intently.serve.event import Event, Placed
from intently.serve.faults import plain_fault
from intently.serve.store import Store

_SAY = logging.getLogger("intently.serve")
_MOST = 2_000
_WAITING = 10_000

Settled = list[Placed | None]


class Writer:
    """One thread that appends to a store, and then tells `placed` (the cache of pasts) before it acknowledges."""

    def __init__(self, store: Store, placed: Callable[[Sequence[Placed]], None]) -> None:
        self._store = store
        self._placed = placed
        self._queue: queue.Queue[tuple[Sequence[Event], Future[Settled]] | None] = queue.Queue(_WAITING)
        self._ended = threading.Event()
        self._at_work = False
        self._thread = threading.Thread(target=self._run, name="intently-writer", daemon=True)
        self._thread.start()

    def put(self, events: Sequence[Event]) -> Future[Settled]:
        """Write events; the future is done when they are on disk. Raises StateError where too many wait."""
        future: Future[Settled] = Future()
        try:
            self._queue.put_nowait((events, future))
        except queue.Full:
            raise StateError("Too many events wait to be written.", mend="Send them again in a moment.") from None
        if not self.lives:
            self._leave()
        return future

    @property
    def waiting(self) -> int:
        """How many posts wait."""
        return self._queue.qsize()

    @property
    def busy(self) -> bool:
        """Whether any event is on its way to disk."""
        return self.lives and (self._at_work or self.waiting > 0)

    @property
    def lives(self) -> bool:
        """Whether anybody still writes."""
        return not self._ended.is_set()

    def close(self) -> None:
        """Write what waits, then stop."""
        if self.lives:
            self._queue.put(None)
        self._thread.join(timeout=30)

    def _leave(self) -> None:
        """Say to all who still wait that nobody writes any more."""
        with contextlib.suppress(queue.Empty):
            while True:
                left = self._queue.get_nowait()
                if left is not None and left[1].set_running_or_notify_cancel():
                    told = StateError("The thread that writes events has ended.", mend="Start the service again.")
                    left[1].set_exception(told)

    def _run(self) -> None:
        try:
            self._write_all()
        except BaseException:
            _SAY.exception("the thread that writes events has ended")
        finally:
            # In this order: who puts something meanwhile either is still seen here, or sees that it has ended.
            self._ended.set()
            self._leave()

    def _write_all(self) -> None:
        stop = False
        while not stop:
            first = self._queue.get()
            if first is None:
                return
            self._at_work = True
            posts = [first]
            count = len(first[0])
            while count < _MOST:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stop = True
                    break
                posts.append(more)
                count += len(more[0])
            self._write(posts)
            self._at_work = False

    def _write(self, posts: Sequence[tuple[Sequence[Event], Future[Settled]]]) -> None:
        # Who has gone meanwhile is told nothing, and what they sent is written all the same.
        waiting = [future.set_running_or_notify_cancel() for _, future in posts]
        events = [event for post, _ in posts for event in post]
        try:
            # Nobody is forgotten between the two: what was deleted would come back into memory.
            with self._store.alone():
                settled = self._store.append(events)
                self._placed([one for one in settled if one is not None])
        except BaseException as error:
            # Whatever it was, who waits must hear of it.
            for (_, future), there in zip(posts, waiting, strict=True):
                if there:
                    future.set_exception(plain_fault(error))
            return
        start = 0
        for (post, future), there in zip(posts, waiting, strict=True):
            if there:
                future.set_result(settled[start : start + len(post)])
            start += len(post)
