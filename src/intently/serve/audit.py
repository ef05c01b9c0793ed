"""Who did what, when: kept in the state, without content, and whom it was about only as a keyed hash."""

from __future__ import annotations

import logging
import threading
from typing import Any

from sqlalchemy import select

from intently.errors import StateError
from intently.serve.store import Store
from intently.serve.tables import AUDIT

_SAY = logging.getLogger("intently.serve")
_EVERY = 0.5
_MOST = 100_000
_MINUTE = 60_000_000


class Audit:
    """Notes are written together twice a second, and at once by `flush`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        # Requests that were refused since the last note of it: how many, and the newest of them.
        self._refused, self._noted = 0, 0
        self._newest: tuple[int, int, str | None] = (0, 0, None)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intently-audit", daemon=True)
        self._thread.start()

    def note(
        self, at: int, key_id: str | None, action: str, subject: str | None, status: int, request_id: str | None
    ) -> None:
        """Note an action; `subject` is a customer's id, which is hashed here."""
        hashed = None if subject is None else self._store.subject(subject)
        row = {"at": at, "key_id": key_id, "action": action, "subject": hashed, "status": status}
        with self._lock:
            self._waiting.append(row | {"request_id": request_id})
            # A database that stays away must not fill the memory.
            del self._waiting[:-_MOST]

    def refuse(self, at: int, status: int, request_id: str | None) -> None:
        """Count a request that was refused; noted once a minute, and when the service ends."""
        with self._lock:
            self._refused += 1
            self._newest = (at, status, request_id)
            due = at - self._noted >= _MINUTE
            if due:
                self._noted = at
        if due:
            self._tell_refused()

    def _tell_refused(self) -> None:
        with self._lock:
            refused, self._refused = self._refused, 0
            at, status, request_id = self._newest
        if refused:
            self.note(at, None, f"refused ({refused})", None, status, request_id)

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            rows, self._waiting = self._waiting, []
        if not rows:
            return
        try:
            with self._store.writing() as connection:
                connection.execute(AUDIT.insert(), rows)
        except StateError as error:
            with self._lock:
                self._waiting = (rows + self._waiting)[-_MOST:]
            _SAY.warning("%d audit notes wait: %s", len(rows), error)

    def newest(self, limit: int = 100, before: int | None = None) -> list[dict[str, Any]]:
        """The newest notes, so many, before one of them."""
        query = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(AUDIT.c.seq < before)
        with self._store.reading() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def close(self) -> None:
        """Write what waits, then stop."""
        self._stop.set()
        self._thread.join(timeout=30)
        self._tell_refused()
        self.flush()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self.flush()
