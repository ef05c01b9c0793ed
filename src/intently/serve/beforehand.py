"""What is made before anybody asks: pasts and answers at the start, and kept answers made anew while nobody waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from intently.errors import StateError
from intently.serve.kept import Kept, Key
from intently.serve.loader import Loader
from intently.serve.models import Line, Served
from intently.serve.monitor import Monitor
from intently.serve.onlookers import Onlookers
from intently.serve.pasts import History, Pasts
from intently.serve.store import Store
from intently.serve.told import Told
from intently.serve.worker import Worker, tell

_SAY = logging.getLogger("intently.serve")
# Customers who are answered for at the start, and how many of them together.
_FORESEEN, _TOGETHER = 5_000, 4
# Customers whose pasts are read at the start, and the part of the memory for pasts that they may take.
_FILLED, _ROOM = 50_000, 0.8


# What lets more urgent things go first, in the middle of an answer by a model, until something is so.
GiveWay = Callable[[Served | None, Callable[[], bool]], None]


class Beforehand:
    """Fills `pasts` and `kept` once, in a thread of its own, and renews what is kept, in the worker's.

    `line` says who serves, `now` is the service's time. `between` is called in the middle of renewing, in the worker's
    thread: whoever asks meanwhile need not wait for the end of it.
    """

    def __init__(
        self,
        kept: Kept,
        pasts: Pasts,
        line: Callable[[], Line],
        loader: Loader,
        monitor: Monitor,
        onlookers: Onlookers,
        now: Callable[[], int],
        give_way: GiveWay,
    ) -> None:
        self._give_way = give_way
        self._kept, self._pasts, self._line = kept, pasts, line
        self._loader, self._monitor, self._onlookers, self._now = loader, monitor, onlookers, now
        self._closing = threading.Event()
        self._filling: threading.Thread | None = None

    def start(self, store: Store, worker: Worker, most_events: int, *, foresee: bool) -> None:
        """Fill in the background, up to a part of so many events; `foresee` asks for answers too."""
        self._filling = threading.Thread(
            target=self._fill, args=(store, worker, most_events, foresee), name="intently-fill", daemon=True
        )
        self._filling.start()

    def stop(self) -> None:
        """Fill no more."""
        self._closing.set()

    def join(self) -> None:
        """Wait until nothing is being filled."""
        if self._filling is not None:
            self._filling.join(timeout=30)

    def _fill(self, store: Store, worker: Worker, most_events: int, foresee: bool) -> None:
        """Read the pasts of the customers seen last, while there is room, and answer before they are asked about."""
        forgettings, filled = self._kept.forgettings, []
        try:
            for user in store.busiest(_FILLED):
                if self._closing.is_set() or self._pasts.events > _ROOM * most_events:
                    break
                if self._kept.forgettings != forgettings:
                    # Whoever was forgotten meanwhile may be among them.
                    return
                self._pasts.of(user)
                filled.append(user)
            if foresee:
                self.foresee(worker, filled[:_FORESEEN], forgettings)
        except StateError as error:
            _SAY.warning("pasts are read when they are asked for: %s", error)

    def foresee(self, worker: Worker, users: Sequence[str], forgettings: int) -> None:
        """Answer every question about these customers before it is asked, a few at a time and while nobody waits.

        It ends where a customer is forgotten after so many `forgettings`.
        """
        for start in range(0, len(users), _TOGETHER):
            while worker.waiting:
                if self._closing.wait(0.05):
                    return
            if self._closing.is_set() or self._kept.forgettings != forgettings:
                return
            line = self._line()
            served = line.champion
            mine = [user for user in users[start : start + _TOGETHER] if line.of(user, served.tasks) is served]
            histories = [self._pasts.of(user) for user in mine]
            keys = [Key(user, served.tasks, served, served.shelf.edition) for user in mine]
            # As if they had been asked about: what they do next makes it due again.
            asked = self._now()
            try:
                told = worker.ask(histories, served.tasks, served).result() if mine else []
            except StateError:
                # The worker has ended.
                return
            except Exception:
                _SAY.exception("customers could not be answered for beforehand")
                continue
            for key, history, one in zip(keys, histories, told, strict=True):
                self._kept.put(key, history, one, asked, forgettings)
            self._onlookers.see(line, histories, told)

    def renew(self) -> bool:
        """Make an answer anew that will be asked for again; whether there was one. In the worker, when idle.

        One at a time: four together cost half as much, but who asks meanwhile would wait for four.
        """
        forgettings, due = self._kept.forgettings, self._kept.due()
        if due is None:
            return False
        self._give_way(None, lambda: False)
        key, asked = due
        self._loader.refresh(key.served)
        history = self._pasts.peek(key.user)
        now = replace(key, edition=key.served.shelf.edition)
        if history is not None and key.served in self._line().loaded and not self._kept.holds(now, history):
            self._make(now, history, asked, forgettings)
            self._monitor.renewed.inc()
        return True

    def _make(self, key: Key, history: History, asked: int, forgettings: int) -> None:
        """Answers to the questions of `key` about a customer; who asks for less than all of them gets that earlier."""
        served = key.served
        first = tuple(name for name in key.tasks if name in served.but_rankings)
        halves = [replace(key, tasks=first)] if 0 < len(first) < len(key.tasks) else []
        # What is made earlier is found earlier by who asks meanwhile.
        waiting = [(one, self._kept.begin(one, history)) for one in (*halves, key)]

        def give(told: Sequence[Told] | None) -> None:
            one, future = waiting.pop(0)
            if told is not None:
                self._kept.put(one, history, told[0], asked, forgettings)
            self._kept.end(one)
            future.set_result(None if told is None else told[0])

        def between() -> None:
            # Who waits for this very answer was there first.
            self._give_way(served, lambda: self._kept.awaited(key.user))

        try:
            told = tell(served, [history], key.tasks, self._now(), self._monitor, halfway=give, between=between)
            give(told)
            self._onlookers.see(self._line(), [history], told)
        finally:
            while waiting:
                give(None)
