"""What a state holds of a customer, to be read or forgotten: all rows of theirs, and all that speak of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from intently.serve.tables import CUSTOMERS, DEAD, EVENTS

# A statement may have only so many parameters.
_TOGETHER = 500
# What stands between the words of a message that cannot be read.
_BETWEEN = r"[\s\"',:;=&{}\[\]()<>]+"
# What stands under these names in a message is no customer, whatever else is wrong with it.
_NO_ONE = frozenset(
    ("event_id", "event_type", "timestamp", "arrived_at", "item_id", "about", "quantity", "amount", "price", "category")
)
# From an id as it comes to the one under which it is kept.
Keyed = Callable[[str], str]


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


def remove(connection: Connection, user: str, asked: str | None = None, keyed: Keyed = str) -> Forgotten:
    """Remove a customer: events, what is `about` these, nameless visits of theirs, dead letters that name them.

    `asked` is the id as it was given, where `user` is its hash by `keyed`: a dead letter has ids as they came.
    """
    ids = _stand_under(connection, user)
    gone = 0
    events = _speaking_of(connection, ids)
    for start in range(0, len(events), _TOGETHER):
        part = events[start : start + _TOGETHER]
        gone += connection.execute(delete(EVENTS).where(EVENTS.c.seq.in_(part))).rowcount
    connection.execute(delete(CUSTOMERS).where(CUSTOMERS.c.user_id.in_(ids)))
    letters = _letters_of(connection, {*ids, *([] if asked is None else [asked])}, keyed)
    for start in range(0, len(letters), _TOGETHER):
        connection.execute(delete(DEAD).where(DEAD.c.seq.in_(letters[start : start + _TOGETHER])))
    return Forgotten(ids, gone, len(letters))


def known(connection: Connection, user: str, asked: str | None = None, keyed: Keyed = str) -> dict[str, Any]:
    """What is kept of a customer, as plain values: what is said of them, events, dead letters.

    `events` are theirs, those of nameless visits too; `about` is what others said about them. Dead letters are those
    that name the customer in its place: `remove` takes more, since one without may be anybody's, and is shown to none.
    """
    ids = _stand_under(connection, user)
    rows = _rows(connection, EVENTS, _speaking_of(connection, ids))
    body = connection.execute(select(CUSTOMERS.c.body).where(CUSTOMERS.c.user_id == user)).scalar()
    letters = _letters_of(connection, {*ids, *([] if asked is None else [asked])}, keyed, in_place=True)
    return {
        "customer": None if body is None else json.loads(body),
        "events": [row for row in rows if row["user_id"] in ids],
        "about": [row for row in rows if row["user_id"] not in ids],
        "dead_letters": _rows(connection, DEAD, letters),
    }


def _rows(connection: Connection, table: Table, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of a table by their numbers, which are left out of them, in order."""
    found: list[dict[str, Any]] = []
    numbers = sorted(numbers)
    for start in range(0, len(numbers), _TOGETHER):
        part = select(table).where(table.c.seq.in_(numbers[start : start + _TOGETHER])).order_by(table.c.seq)
        found += [dict(row) for row in connection.execute(part).mappings()]
    return [{name: value for name, value in row.items() if name != "seq"} for row in found]


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


def _letters_of(connection: Connection, ids: set[str], keyed: Keyed, *, in_place: bool = False) -> list[int]:
    """Numbers of the dead letters that hold an id as a whole word, as it is or before it was `keyed`; or, `in_place`,
    of those alone that have it as their `user_id` or `session_id`.
    """
    word = re.compile(r"(?<![\w-])(?:" + "|".join(re.escape(one) for one in sorted(ids)) + r")(?![\w-])")
    # To hash a word takes a look at the key's file, and messages are full of the same words.
    keyed = cache(keyed)
    rows = connection.execute(select(DEAD.c.seq, DEAD.c.body).order_by(DEAD.c.seq)).all()
    if in_place:
        return [seq for seq, body in rows if any(part in ids or keyed(part) in ids for part in _who(body, in_place))]
    return [seq for seq, body in rows if any(word.search(part) or keyed(part) in ids for part in _who(body, in_place))]


def _who(body: str, in_place: bool) -> list[str]:
    """Who a message says it is about; all that it says where it does not say that in its place, unless `in_place`."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return [] if in_place else [body, *re.split(_BETWEEN, body)]
    named = []
    if isinstance(told, dict):
        named = [told[name] for name in ("user_id", "session_id") if told.get(name) is not None]
    # A letter is often dead for its form: the customer may stand anywhere in it.
    return list(_said(named if named or in_place else told))


def _said(told: Any) -> Iterator[str]:
    """All texts and numbers in a message, at any depth, and the names they stand under, but for what names nobody."""
    left = [told]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [part for pair in one.items() if pair[0] not in _NO_ONE for part in pair]
        elif isinstance(one, list):
            left += one
        elif one is not None and not isinstance(one, bool):
            # Half of a sign is no text that could be hashed.
            yield str(one).encode("utf-8", errors="replace").decode()
