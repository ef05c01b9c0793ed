"""The database of a state: opened by URL, its tables made, its faults said, its files written anew."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from intently.errors import ConfigError, StateError

# How long another who writes, or a server that does not answer, is waited for.
_SECONDS = 5
# Seconds until it is looked again whether anybody still reads.
_AGAIN = 0.1


def connected(url: str) -> Engine:
    """The engine of a state's URL. Raises ConfigError for one that cannot be used."""
    if url.startswith(("postgresql://", "postgres://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    try:
        engine = create_engine(make_url(url), pool_pre_ping=True, pool_size=8, connect_args=_arguments(url))
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise ConfigError(
            "The state's URL cannot be used.", mend="Write sqlite:///folder/state.db or postgresql://user@host/name."
        ) from error
    except ModuleNotFoundError as error:
        raise ConfigError("PostgreSQL needs a driver.", mend='pip install "intently[store]"') from error
    if engine.dialect.name not in ("sqlite", "postgresql"):
        raise ConfigError(f"A state in {engine.dialect.name} is not supported.", mend="Use SQLite or PostgreSQL.")
    if is_sqlite(engine):
        event.listen(engine, "connect", _durable)
    return engine


def is_sqlite(engine: Engine) -> bool:
    """Whether a state is a file of SQLite; else it is PostgreSQL."""
    return engine.dialect.name == "sqlite"


def migrate(connection: Connection) -> None:
    """Make the tables, or change them to what this version needs."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "intently.serve:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if connection.dialect.name == "postgresql":
        # Two services that start together: one makes the tables, the other waits.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7424683)")
    command.upgrade(config, "head")


def away(error: DBAPIError) -> StateError:
    """What a fault of the database is to who asked."""
    reason = type(error.orig).__name__ if error.orig is not None else type(error).__name__
    if "disk is full" in str(error.orig):
        return StateError("The state's disk is full.", mend="Free some space; nothing that was acknowledged is lost.")
    return StateError(f"The state's database does not answer ({reason}).", mend="Try again; see that it is running.")


def write_anew(engine: Engine) -> None:
    """Write the database anew, so that freed pages do not keep what was deleted. SQLite's WAL is left to `cut`."""
    with _at_once(engine) as connection:
        connection.exec_driver_sql("VACUUM" if is_sqlite(engine) else "VACUUM events")


def move(engine: Engine) -> None:
    """Bring SQLite's write-ahead log into the database; who reads or writes meanwhile does not wait."""
    if is_sqlite(engine):
        with _at_once(engine) as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def cut(engine: Engine, patience: float) -> bool:
    """Cut SQLite's write-ahead log to nothing; whether it is.

    It cannot be cut while somebody reads the database: that is waited for, so many seconds.
    """
    if not is_sqlite(engine):
        return True
    end = time.monotonic() + patience
    while True:
        with _at_once(engine) as connection:
            # It must not wait by itself: meanwhile nobody could write.
            connection.exec_driver_sql("PRAGMA busy_timeout=0")
            try:
                busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
            finally:
                connection.exec_driver_sql(f"PRAGMA busy_timeout={_SECONDS * 1000}")
        if not busy or time.monotonic() >= end:
            return not busy
        time.sleep(_AGAIN)


@contextmanager
def _at_once(engine: Engine) -> Iterator[Connection]:
    """A connection on which each statement holds at once. Raises StateError where the database does not answer."""
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            yield connection
    except DBAPIError as error:
        raise away(error) from error


def _arguments(url: str) -> dict[str, Any]:
    return {"connect_timeout": _SECONDS} if url.startswith("postgresql") else {"timeout": _SECONDS}


def _durable(connection: Any, _record: Any) -> None:
    """On disk when acknowledged, readers beside the writer, deleted bytes overwritten.

    A service moves what was written by itself (`move`); only where that falls behind by 80 MB does a write do it.
    """
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "wal_autocheckpoint=20000"):
        connection.execute(f"PRAGMA {pragma}")
