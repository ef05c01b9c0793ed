"""How much one key may ask for."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# Who was heard of longest ago is forgotten first: whoever comes under ever new names must fill no memory.
_MOST = 10_000


class Bucket:
    """So many requests a second for each key, and as many at once. One process counts for itself."""

    def __init__(self, rate: float, seconds: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._seconds = rate, seconds
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, key_id: str, cost: float = 1.0) -> float:
        """0 where a request may pass now, else the seconds to wait."""
        now = self._seconds()
        then, left = self._left.pop(key_id, (now, self._rate))
        left = min(self._rate, left + (now - then) * self._rate)
        passes = left >= min(cost, self._rate)
        self._left[key_id] = (now, left - cost if passes else left)
        while len(self._left) > _MOST:
            self._left.popitem(last=False)
        return 0.0 if passes else (min(cost, self._rate) - left) / self._rate
