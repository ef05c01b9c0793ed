"""Answers that may be given again while nothing happened, and are made anew before they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from intently.serve.answers import plain
from intently.serve.models import Served
from intently.serve.pasts import History
from intently.serve.told import Told

_MOST = 100_000
# Of a history (`History.mark`): the history itself would stay in memory with its answer.
Mark = tuple[int, int]
Name = tuple[str, tuple[str, ...], str, int]
# An answer that is asked for again at this part of its time is made anew in the background.
_AGEING = 0.6


@dataclass(frozen=True)
class Answer:
    """One customer's answers as plain values, with what they were made of.

    `bodies` lives as long as the answer is kept: who writes it out may leave there what was written.
    """

    model: str
    as_of: int
    answers: dict[str, Any]
    events: int
    newest: int
    unread: int
    reused: bool
    bodies: dict[Any, bytes] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, told: Told, history: History, most: int) -> Answer:
        """An answer that was made just now."""
        answers = {name: plain(scores, most) for name, scores in told.scores.items()}
        return cls(told.model, told.as_of, answers, len(history), history.newest, told.unread, reused=False)


@dataclass(frozen=True, eq=False)
class Key:
    """Whose answers, to which questions, by which model, and of which catalogue (`Shelf.edition`)."""

    user: str
    tasks: tuple[str, ...]
    served: Served
    edition: int

    @property
    def name(self) -> Name:
        """What tells one from another."""
        return self.user, self.tasks, self.served.version, self.edition


def covers(more: Name, less: Name) -> bool:
    """Whether the answer of one name answers all that the other does: of the same user, by the same model."""
    return (more[0], *more[2:]) == (less[0], *less[2:]) and set(less[1]) <= set(more[1])


@dataclass
class _Entry:
    key: Key
    mark: Mark
    told: Told
    asked: int
    said: dict[str, Any] = field(default_factory=dict)
    bodies: dict[Any, bytes] = field(default_factory=dict)


@dataclass
class _Making:
    mark: Mark
    future: Future[Told | None]
    awaited: bool = False


class Kept:
    """Answers by customer, for `window` seconds at most.

    What was told of more questions answers fewer. Where something happened to a customer whose answers were asked for
    within that time, or such an answer ages, it is due: the worker makes it anew when nothing else waits, the newest
    first, and whoever asks next need not wait for it, or not for all of it.
    """

    def __init__(self, window: float, now: Callable[[], int], wake: Callable[[], None]) -> None:
        self._window, self._now, self._wake = round(window * 1e6), now, wake
        self._entries: OrderedDict[Name, _Entry] = OrderedDict()
        self._of_user: dict[str, set[Name]] = {}
        # In the order in which they became due; those that only age stand before all others.
        self._due: OrderedDict[Name, None] = OrderedDict()
        self._making: dict[Name, _Making] = {}
        self._forgettings = 0
        self._models: tuple[Served, ...] | None = None
        self._lock = threading.Lock()

    @property
    def forgettings(self) -> int:
        """How often customers were forgotten; what is read of a customer after this is asked for is safe to `put`."""
        return self._forgettings

    def told(
        self, user: str, history: History, served: Served, tasks: Sequence[str], window: float | None
    ) -> Told | None:
        """The scores of an answer that holds, as `get` gives it."""
        if self.get(user, history, served, tasks, 1, window) is None:
            return None
        with self._lock:
            entry = self._holding(user, history, served, tasks)
            return None if entry is None else entry.told

    def get(
        self, user: str, history: History, served: Served, tasks: Sequence[str], most: int, window: float | None
    ) -> Answer | None:
        """An answer that holds: nothing has happened since, and it is not older than the window."""
        limit = self._window if window is None else min(self._window, round(window * 1e6))
        if limit <= 0:
            return None
        now = self._now()
        with self._lock:
            entry = self._holding(user, history, served, tasks)
            if entry is None or now - entry.told.as_of > limit:
                return None
            self._entries.move_to_end(entry.key.name)
            wakes = now - entry.told.as_of > _AGEING * self._window and self._ages(entry.key.name)
            told = entry.told
            for task in tasks:
                if f"{task}:{most}" not in entry.said:
                    entry.said[f"{task}:{most}"] = plain(told.scores[task], most)
            answers = {task: entry.said[f"{task}:{most}"] for task in tasks}
        if wakes:
            self._wake()
        events, newest, bodies = len(history), history.newest, entry.bodies
        return Answer(told.model, told.as_of, answers, events, newest, told.unread, reused=True, bodies=bodies)

    def put(self, key: Key, history: History, told: Told, asked: int, forgettings: int) -> None:
        """Keep an answer that was made of a history read after so many `forgettings`.

        Not one that an event would change which becomes known only later, nor one of a time before somebody was
        forgotten: it may be of them. Nor one of a model that has ceased to serve while it was made.
        """
        if self._window <= 0 or history.newest >= told.as_of:
            return
        with self._lock:
            if forgettings != self._forgettings or (self._models is not None and key.served not in self._models):
                return
            before = self._entries.get(key.name)
            if before is not None and before.told.as_of > told.as_of:
                # Begun later, and ended earlier.
                return
            due = False
            for name in list(self._of_user.get(key.user, ())):
                # What answers no more than this, or from an older catalogue, need not be made anew beside it.
                older = name[2] == key.served.version and name[3] != key.edition
                if older or covers(key.name, name):
                    asked = max(asked, self._entries[name].asked)
                    due = due or name in self._due
                    self._drop(name)
            self._entries[key.name] = _Entry(key, history.mark, told, asked)
            if due:
                # Something may have happened while this was made; where nothing did, `holds` says so.
                self._due[key.name] = None
            self._of_user.setdefault(key.user, set()).add(key.name)
            while len(self._entries) > _MOST:
                self._drop(next(iter(self._entries)))

    def begin(self, key: Key, history: History) -> Future[Told | None]:
        """An answer is being made anew of a history. Who makes it calls `end`, then gives the future it, or None."""
        future: Future[Told | None] = Future()
        # Who waits and goes does not stop it.
        future.set_running_or_notify_cancel()
        with self._lock:
            self._making[key.name] = _Making(history.mark, future)
        return future

    def end(self, key: Key) -> None:
        """An answer is not being made any more."""
        with self._lock:
            self._making.pop(key.name, None)

    def making(self, user: str, history: History, served: Served, tasks: Sequence[str]) -> Future[Told | None] | None:
        """The answer that is being made just now, where it will answer these questions from this history."""
        with self._lock:
            asked = Key(user, tuple(tasks), served, served.shelf.edition).name
            for name, one in self._making.items():
                if one.mark == history.mark and covers(name, asked):
                    one.awaited = True
                    return one.future
        return None

    def awaited(self, user: str) -> bool:
        """Whether anybody waits for an answer about a customer that is being made anew."""
        with self._lock:
            return any(one.awaited for name, one in self._making.items() if name[0] == user)

    def stir(self, users: Iterable[str]) -> None:
        """Something happened to these customers: what was asked about them lately will be asked again.

        Who says so wakes the worker.
        """
        with self._lock:
            for user in users:
                names = self._of_user.get(user, set())
                for name in names:
                    # What another answers too is not made anew beside it.
                    if not any(other != name and covers(other, name) for other in names):
                        self._due[name] = None
                        self._due.move_to_end(name)

    def due(self) -> tuple[Key, int] | None:
        """An answer to make anew, the newest first, and when it was last asked for; None where there is none."""
        since = self._now() - self._window
        with self._lock:
            while self._due:
                name, _ = self._due.popitem()
                entry = self._entries.get(name)
                if entry is not None and entry.asked >= since:
                    return entry.key, entry.asked
        return None

    def holds(self, key: Key, history: History) -> bool:
        """Whether there is an answer already that is young and has seen all of a history."""
        with self._lock:
            entry = self._entries.get(key.name)
            young = entry is not None and self._now() - entry.told.as_of < _AGEING * self._window
            return young and entry is not None and entry.mark == history.mark

    def forget(self, users: Iterable[str]) -> None:
        """Drop every answer about these customers, and keep none that is being made."""
        with self._lock:
            self._forgettings += 1
            for user in users:
                for name in list(self._of_user.get(user, ())):
                    self._drop(name)

    def only(self, models: Collection[Served]) -> None:
        """Drop the answers of models that serve no more, and keep no further ones: they would keep them in memory."""
        with self._lock:
            self._models = tuple(models)
            for name, entry in list(self._entries.items()):
                if entry.key.served not in models:
                    self._drop(name)

    def __contains__(self, user: str) -> bool:
        """Whether anything about a customer is kept."""
        with self._lock:
            return user in self._of_user

    def _holding(self, user: str, history: History, served: Served, tasks: Sequence[str]) -> _Entry | None:
        """What answers these questions, and maybe more, from this history. That it was asked for is noted."""
        asked, now, found = Key(user, tuple(tasks), served, served.shelf.edition).name, self._now(), None
        for name in self._of_user.get(user, ()):
            if covers(name, asked):
                entry = self._entries[name]
                entry.asked = now
                if entry.mark == history.mark:
                    found = entry
        return found

    def _ages(self, name: Name) -> bool:
        """Put an answer among those to make anew, before all that were stirred; whether it was not there."""
        if name in self._due:
            return False
        self._due[name] = None
        self._due.move_to_end(name, last=False)
        return True

    def _drop(self, name: Name) -> None:
        entry = self._entries.pop(name)
        self._due.pop(name, None)
        mine = self._of_user[entry.key.user]
        mine.discard(name)
        if not mine:
            del self._of_user[entry.key.user]
