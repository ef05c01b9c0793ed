"""What is known of every customer, durable: SQLite or PostgreSQL, by URL."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import polars as pl
from sqlalchemy import Connection, Engine, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from intently.log import schema
from intently.serve.claim import claim
from intently.serve.database import away, connected, cut, is_sqlite, migrate, move, write_anew
from intently.serve.event import Event, Placed
from intently.serve.forget import Forgotten, Keyed, known, remove
from intently.serve.tables import DEAD, EVENTS, FACTS, ITEMS, NAMES

TYPE, EXTRA = "type", "extra"
_FORGOTTEN = "forgotten:"
# Of a past: events known at the same time by when they happened, and only then as they came.
_ORDER = (EVENTS.c.known, EVENTS.c.timestamp, EVENTS.c.seq)


class Store:
    """The state of a service. What `append` has returned from is on disk; the same event is taken once.

    Items, event types and further numbers have codes in the order in which they were first seen, which never
    change: arrays that hold codes stay valid. One process writes to a state at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._release: Callable[[], None] | None = None
        self._writing = threading.RLock()
        self.facts: dict[str, str] = {}
        self.items: dict[str, int] = {}
        self.types: dict[str, int] = {}
        self.extras: dict[str, int] = {}
        self.reload()
        if "secret" not in self.facts:
            self.remember("secret", secrets.token_hex(32))

    @classmethod
    def open(cls, url: str, *, serving: bool = False) -> Store:
        """Open a state, and make or change its tables where that is needed; claim it, to be `serving` it.

        `sqlite:///state.db` or `postgresql://user@host/name`. Raises ConfigError for a URL that cannot be used, and
        where another service has claimed the state; StateError where the database does not answer.
        """
        engine = connected(url)
        release = claim(engine) if serving else None
        try:
            with engine.begin() as connection:
                migrate(connection)
            store = cls(engine)
        except DBAPIError as error:
            raise away(error) from error
        store._release = release
        return store

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()
        if self._release is not None:
            self._release()

    def reload(self) -> None:
        """Read again what is kept in memory beside the database: facts and codes."""
        with self.engine.connect() as connection:
            self.facts = dict(connection.execute(select(FACTS.c.name, FACTS.c.value)).all())
            items = connection.execute(select(ITEMS.c.item_id).order_by(ITEMS.c.position)).scalars()
            self.items = _numbered(items)
            names = connection.execute(select(NAMES.c.kind, NAMES.c.name).order_by(NAMES.c.kind, NAMES.c.code)).all()
        self.types = _numbered(name for kind, name in names if kind == TYPE)
        self.extras = _numbered(name for kind, name in names if kind == EXTRA)

    def append(self, events: Sequence[Event]) -> list[Placed | None]:
        """Make events durable; None for each that was there already (by its event_id).

        Raises StateError where the database does not take them: then none was taken.
        """
        with self._writing:
            with self.writing() as connection:
                kinds = self._named(connection, TYPE, self.types, (one.kind for one in events))
                extras = self._named(connection, EXTRA, self.extras, (name for one in events for name in one.extra))
                items = self._met(connection, [one.item for one in events if one.item is not None])
                statement = self.insert(EVENTS).on_conflict_do_nothing().returning(EVENTS.c.event_id, EVENTS.c.seq)
                rows = [_row(one) for one in events]
                new = dict(connection.execute(statement, rows).all()) if rows else {}
            # Codes count only once what they name is durable, and before anybody else writes.
            self.types, self.extras, self.items = kinds, extras, items
        placed: list[Placed | None] = []
        for one in events:
            seq = new.pop(one.event_id, None)
            item = -1 if one.item is None else items[one.item]
            placed.append(None if seq is None else Placed(seq, one, kinds[one.kind], item))
        return placed

    def rows_of(self, user: str) -> list[Any]:
        """A customer's events in order: seq, timestamp, known, event_type, item_id, quantity, amount, extra.

        By the time at which they became known; of those known at once, by when they happened.
        """
        columns = EVENTS.c
        wanted = (columns.seq, columns.timestamp, columns.known, columns.event_type, columns.item_id)
        query = (
            select(*wanted, columns.quantity, columns.amount, columns.extra)
            .where(columns.user_id == user)
            .order_by(*_ORDER)
        )
        with self.reading() as connection:
            return list(connection.execute(query).all())

    def written_by(self, user: str) -> list[tuple[int, str | None]]:
        """What a customer wrote, by event (its seq), in the order of `rows_of`."""
        query = select(EVENTS.c.seq, EVENTS.c.text).where(EVENTS.c.user_id == user).order_by(*_ORDER)
        with self.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(query).all()]

    def known_of(self, user: str, asked: str | None = None, keyed: Keyed = str) -> dict[str, Any]:
        """Everything that is kept of a customer, as `forget.known` says: an export for them to read."""
        with self.reading() as connection:
            return known(connection, user, asked, keyed)

    def users(self, after: str = "", limit: int = 1000) -> list[str]:
        """Customers in order of their ids, so many after one."""
        query = select(EVENTS.c.user_id).where(EVENTS.c.user_id > after).distinct().order_by(EVENTS.c.user_id)
        with self.reading() as connection:
            return list(connection.execute(query.limit(limit)).scalars())

    def busiest(self, limit: int) -> list[str]:
        """The customers with the newest events, so many of them."""
        newest = func.max(EVENTS.c.seq)
        query = select(EVENTS.c.user_id).group_by(EVENTS.c.user_id).order_by(newest.desc()).limit(limit)
        with self.reading() as connection:
            return list(connection.execute(query).scalars())

    def put_items(self, items: Mapping[str, Mapping[str, Any]]) -> int:
        """Say what items are; gives how many were new or are said differently."""
        with self._writing:
            with self.writing() as connection:
                known = self._met(connection, list(items))
                query = select(ITEMS.c.item_id, ITEMS.c.body).where(ITEMS.c.item_id.in_(list(items)))
                told = dict(connection.execute(query).all())
                changed = 0
                for item, body in items.items():
                    text = json.dumps(dict(body), ensure_ascii=False, sort_keys=True)
                    if told.get(item) != text:
                        connection.execute(update(ITEMS).where(ITEMS.c.item_id == item).values(body=text))
                        changed += 1
            self.items = known
        return changed

    def item_bodies(self) -> list[tuple[str, str | None]]:
        """Every item with what is said of it as JSON, in the order of item codes."""
        with self.reading() as connection:
            query = select(ITEMS.c.item_id, ITEMS.c.body).order_by(ITEMS.c.position)
            return list(connection.execute(query))

    def last_known(self) -> int:
        """The latest time at which an event arrived, 0 where there is none."""
        with self.reading() as connection:
            return int(connection.execute(select(func.max(EVENTS.c.arrived_at))).scalar() or 0)

    def count(self) -> int:
        """How many events there are."""
        with self.reading() as connection:
            return int(connection.execute(select(func.count()).select_from(EVENTS)).scalar() or 0)

    def remember(self, name: str, value: str) -> None:
        """Keep a fact by name."""
        with self._writing, self.writing() as connection:
            statement = self.insert(FACTS).values(name=name, value=value)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}))
        self.facts[name] = value

    def subject(self, user: str) -> str:
        """A keyed hash that stands for a customer where their id must not."""
        return hmac.new(bytes.fromhex(self.facts["secret"]), user.encode(), hashlib.sha256).hexdigest()[:32]

    def was_forgotten(self, user: str) -> bool:
        """Whether a customer was forgotten once: they are not brought back from a file."""
        return _FORGOTTEN + self.subject(user) in self.facts

    @property
    def any_forgotten(self) -> bool:
        """Whether any customer ever was."""
        return any(name.startswith(_FORGOTTEN) for name in self.facts)

    def alone(self) -> AbstractContextManager[Any]:
        """While it is held, nobody else writes."""
        return self._writing

    def forget(self, user: str, asked: str | None = None, keyed: Keyed = str) -> Forgotten:
        """Remove a customer, as `forget.remove` says, and keep that they were.

        The freed pages still hold what was deleted until `leave_no_trace`.
        """
        with self._writing:
            with self.writing() as connection:
                gone = remove(connection, user, asked, keyed)
            for one in gone.ids:
                self.remember(_FORGOTTEN + self.subject(one), "1")
        return gone

    def leave_no_trace(self, patience: float = 10.0) -> bool:
        """Write the files anew, so that freed pages do not keep what was deleted; whether none does.

        Somebody who reads the state keeps SQLite's write-ahead log as it is: that is waited for, so many seconds, and
        may be tried again with `cut`. Others who write wait meanwhile, rather than be refused.
        """
        with self._writing:
            write_anew(self.engine)
        return self.cut(patience)

    def cut(self, patience: float = 0.0) -> bool:
        """Cut SQLite's write-ahead log; whether nothing is left in it."""
        return cut(self.engine, patience)

    def move(self) -> None:
        """Bring what is in SQLite's write-ahead log into the database, as far as nobody has to wait for that."""
        move(self.engine)

    def dead_letter(self, at: int, source: str, reason: str, body: str) -> None:
        """Set a message aside that could not be taken, with the reason."""
        with self._writing, self.writing() as connection:
            connection.execute(DEAD.insert(), {"at": at, "source": source, "reason": reason, "body": body[:10_000]})

    def dead_letters(self, limit: int = 100) -> list[dict[str, Any]]:
        """The newest messages that were set aside."""
        with self.reading() as connection:
            return [
                dict(row)
                for row in connection.execute(select(DEAD).order_by(DEAD.c.seq.desc()).limit(limit)).mappings()
            ]

    def answers(self) -> bool:
        """Whether the database answers."""
        try:
            with self.engine.connect() as connection:
                connection.execute(select(1))
        except DBAPIError:
            return False
        return True

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. Raises StateError where the database does not answer."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise away(error) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read with. Raises StateError where the database does not answer."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise away(error) from error

    def insert(self, table: Any) -> Any:
        """An insert that can say what to do about what is there already."""
        return (sqlite if is_sqlite(self.engine) else postgresql).insert(table)

    def _named(self, connection: Connection, kind: str, known: dict[str, int], names: Iterable[str]) -> dict[str, int]:
        """The codes of names, with one for each that is new."""
        new = sorted({name for name in names if name not in known})
        if not new:
            return known
        codes = {name: len(known) + number for number, name in enumerate(new)}
        rows = [{"kind": kind, "code": code, "name": name} for name, code in codes.items()]
        connection.execute(NAMES.insert(), rows)
        return known | codes

    def _met(self, connection: Connection, items: Sequence[str]) -> dict[str, int]:
        """The codes of items, with one for each that is new."""
        new = list(dict.fromkeys(item for item in items if item not in self.items))
        if not new:
            return self.items
        connection.execute(ITEMS.insert(), [{"item_id": item} for item in new])
        return self.items | {item: len(self.items) + number for number, item in enumerate(new)}


def _row(one: Event) -> dict[str, Any]:
    return {
        "event_id": one.event_id,
        "user_id": one.user,
        "event_type": one.kind,
        "timestamp": one.timestamp,
        "arrived_at": one.arrived,
        "known": one.known,
        "item_id": one.item,
        "quantity": one.quantity,
        "amount": one.amount,
        "session_id": one.session,
        "about": one.about,
        "text": one.text,
        "extra": json.dumps(dict(one.extra)) if one.extra else None,
    }


def _numbered(names: Any) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


ID_TYPES = {"Int64": pl.Int64, "String": pl.String}


def id_type(store: Store) -> pl.DataType:
    """The type of item ids in the shop's log; the state keeps them as text."""
    return ID_TYPES[store.facts.get(schema.ITEM, "String")]()
