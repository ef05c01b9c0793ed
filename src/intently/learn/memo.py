"""What was read of the newest few pasts, so that several tasks share one reading, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from intently.contract import Past
from intently.log.pack import Array

_KEPT = 24

Found = TypeVar("Found")


@dataclass(eq=False)
class _Entry:
    what: str
    past: Past
    found: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Memo:
    """Remembers what was made of a past, by name. Who asks for what is being made waits for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []

    def of(self, what: str, past: Past, make: Callable[[], Found], part: Callable[[Found, Array], Found]) -> Found:
        """What `make` gives for this past; or `part` of what was made for a past that holds all its examples."""
        entry, rows = self._entry(what, past)
        with entry.lock:
            if entry.found is None:
                entry.found = make()
            found: Found = entry.found
        return found if rows is None else part(found, rows)

    def _entry(self, what: str, past: Past) -> tuple[_Entry, Array | None]:
        """What is remembered, and which of its rows are asked for; None for all as they stand."""
        with self._lock:
            for entry in self._entries:
                if entry.what == what and entry.past is past:
                    return entry, None
                rows = past.rows_in(entry.past) if entry.what == what else None
                if rows is not None:
                    whole = len(rows) == len(entry.past) and np.array_equal(rows, np.arange(len(rows)))
                    return entry, None if whole else rows
            entry = _Entry(what, past)
            self._entries = [*self._entries, entry][-_KEPT:]
            return entry, None

    def clear(self) -> None:
        """Remember nothing."""
        with self._lock:
            self._entries = []
