"""Features of a past computed once for all predictors that ask for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from weakref import WeakKeyDictionary

from intently.contract import Past
from intently.log.pack import Array

Named = tuple[Array, tuple[str, ...]]


@dataclass(eq=False)
class _Entry:
    found: Named | None = None
    lock: Lock = field(default_factory=Lock)


class Once:
    """Remembers features (n, k) and their names as long as their past lives. Who asks for what is being made waits."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: WeakKeyDictionary[Past, _Entry] = WeakKeyDictionary()

    def of(self, past: Past, make: Callable[[], Named]) -> Named:
        """What `make` gives for this past; or the rows of what was made for a past that holds all its examples."""
        entry, rows = self._entry(past)
        with entry.lock:
            if entry.found is None:
                entry.found = make()
        values, names = entry.found
        return (values if rows is None else values[rows]), names

    def _entry(self, past: Past) -> tuple[_Entry, Array | None]:
        with self._lock:
            if past in self._entries:
                return self._entries[past], None
            for other, entry in self._entries.items():
                rows = past.rows_in(other)
                if rows is not None:
                    return entry, rows
            return self._entries.setdefault(past, _Entry()), None
