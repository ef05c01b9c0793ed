"""The service's time: it never goes back, whatever the machine's clock does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall() -> int:
    """Microseconds since 1970 UTC, by the machine's clock."""
    return time.time_ns() // 1000


class Clock:
    """Microseconds UTC, each later than the one before.

    A machine's clock that jumps back would hide events that have been acknowledged: what is asked "now" sees
    everything that was known strictly before now. So this one stands almost still until the machine's has caught up.

    One whose time is `chosen` is not the machine's anyway: where it would stand still at the start it runs on.
    """

    def __init__(self, read: Callable[[], int] = wall, *, chosen: bool = False) -> None:
        self._read, self._chosen = read, chosen
        self._ahead = self._last = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        """The time, later than any this clock has told."""
        with self._lock:
            self._last = max(self._read() + self._ahead, self._last + 1)
            return self._last

    def not_before(self, moment: int) -> bool:
        """Tell no time up to `moment`: something is known to have happened by then. Whether it was moved there."""
        with self._lock:
            told = self._read() + self._ahead
            moves = self._chosen and moment > max(told, self._last)
            if moves:
                self._ahead += moment - told
            self._last = max(self._last, moment)
            return moves


def micros(moment: datetime) -> int:
    """A time with a zone as microseconds since 1970 UTC."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """The reverse of `micros`."""
    return _EPOCH + timedelta(microseconds=microseconds)


def written(microseconds: int) -> str:
    """A time as it stands in an answer: ISO 8601, UTC."""
    return moment(microseconds).isoformat().replace("+00:00", "Z")
