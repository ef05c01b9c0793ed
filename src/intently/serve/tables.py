"""The tables of the state, in SQLite and PostgreSQL alike; `migrations` makes and changes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()

# SQLite counts up by itself only in a column of its own INTEGER.
SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

EVENTS = Table(
    "events",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("event_id", String(256), nullable=False, unique=True),
    Column("user_id", String(256), nullable=False),
    Column("event_type", String(64), nullable=False),
    # Microseconds since 1970 UTC; `known` is max(timestamp, arrived_at).
    Column("timestamp", BigInteger, nullable=False),
    Column("arrived_at", BigInteger),
    Column("known", BigInteger, nullable=False),
    Column("item_id", String(256)),
    Column("quantity", Float(53)),
    Column("amount", Float(53)),
    Column("session_id", String(256)),
    Column("about", String(256)),
    Column("text", Text),
    # Further numbers, as JSON.
    Column("extra", Text),
    Index("events_of_user", "user_id", "known", "seq"),
    sqlite_autoincrement=True,
)

ITEMS = Table(
    "items",
    METADATA,
    Column("position", SEQUENCE, primary_key=True, autoincrement=True),
    Column("item_id", String(256), nullable=False, unique=True),
    # What is said of the item, as JSON; null where it has only been seen in events.
    Column("body", Text),
)

CUSTOMERS = Table(
    "customers",
    METADATA,
    Column("user_id", String(256), primary_key=True),
    Column("body", Text, nullable=False),
)

# Names in the order in which they got their codes: event types, further number columns, item columns.
NAMES = Table(
    "names",
    METADATA,
    Column("kind", String(32), primary_key=True),
    Column("code", Integer, primary_key=True, autoincrement=False),
    Column("name", String(256), nullable=False),
)

FACTS = Table("facts", METADATA, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False))

KEYS = Table(
    "keys",
    METADATA,
    Column("key_id", String(32), primary_key=True),
    Column("hash", LargeBinary(32), nullable=False),
    Column("scopes", String(64), nullable=False),
    Column("label", String(128), nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

# Who did what, when: never what was said. `subject` is a keyed hash of whom it was about.
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("key_id", String(32)),
    Column("action", String(64), nullable=False),
    Column("subject", String(64)),
    Column("status", Integer, nullable=False),
    Column("request_id", String(64)),
    Index("audit_by_time", "at"),
)

# Messages of a stream that could not be taken, with the reason.
DEAD = Table(
    "dead_letters",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("source", String(256), nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
)
