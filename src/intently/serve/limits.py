"""How much one key may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """So many requests a second for each key, and as many at once. One process counts for itself."""

    def __init__(self, rate: float, seconds: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._seconds = rate, seconds
        self._left: dict[str, tuple[float, float]] = {}

    def wait(self, key_id: str, cost: float = 1.0) -> float:
        """0 where a request may pass now, else the seconds to wait."""
        now = self._seconds()
        then, left = self._left.get(key_id, (now, self._rate))
        left = min(self._rate, left + (now - then) * self._rate)
        if left < min(cost, self._rate):
            self._left[key_id] = (now, left)
            return (min(cost, self._rate) - left) / self._rate
        self._left[key_id] = (now, left - cost)
        if len(self._left) > 10_000:
            self._left = {key: value for key, value in self._left.items() if now - value[0] < 60}
        return 0.0
