"""Work done side by side in threads: boosters and torch let go of Python's lock, and all read one log."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from intently.text.language_model import Progress

Part = TypeVar("Part")
Made = TypeVar("Made")


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


def each(work: Callable[[Part], Made], parts: Iterable[Part]) -> list[Made]:
    """What `work` makes of each part, in order, in as many threads as torch may use here: one where it is not used."""
    parts, torch = list(parts), sys.modules.get("torch")
    threads = 1 if torch is None else torch.get_num_threads()
    if torch is None or threads == 1 or len(parts) < 2:
        return [work(part) for part in parts]
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, parts))
