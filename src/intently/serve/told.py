"""What was told of one customer."""

from __future__ import annotations

from dataclasses import dataclass

from intently.contract import Scores


@dataclass(frozen=True)
class Told:
    """One customer's scores: a row per task, and how many of their events are of items not read yet."""

    model: str
    as_of: int
    scores: dict[str, Scores]
    unread: int
