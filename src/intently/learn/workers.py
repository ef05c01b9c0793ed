"""Work done side by side in threads: boosters and torch let go of Python's lock, and all read one log."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from intently.text.language_model import Progress

if TYPE_CHECKING:
    from threadpoolctl import LibController

Part = TypeVar("Part")
Made = TypeVar("Made")


class Stopped(Exception):
    """Raised inside work whose result nobody waits for any more."""


class _OneThreadOfBlas:
    """While anybody is inside, numpy's products take one thread: beside other threads of ours, more wait spinning.

    The number is the process's own: the first one in takes it down, and the last one out puts it back.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: list[tuple[LibController, int]] = []

    def __enter__(self) -> None:
        from threadpoolctl import ThreadpoolController

        with self._lock:
            if not self._inside:
                libraries = ThreadpoolController().select(user_api="blas").lib_controllers
                self._before = [(library, library.num_threads) for library in libraries]
                _limit((library, 1) for library, _ in self._before)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                _limit(self._before)


def _limit(wanted: Iterable[tuple[LibController, int]]) -> None:
    from threadpoolctl import OpenBLASController

    for library, threads in wanted:
        library.set_num_threads(threads)
    if hasattr(OpenBLASController, "clear_controlling_thread"):
        # Else no other thread could set the number while this one lives.
        OpenBLASController.clear_controlling_thread(force=True)


one_thread_of_blas = _OneThreadOfBlas()


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
        with one_thread_of_blas:
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
        with one_thread_of_blas, ThreadPoolExecutor(threads, initializer=_settle, initargs=(1,)) as pool:
            return list(pool.map(work, parts))
    finally:
        _settle(threads)


def pool_of(workers: int) -> ThreadPoolExecutor:
    """So many threads, each of which may use as many of torch's as the one that asks."""
    torch = sys.modules.get("torch")
    if torch is None:
        return ThreadPoolExecutor(workers)
    return ThreadPoolExecutor(workers, initializer=_settle, initargs=(torch.get_num_threads(),))


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
