"""SQLite's write-ahead log, looked after in the background: brought into the database, and cut after a forgetting."""

from __future__ import annotations

import logging
import threading

from intently.errors import StateError
from intently.serve.store import Store

_SAY = logging.getLogger("intently.serve")
# Seconds between two rounds in which it is brought into the database.
_MOVE_AGAIN = 10.0
# Seconds between two attempts to cut one that somebody reads.
_CUT_AGAIN = 5.0


class WriteAhead:
    """Threads that do it until `closing` is set. With PostgreSQL there is nothing to do."""

    def __init__(self, store: Store, closing: threading.Event) -> None:
        self._store, self._closing = store, closing
        self._moving = threading.Thread(target=self._move, name="intently-move", daemon=True)

    def start(self) -> None:
        """Bring what is written into the database's own file, little by little: else an event would wait for it."""
        self._moving.start()

    def join(self) -> None:
        """Wait until nothing is being brought into the database, once `closing` is set."""
        if self._moving.is_alive():
            self._moving.join(timeout=30)

    def cut(self) -> None:
        """Cut it as soon as nobody reads the state; returns at once."""
        threading.Thread(target=self._cut, name="intently-cut", daemon=True).start()

    def _move(self) -> None:
        while not self._closing.wait(_MOVE_AGAIN):
            try:
                self._store.move()
            except Exception as error:
                _SAY.warning("what was written stays in the write-ahead log for now: %s", error)

    def _cut(self) -> None:
        while not self._closing.wait(_CUT_AGAIN):
            try:
                if self._store.cut():
                    _SAY.info("the write-ahead log holds nothing any more of what was deleted")
                    return
            except StateError as error:
                _SAY.warning("the write-ahead log cannot be cut yet: %s", error)
