"""How much one key may ask for, and how many keys one address may try."""

from __future__ import annotations

import ipaddress
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

    def give_back(self, key_id: str) -> None:
        """What was taken for a request is not to count."""
        if key_id in self._left:
            then, left = self._left[key_id]
            self._left[key_id] = (then, min(self._rate, left + 1.0))


def neighbourhood(address: str) -> str:
    """An address, or the /64 of an IPv6 one, all of which one customer of a provider has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
