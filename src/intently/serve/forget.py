"""Forgetting a customer in a state: all rows of theirs, and all that speak of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select

from intently.serve.tables import CUSTOMERS, DEAD, EVENTS

# A statement may have only so many parameters.
_TOGETHER = 500


@dataclass(frozen=True)
class Forgotten:
    """What was removed of a customer: the ids they stood under, events, dead letters, rows of a pack.

    `traces` says that freed pages of the state's files still hold what was deleted.
    """

    ids: tuple[str, ...]
    events: int
    dead_letters: int
    pack_rows: int = 0
    traces: bool = True


def remove(connection: Connection, user: str, asked: str | None = None) -> Forgotten:
    """Remove a customer: events, what is `about` these, nameless visits of theirs, dead letters that name them.

    `asked` is the id as it was given, where `user` is its hash: a dead letter has it as it came.
    """
    ids = _stand_under(connection, user)
    gone = 0
    events = _speaking_of(connection, ids)
    for start in range(0, len(events), _TOGETHER):
        part = events[start : start + _TOGETHER]
        gone += connection.execute(delete(EVENTS).where(EVENTS.c.seq.in_(part))).rowcount
    connection.execute(delete(CUSTOMERS).where(CUSTOMERS.c.user_id.in_(ids)))
    letters = _remove_letters(connection, {*ids, *([] if asked is None else [asked])})
    return Forgotten(ids, gone, letters)


def _stand_under(connection: Connection, user: str) -> tuple[str, ...]:
    """A customer's id, and the sessions in which they came without a name."""
    columns = EVENTS.c
    mine = select(columns.session_id).where(columns.user_id == user, columns.session_id.is_not(None)).distinct()
    nameless = select(columns.user_id).where(columns.user_id.in_(mine), columns.user_id == columns.session_id)
    return (user, *sorted(set(connection.execute(nameless).scalars()) - {user}))


def _speaking_of(connection: Connection, ids: Sequence[str]) -> list[int]:
    """Numbers of all events of some ids, of all that are about these, and so on."""
    columns = EVENTS.c
    found = dict(connection.execute(select(columns.seq, columns.event_id).where(columns.user_id.in_(ids))).all())
    last = list(found.values())
    while last:
        more: dict[int, str] = {}
        for start in range(0, len(last), _TOGETHER):
            about = select(columns.seq, columns.event_id).where(columns.about.in_(last[start : start + _TOGETHER]))
            more |= dict(connection.execute(about).all())
        more = {seq: name for seq, name in more.items() if seq not in found}
        found |= more
        last = list(more.values())
    return list(found)


def _remove_letters(connection: Connection, ids: set[str]) -> int:
    """Delete the dead letters that hold an id as a whole word."""
    word = re.compile(r"(?<![\w-])(?:" + "|".join(re.escape(one) for one in sorted(ids)) + r")(?![\w-])")
    rows = connection.execute(select(DEAD.c.seq, DEAD.c.body, DEAD.c.source)).all()
    named = [seq for seq, body, _ in rows if any(word.search(part) for part in _who(body))]
    for start in range(0, len(named), _TOGETHER):
        connection.execute(delete(DEAD).where(DEAD.c.seq.in_(named[start : start + _TOGETHER])))
    return len(named)


def _who(body: str) -> list[str]:
    """Who a message says it is about; the whole of it where it cannot be read."""
    try:
        told = json.loads(body)
    except ValueError:
        return [body]
    if not isinstance(told, dict):
        return [body]
    return [str(told[name]) for name in ("user_id", "session_id") if told.get(name) is not None]
