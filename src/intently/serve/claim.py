"""One service alone writes to a state: it keeps codes and pasts in memory, which another would not tell it of."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from intently.errors import ConfigError
from intently.serve.database import away, is_sqlite

# Another than the one under which tables are made: that is held for a moment only.
_NUMBER = 7424684
# Seconds within which a server notices that whoever had a state has ended, and between two looks.
_LETTING_GO, _AGAIN = 1.0, 0.1


def claim(engine: Engine) -> Callable[[], None]:
    """Claim a state for this process; what is given lets go of it. A process that ends lets go however it ends.

    SQLite: a lock on a file beside. PostgreSQL: an advisory lock, which ends with the connection that took it. Raises
    ConfigError where another service has the state.
    """
    return _file(Path(engine.url.database or "")) if is_sqlite(engine) else _advisory(engine)


def _file(database: Path) -> Callable[[], None]:
    # Never on the database itself: closing any handle of that drops the locks which SQLite holds on it.
    try:
        lock = database.with_name(database.name + ".lock").open("w")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"A state cannot be kept in {str(database)!r}: {error}.",
            mend="Name a file in a folder that is there and may be written.",
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise _taken() from None
    return lock.close


def _advisory(engine: Engine) -> Callable[[], None]:
    try:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Out of the pool: nobody else gets it, and closing it ends the lock.
        connection.detach()
        end, taken = time.monotonic() + _LETTING_GO, False
        while not taken and time.monotonic() < end:
            taken = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_NUMBER})").scalar())
            if not taken:
                time.sleep(_AGAIN)
    except DBAPIError as error:
        raise away(error) from error
    if not taken:
        connection.close()
        raise _taken()

    def release() -> None:
        # Said, not left to the closing of the connection, which the server notices a little later.
        with contextlib.suppress(DBAPIError):
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_NUMBER})")
        connection.close()

    return release


def _taken() -> ConfigError:
    return ConfigError(
        "Another service writes to this state.", mend="End that one first, or give this one a --state of its own."
    )
