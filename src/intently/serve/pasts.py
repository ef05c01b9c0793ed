"""Recent pasts in memory, with a bound; what is not there is read from the store."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from intently.log.pack import UNKNOWN, Array
from intently.serve.event import Placed
from intently.serve.store import Store

_ARRAYS = ("known", "time", "item", "event_type", "quantity", "amount")
_TYPES = {"known": np.int64, "time": np.int64, "item": np.int32, "event_type": np.int32}


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """One customer's events as arrays, by known time and then by time; codes are the store's.

    `last` is the newest event's number. A history never changes: an event makes a new one, so that a reader keeps what
    it has begun with.
    """

    known: Array
    time: Array
    item: Array
    event_type: Array
    quantity: Array
    amount: Array
    extra: Mapping[str, Array]
    last: int = 0

    def __len__(self) -> int:
        return len(self.known)

    @property
    def mark(self) -> tuple[int, int]:
        """What tells it from the same customer's history at another time."""
        return self.last, len(self)

    @property
    def newest(self) -> int:
        """When the newest event became known, 0 where there is none."""
        return int(self.known[-1]) if len(self.known) else 0


def nothing(extras: Sequence[str] = ()) -> History:
    """The history of someone never seen."""
    known, time, item, kind, quantity, amount = (np.zeros(0, dtype=_TYPES.get(name, np.float32)) for name in _ARRAYS)
    extra = {name: np.zeros(0, dtype=np.float32) for name in extras}
    return History(known, time, item, kind, quantity, amount, extra)


class Pasts:
    """The histories of the customers seen last: at most so many events in all, and 32 customers at least."""

    def __init__(self, store: Store, most_events: int = 5_000_000) -> None:
        self._store = store
        self._most = most_events
        self._kept: OrderedDict[str, History] = OrderedDict()
        self._events = 0
        self._lock = threading.Lock()
        self._reading: dict[str, object] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def events(self) -> int:
        """How many events are in memory."""
        return self._events

    def peek(self, user: str) -> History | None:
        """A customer's history if it is in memory."""
        with self._lock:
            found = self._kept.get(user)
            if found is not None:
                self._kept.move_to_end(user)
                self.hits += 1
            return found

    def of(self, user: str) -> History:
        """A customer's history as it stands now."""
        while True:
            with self._lock:
                found = self._kept.get(user)
                if found is not None:
                    self._kept.move_to_end(user)
                    self.hits += 1
                    return found
                self.misses += 1
                mark = self._reading[user] = object()
            read = self._read(user)
            with self._lock:
                # What was stored or forgotten while this was being read may not be in it: then it is read again.
                if self._reading.get(user) is mark:
                    del self._reading[user]
                    self._keep(user, read)
                    return read

    def add(self, placed: Sequence[Placed]) -> None:
        """Take events that are durable into the histories in memory; of others nothing need be known here."""
        with self._lock:
            for one in placed:
                self._reading.pop(one.event.user, None)
                found = self._kept.get(one.event.user)
                if found is not None and one.seq > found.last:
                    self._keep(one.event.user, _with(found, one))

    def forget(self, users: Sequence[str]) -> None:
        """Drop customers from memory, and what is being read of anybody just now."""
        with self._lock:
            self._reading.clear()
            for user in users:
                gone = self._kept.pop(user, None)
                self._events -= 0 if gone is None else len(gone)

    def clear(self) -> None:
        """Drop everything from memory."""
        with self._lock:
            self._reading.clear()
            self._kept.clear()
            self._events = 0

    def _keep(self, user: str, history: History) -> None:
        if not len(history):
            # Whoever asks about made-up customers must fill no memory.
            return
        old = self._kept.pop(user, None)
        self._kept[user] = history
        self._events += len(history) - (0 if old is None else len(old))
        while self._events > self._most and len(self._kept) > 32:
            _, gone = self._kept.popitem(last=False)
            self._events -= len(gone)

    def _read(self, user: str) -> History:
        try:
            return self._stored(user)
        except KeyError:
            # What a row names is not known for the moment between its commit and the end of the writing.
            with self._store.alone():
                return self._stored(user)

    def _stored(self, user: str) -> History:
        rows = self._store.rows_of(user)
        types, items, extras = self._store.types, self._store.items, self._store.extras
        if not rows:
            return nothing(list(extras))
        seq, time, known, kind, item, quantity, amount, extra = zip(*rows, strict=True)
        more: list[dict[str, float]] = [{} if text is None else json.loads(text) for text in extra]
        return History(
            known=np.array(known, dtype=np.int64),
            time=np.array(time, dtype=np.int64),
            item=np.array([UNKNOWN if one is None else items[one] for one in item], dtype=np.int32),
            event_type=np.array([types[one] for one in kind], dtype=np.int32),
            quantity=_number(quantity),
            amount=_number(amount),
            extra={name: _number([row.get(name) for row in more]) for name in extras},
            last=max(seq),
        )


def history_of(placed: Sequence[Placed]) -> History:
    """A history of events that are not in the store: one that was posted with the question."""
    found = nothing()
    for one in sorted(placed, key=lambda each: (each.event.known, each.event.timestamp, each.seq)):
        found = _with(found, one)
    return found


def _with(history: History, placed: Placed) -> History:
    """A history with one more event, at its place in time; after those that were known and happened when it did."""
    event = placed.event
    first, stop = (int(np.searchsorted(history.known, event.known, side=side)) for side in ("left", "right"))
    place = first + int(np.searchsorted(history.time[first:stop], event.timestamp, side="right"))
    values = {
        "known": event.known,
        "time": event.timestamp,
        "item": placed.item_code,
        "event_type": placed.kind_code,
        "quantity": event.quantity or 0.0,
        "amount": event.amount or 0.0,
    }
    arrays = {name: np.insert(getattr(history, name), place, values[name]) for name in _ARRAYS}
    extra = {
        name: np.insert(
            history.extra.get(name, np.zeros(len(history), np.float32)), place, event.extra.get(name) or 0.0
        )
        for name in {**history.extra, **event.extra}
    }
    return History(**arrays, extra=extra, last=max(placed.seq, history.last))


def _number(values: Sequence[float | None]) -> Array:
    return np.array([0.0 if value is None else value for value in values], dtype=np.float32)
