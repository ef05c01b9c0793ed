"""A shop's log into the state, once, and the state as a log again: what `intently predict` reads."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl
from sqlalchemy import Connection, delete, func, select

from intently.errors import DataError
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Order, context
from intently.log.packed import PackedLog
from intently.serve.store import EXTRA, TYPE, Store, id_type
from intently.serve.tables import CUSTOMERS, EVENTS, FACTS, ITEMS, NAMES

_SAY = logging.getLogger("intently.serve")
_BLOCK = 20_000
_COLUMNS = "item_columns"
_MOST_COLUMNS = 100
_BROUGHT = "brought"
_FROM = "observed_from"
_TIMES, _NUMBERS = (schema.TIME, schema.ARRIVED), (schema.QUANTITY, schema.AMOUNT)
_PLAIN = {"String": pl.String, "Float64": pl.Float64, "Int64": pl.Int64, "Boolean": pl.Boolean}

Watch = Callable[[str, float], None]


def bring(log: Log | PackedLog, store: Store, watch: Watch = lambda _what, _done: None) -> int:
    """Take a log's events, items and customers into an empty state; gives how many events it then has.

    A state that has a log already is left as it is (0). Who was forgotten stays forgotten. An event that is nobody's
    is left out, and one whose `event_id` is that of an earlier one; a line in the log of the program counts both. One
    transaction: a process that is ended in the middle has brought nothing.
    """
    if _BROUGHT in store.facts:
        return 0
    if store.count() or store.items:
        raise DataError(
            "The state has events of its own: a log can only be brought into an empty one.",
            mend="Send the events to /v1/events, or begin with a new --state.",
        )
    items = _plain(log.items)
    numbers = _numbers(log)
    with store.engine.begin() as connection:
        _bring_items(connection, log, items)
        _bring_customers(connection, log, store)
        written = _bring_events(connection, log, numbers, store, watch)
        _bring_names(connection, log.pack.event_types, numbers)
        facts = {
            schema.ITEM: "Int64" if log.pack.item_ids.dtype.is_integer() else "String",
            _COLUMNS: json.dumps({name: _kind(dtype) for name, dtype in items.schema.items()}),
            _FROM: log.observed_from.isoformat(),
            _BROUGHT: str(written),
        }
        # A state that was served before it had a log knows the type of its items' ids already.
        connection.execute(delete(FACTS).where(FACTS.c.name.in_(facts)))
        connection.execute(FACTS.insert(), [{"name": name, "value": value} for name, value in facts.items()])
    store.reload()
    return written


def _bring_items(connection: Connection, log: Log | PackedLog, items: pl.DataFrame) -> None:
    """Items in the order of their codes: those that are said, then those that were only sold."""
    bodies = [(str(row[schema.ITEM]), _body(row)) for row in items.iter_rows(named=True)]
    if bodies:
        connection.execute(ITEMS.insert(), [{"item_id": item, "body": body} for item, body in bodies])
    sold = log.pack.item_ids.slice(len(items)).cast(pl.String).to_list()
    if sold:
        connection.execute(ITEMS.insert(), [{"item_id": item} for item in sold])


def _bring_customers(connection: Connection, log: Log | PackedLog, store: Store) -> None:
    for users in log.users.iter_slices(_BLOCK):
        rows = [{"user_id": str(row[schema.USER]), "body": _body(row)} for row in users.iter_rows(named=True)]
        kept = [row for row in rows if not store.was_forgotten(row["user_id"])]
        if kept:
            connection.execute(CUSTOMERS.insert(), kept)


def _bring_events(connection: Connection, log: Log | PackedLog, numbers: list[str], store: Store, watch: Watch) -> int:
    """The events of everybody who was not forgotten, each once; gives how many there are."""
    statement = store.insert(EVENTS).on_conflict_do_nothing()
    total = max(len(log.events) if isinstance(log, Log) else len(log.pack.by_user.known), 1)
    read = nobodys = sent = 0
    for block in _blocks(log, numbers):
        theirs = [row for row in block if row[schema.USER] is not None]
        kept = [row for row in theirs if not store.was_forgotten(row[schema.USER])] if store.any_forgotten else theirs
        if kept:
            connection.execute(statement, kept)
        read, nobodys, sent = read + len(block), nobodys + len(block) - len(theirs), sent + len(kept)
        watch("bringing the log", min(read / total, 1.0))
    written = int(connection.execute(select(func.count()).select_from(EVENTS)).scalar() or 0)
    for count, why in ((nobodys, "have neither user_id nor session_id"), (sent - written, "repeat an event_id")):
        if count:
            _SAY.warning("%d events %s and are left out", count, why)
    return written


def _bring_names(connection: Connection, types: Sequence[str], numbers: Sequence[str]) -> None:
    named = ((TYPE, types), (EXTRA, numbers))
    rows = [{"kind": kind, "code": code, "name": name} for kind, names in named for code, name in enumerate(names)]
    if rows:
        connection.execute(NAMES.insert(), rows)


def log_of(store: Store) -> Log:
    """Everything in the state as a log, with which `intently predict` answers what the service answers."""
    columns = [column for column in EVENTS.columns if column.name not in ("seq", "known")]
    kinds = dict.fromkeys(_TIMES, pl.Int64) | dict.fromkeys(_NUMBERS, pl.Float64)
    types = {column.name: kinds.get(column.name, pl.String) for column in columns}
    # Never by another SQLite library in this process: closing its file would drop the locks of the one that writes.
    with store.reading() as connection:
        rows = connection.execution_options(yield_per=_BLOCK).execute(select(*columns).order_by(EVENTS.c.seq))
        blocks = [pl.DataFrame(part, schema=types, orient="row") for part in rows.partitions()]
        told = connection.execute(select(CUSTOMERS.c.body).order_by(CUSTOMERS.c.user_id)).scalars().all()
    events = pl.concat(blocks) if blocks else pl.DataFrame(schema=types)
    events = events.with_columns(pl.col(_TIMES).cast(schema.CLOCK), pl.col(schema.ITEM).cast(id_type(store)))
    if store.extras:
        extra = pl.col("extra").str.json_decode(pl.Struct(dict.fromkeys(store.extras, pl.Float64)))
        events = events.with_columns(extra.struct.field(name) for name in store.extras)
    events = events.drop("extra")
    users = pl.DataFrame([json.loads(body) for body in told], infer_schema_length=None) if told else None
    if users is not None:
        users = users.with_columns(pl.col(schema.USER).cast(pl.String))
    since = store.facts.get(_FROM)
    return Log.of(
        events,
        item_table(store, only_told=True),
        users,
        observed_from=None if since is None else datetime.fromisoformat(since),
    )


def item_table(store: Store, *, only_told: bool = False) -> pl.DataFrame:
    """The catalogue in the order of item codes; `only_told` leaves out what was only seen in events."""
    columns: Mapping[str, str] = json.loads(store.facts.get(_COLUMNS, "{}")) or {
        schema.ITEM: store.facts.get(schema.ITEM, "String"),
        schema.TITLE: "String",
    }
    bodies = [(item, body) for item, body in store.item_bodies() if body is not None or not only_told]
    told = [{} if body is None else json.loads(body) for _, body in bodies]
    table = {
        name: pl.Series(name, [row.get(name) for row in told], dtype=_PLAIN[kind])
        for name, kind in columns.items()
        if name != schema.ITEM
    }
    ids = pl.Series(schema.ITEM, [item for item, _ in bodies], dtype=pl.String).cast(id_type(store))
    return pl.DataFrame({schema.ITEM: ids} | table)


def begin_catalogue(store: Store, ids: pl.DataType | None, columns: Sequence[str]) -> None:
    """Give a catalogue that has no item yet its type of ids (text, where it is all the same) and columns of text."""
    whole = ids is not None and ids.is_integer()
    store.remember(schema.ITEM, "Int64" if whole else "String")
    store.remember(_COLUMNS, json.dumps(dict.fromkeys((schema.ITEM, schema.TITLE, *columns), "String")))


def learn_columns(store: Store, bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Know the columns of items that are told, and give what can be kept of each item.

    A column keeps the kind that it had first, within one call too; what does not fit it is left out, and so are
    columns beyond the first hundred.
    """
    with store.alone():
        known: dict[str, str] = json.loads(store.facts.get(_COLUMNS, "{}")) or {
            schema.ITEM: "String",
            schema.TITLE: "String",
        }
        before, kept = dict(known), {}
        for item, body in bodies.items():
            kept[item] = {name: value for name, value in body.items() if _fits(known, name, value)}
        if known != before or _COLUMNS not in store.facts:
            store.remember(_COLUMNS, json.dumps(known))
    return kept


def _fits(known: dict[str, str], column: str, value: Any) -> bool:
    """Whether an item's column can hold a value; a new column gets the value's kind."""
    if column == schema.ITEM or len(column) > 64 or not isinstance(value, str | int | float | bool):
        return False
    if isinstance(value, str):
        kind, possible = "String", not any("\ud800" <= character <= "\udfff" for character in value)
    elif isinstance(value, bool):
        kind, possible = "Boolean", True
    else:
        kind, possible = "Float64", math.isfinite(value) and abs(value) < 2**63
    if not possible or (column not in known and len(known) >= _MOST_COLUMNS):
        return False
    told = known.setdefault(column, kind)
    return told == kind or (told == "Int64" and isinstance(value, int) and kind == "Float64")


def _plain(items: pl.DataFrame) -> pl.DataFrame:
    """Columns that JSON can hold as they are; categories as text."""
    casts = []
    for name, dtype in items.schema.items():
        if dtype in (pl.Categorical, pl.Enum) or dtype == pl.String:
            casts.append(pl.col(name).cast(pl.String))
        elif dtype == pl.Boolean:
            casts.append(pl.col(name))
        elif dtype.is_integer():
            casts.append(pl.col(name).cast(pl.Int64))
        elif dtype.is_numeric():
            casts.append(pl.col(name).cast(pl.Float64))
    return items.select(casts)


def _kind(dtype: pl.DataType) -> str:
    return next(name for name, one in _PLAIN.items() if one == dtype)


def _body(row: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in row.items() if value is not None and value == value}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, default=str)


def _numbers(log: Log | PackedLog) -> list[str]:
    """The further number columns of a log's events."""
    return context(log.events.schema) if isinstance(log, Log) else list(log.pack.by_user.extra)


def _blocks(log: Log | PackedLog, numbers: list[str]) -> Iterator[list[dict[str, Any]]]:
    if isinstance(log, Log):
        yield from _event_blocks(log.events, numbers)
    else:
        yield from _pack_blocks(log.pack.by_user, log, numbers)


def _event_blocks(events: pl.DataFrame, numbers: list[str]) -> Iterator[list[dict[str, Any]]]:
    text = (schema.USER, schema.ITEM, schema.SESSION, schema.EVENT, schema.ABOUT, schema.TEXT, schema.TYPE)
    times = pl.col(schema.TIME).dt.epoch("us").alias(schema.TIME)
    known = pl.max_horizontal(pl.col(f"^({schema.TIME}|{schema.ARRIVED})$")).dt.epoch("us").alias("known")
    first = 0
    for block in events.iter_slices(_BLOCK):
        said = [pl.col(name).cast(pl.String) for name in text if name in block.columns]
        said += [pl.col(name).cast(pl.Float64) for name in ("quantity", "amount") if name in block.columns]
        table = block.select(*said, times, known, known.alias(schema.ARRIVED))
        extra = block.select(_finite(pl.col(name)) for name in numbers).to_dicts() if numbers else None
        missing = dict.fromkeys(name for name in _NAMES if name not in table.columns)
        rows = []
        for number, row in enumerate(table.iter_rows(named=True)):
            filled = {**missing, **row, "extra": None if extra is None else json.dumps(extra[number])}
            filled["event_id"] = filled["event_id"] or f"log:{first + number}"
            rows.append(filled)
        first += len(block)
        yield rows


def _finite(column: pl.Expr) -> pl.Expr:
    """A number column as JSON can hold it: null for what is no finite number."""
    number = column.cast(pl.Float64)
    return pl.when(number.is_finite()).then(number)


_NAMES = tuple(column.name for column in EVENTS.columns if column.name not in ("seq", "extra"))


def _pack_blocks(order: Order, log: PackedLog, numbers: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Rows of a pack, which keeps no texts, sessions or ids of events."""
    users, items = log.pack.user_ids.cast(pl.String), log.pack.item_ids.cast(pl.String)
    types = pl.Series(list(log.pack.event_types), dtype=pl.String)
    for start in range(0, len(order.known), _BLOCK):
        part = slice(start, start + _BLOCK)
        codes = pl.Series(order.item[part])
        table = pl.DataFrame(
            {
                schema.USER: users.gather(order.user[part]),
                schema.TYPE: types.gather(order.event_type[part]),
                schema.TIME: order.time[part],
                schema.ARRIVED: order.known[part],
                schema.ITEM: items.gather(pl.select(pl.when(codes >= 0).then(codes)).to_series()),
                schema.QUANTITY: order.quantity[part].astype("float64"),
                schema.AMOUNT: order.amount[part].astype("float64"),
            }
        ).with_columns(pl.col(schema.ARRIVED).alias("known"))
        missing = dict.fromkeys(name for name in _NAMES if name not in table.columns)
        columns = {name: order.extra[name][part] for name in numbers}
        extra = pl.DataFrame(columns).select(_finite(pl.all())).to_dicts() if numbers else None
        rows = []
        for number, row in enumerate(table.iter_rows(named=True)):
            more = None if extra is None else json.dumps(extra[number])
            rows.append({**missing, **row, "extra": more, "event_id": f"pack:{start + number}"})
        yield rows
