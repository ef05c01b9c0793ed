"""Work done side by side in threads: boosters and torch let go of Python's lock, and all read one log."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from intently.text.language_model import Progress


class Stopped(Exception):
    """Raised inside work whose result nobody waits for any more."""


@dataclass(frozen=True)
class Workers:
    """A pool, and the progress that its work reports to."""

    pool: ThreadPoolExecutor
    _stop: threading.Event

    def heard(self, progress: Progress) -> Progress:
        """The same progress, which also ends the work that reports to it once the pool is left."""

        def show(what: str, fraction: float) -> None:
            if self._stop.is_set():
                raise Stopped
            progress(what, fraction)

        return show


@contextlib.contextmanager
def side_by_side(threads: int) -> Iterator[Workers]:
    """As many workers as threads, each with one thread of its own.

    On leaving, by an interrupt too, what has not begun is dropped, and what reports through `heard` ends.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # The number is each thread's own: workers have to be told too.
    pool, stop = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)), threading.Event()
    try:
        yield Workers(pool, stop)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
