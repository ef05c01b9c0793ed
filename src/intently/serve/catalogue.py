"""New items put on the shelf: their texts are read in the background, once, and never in a request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial

import polars as pl

from intently.errors import IntentlyError
from intently.serve.bring import item_table
from intently.serve.models import Served, unread
from intently.serve.standing import Shelf
from intently.serve.store import Store

_SAY = logging.getLogger("intently.serve")


class Shelver:
    """A thread that reads new items' texts and then puts them on every model's shelf, between two questions.

    `call` runs something where no question is being answered and waits; `warm` makes a model ready for a shelf.
    """

    def __init__(
        self,
        store: Store,
        models: Callable[[], Sequence[Served]],
        call: Callable[[Callable[[], None]], None],
        warm: Callable[[Served, Shelf], None],
    ) -> None:
        self._store, self._models, self._call, self._warm = store, models, call, warm
        self._wanted = threading.Event()
        self._stop = False
        self._said: pl.DataFrame | None = None
        self.told = 0
        self._thread = threading.Thread(target=self._run, name="intently-shelver", daemon=True)
        self._thread.start()

    def look(self) -> None:
        """There may be new items, or items that are said differently."""
        self._wanted.set()

    def close(self) -> None:
        """Stop after what is being read."""
        self._stop = True
        self._wanted.set()
        self._thread.join(timeout=30)

    @property
    def behind(self) -> int:
        """Items that have been met and are not on every shelf."""
        return max((len(self._store.items) - len(served.shelf) for served in self._models()), default=0)

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._stop:
                return
            try:
                self.put()
            except IntentlyError as error:
                _SAY.error("new items could not be read: %s", error)
            except BaseException:
                _SAY.exception("new items could not be read")

    def put(self) -> None:
        """Read what is new and put it on the shelves."""
        types, extras = tuple(self._store.types), tuple(self._store.extras)
        items = item_table(self._store)
        for served, texts in unread(items, self._models()).items():
            reader = served.trained.reader
            if texts and reader is not None:
                # Into the cache of vectors by hash, where the model finds them at once.
                reader.newest.text.read(texts)
        for served in self._models():
            if len(served.shelf) != len(items) or not served.shelf.items.equals(items):
                shelf = Shelf(items, types, extras)
                self._call(partial(self._warm, served, shelf))
        self.told += 1
