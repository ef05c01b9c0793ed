"""Where a long answer may be interrupted by something more urgent that the same thread has to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_URGENT: ContextVar[Callable[[], None] | None] = ContextVar("urgent", default=None)


@contextmanager
def breathing(urgent: Callable[[], None] | None) -> Iterator[None]:
    """Within it, in this thread, `breathe` calls `urgent`; not what is done in there: that is urgent itself."""
    before = _URGENT.set(urgent)
    try:
        yield
    finally:
        _URGENT.reset(before)


def breathe() -> None:
    """A good place to stop for a moment: what is half done needs nothing that others use."""
    urgent = _URGENT.get()
    if urgent is not None:
        with breathing(None):
            urgent()
