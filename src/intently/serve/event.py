"""One event as the state keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, in the columns of a log; times are microseconds since 1970 UTC.

    `arrived` is when the shop could know of it. `user` is the session where the customer is not known.
    """

    event_id: str
    user: str
    kind: str
    timestamp: int
    arrived: int
    item: str | None = None
    quantity: float | None = None
    amount: float | None = None
    session: str | None = None
    about: str | None = None
    text: str | None = None
    extra: Mapping[str, float] = field(default_factory=dict)

    @property
    def known(self) -> int:
        """When it became known: max(timestamp, arrived)."""
        return max(self.timestamp, self.arrived)


@dataclass(frozen=True, slots=True)
class Placed:
    """An event that is durable: its number in the order of arrival, its codes."""

    seq: int
    event: Event
    kind_code: int
    item_code: int
