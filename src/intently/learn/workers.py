"""Work done side by side in threads: boosters and torch let go of Python's lock, and all read one log."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from intently.text.language_model import Progress

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

Part = TypeVar("Part")
Made = TypeVar("Made")


class Stopped(Exception):
    """Raised inside work whose result nobody waits for any more."""


def one_thread_of_blas() -> contextlib.AbstractContextManager[object]:
    """While inside, numpy's products take one thread: beside other threads of ours, more of them wait spinning.

    The number is the process's own. Of threads that are inside at one time the first decides: it gets the number
    back when it leaves.
    """
    return _blas().limit(limits=1)


@functools.cache
def _blas() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


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
    _settle(1)
    pool, stop = ThreadPoolExecutor(threads, initializer=_settle, initargs=(1,)), threading.Event()
    try:
        with one_thread_of_blas():
            yield Workers(pool, stop)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        _settle(before)


def each(work: Callable[[Part], Made], parts: Iterable[Part]) -> list[Made]:
    """What `work` makes of each part, in order, in as many threads as torch may use here: one where it is not used."""
    parts, torch = list(parts), sys.modules.get("torch")
    threads = 1 if torch is None else torch.get_num_threads()
    if torch is None or threads == 1 or len(parts) < 2:
        return [work(part) for part in parts]
    try:
        with one_thread_of_blas(), ThreadPoolExecutor(threads, initializer=_settle, initargs=(1,)) as pool:
            return list(pool.map(work, parts))
    finally:
        _settle(threads)


_settling = threading.Lock()


def _settle(threads: int) -> None:
    """Give torch this many threads where it is called from.

    The last number told is also what a new thread begins with, and a thread takes it up only when it first asks:
    so workers ask at once, and whoever had workers tells its own number again when they are done.
    """
    import torch

    with _settling:
        torch.set_num_threads(threads)
        torch.get_num_threads()
