"""API keys: made at random, kept as hashes, with scopes; one that is made holds at once, a revoked one for a second."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import select, update

from intently.errors import ConfigError, StateError
from intently.serve.store import Store
from intently.serve.tables import KEYS

WRITE, READ, ADMIN = "write", "read", "admin"
SCOPES = (WRITE, READ, ADMIN)
_FORM = re.compile(r"ik_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
# Seconds after which the keys are read again: for one that is known, and at the earliest for one that is not.
_FRESH, _SOON = 1.0, 0.1
# Seconds for which a key that is known waits for a reading, from when it was asked for.
_PATIENT = 0.25
# Seconds for which a key holds while the database is away.
_STALE = 300.0
_NOBODY = hashlib.sha256(secrets.token_bytes(32)).digest(), None


@dataclass(frozen=True)
class Caller:
    """Whose key a request came with, and what it may do."""

    key_id: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether this scope is theirs; an admin may do everything."""
        return scope in self.scopes or ADMIN in self.scopes


@dataclass(frozen=True)
class KeyRow:
    """A key as it may be shown: never the key itself."""

    key_id: str
    label: str
    scopes: tuple[str, ...]
    made_at: int
    revoked_at: int | None


class Keys:
    """The keys of a state. A key is shown once, when it is made; what is kept is the SHA-256 of 256 random bits.

    All that hold are in memory, and read again as a whole: others may make and revoke keys beside this, and who makes
    keys up costs the database no more than ten looks a second, however many they are.
    """

    def __init__(self, store: Store, now: Callable[[], int], seconds: Callable[[], float] = time.monotonic) -> None:
        self._store, self._now, self._seconds = store, now, seconds
        self._reading = threading.Lock()
        # When reading was last begun, what was read last and when that was begun, and why nothing was since.
        self._begun = self._read_at = seconds()
        self._known = self._holding()
        self._fault: StateError | None = None
        # One thread for all readings, the newest of them, and when it was asked for.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="intently-keys")
        self._look: Future[None] | None = None
        self._asked = self._begun

    def make(self, scopes: Sequence[str], label: str = "") -> str:
        """A new key, which nobody can show again."""
        wanted = tuple(dict.fromkeys(scopes))
        unknown = [scope for scope in wanted if scope not in SCOPES]
        if unknown or not wanted:
            raise ConfigError(
                f"There is no scope {', '.join(map(repr, unknown)) or 'in an empty list'}.",
                mend=f"Choose from {', '.join(SCOPES)}.",
            )
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = f"ik_{key_id}_{secret}"
        row = {"key_id": key_id, "hash": _hash(key), "scopes": ",".join(wanted), "label": label[:128]}
        with self._reading:
            with self._store.engine.begin() as connection:
                connection.execute(KEYS.insert(), row | {"made_at": self._now(), "revoked_at": None})
            self._known[key_id] = (_hash(key), Caller(key_id, frozenset(wanted)))
        return key

    def rows(self) -> list[KeyRow]:
        """All keys, oldest first."""
        columns = KEYS.c
        query = select(columns.key_id, columns.label, columns.scopes, columns.made_at, columns.revoked_at)
        with self._store.engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.made_at, columns.key_id)).all()
        return [KeyRow(one[0], one[1], tuple(one[2].split(",")), one[3], one[4]) for one in rows]

    def revoke(self, key_id: str) -> None:
        """Take a key back. Raises ConfigError where there is none that holds."""
        statement = update(KEYS).where(KEYS.c.key_id == key_id, KEYS.c.revoked_at.is_(None))
        with self._reading:
            with self._store.engine.begin() as connection:
                if not connection.execute(statement.values(revoked_at=self._now())).rowcount:
                    raise ConfigError(
                        f"There is no key {key_id!r} that holds.", mend="List them with `intently keys list`."
                    )
            self._known.pop(key_id, None)

    def rotate(self, key_id: str) -> str:
        """A new key with the scopes of an old one, which is revoked."""
        old = next((row for row in self.rows() if row.key_id == key_id and row.revoked_at is None), None)
        if old is None:
            raise ConfigError(f"There is no key {key_id!r} that holds.", mend="List them with `intently keys list`.")
        key = self.make(old.scopes, old.label)
        self.revoke(key_id)
        return key

    async def caller(self, key: str) -> Caller | None:
        """Who comes with a key; None for one that is not known or was revoked. Compared in constant time.

        A key that is not known is looked for: it may have been made a moment ago. A database that is away or hangs for
        a while does not lock out who was let in before. Raises StateError where it must be asked and is away.
        """
        form = _FORM.fullmatch(key)
        if form is None:
            return None
        now = self._seconds()
        if form[1] in self._known:
            if now - self._read_at >= _FRESH:
                await self._fresh(now)
        else:
            # All who look for a key meanwhile are told by one reading.
            await asyncio.sleep(max(0.0, self._begun + _SOON - now))
            if self._look is not None and not self._look.done():
                # It may have begun before this key was made.
                await _done(self._look)
            if self._begun <= now:
                await _done(self._under_way())
        fault = self._fault
        kept, caller = self._known.get(form[1], _NOBODY)
        if fault is not None and (caller is None or self._seconds() - self._read_at >= _STALE):
            raise StateError(fault.problem, mend=fault.mend)
        return caller if hmac.compare_digest(kept, _hash(key)) else None

    async def _fresh(self, now: float) -> None:
        """Read the keys again, unless that was begun a moment ago; where it hangs, those that are known still hold."""
        if now - self._begun >= _FRESH:
            self._under_way()
        left = self._asked + _PATIENT - now
        if self._look is not None and not self._look.done() and left > 0:
            await _done(self._look, left)

    def _under_way(self) -> Future[None]:
        """The reading that is not done yet; where there is none, one that begins now."""
        if self._look is None or self._look.done():
            self._asked = self._seconds()
            self._look = self._reader.submit(self._read)
        return self._look

    def _read(self) -> None:
        """Read the keys that hold."""
        with self._reading:
            self._begun = begun = self._seconds()
            try:
                self._known = self._holding()
            except StateError as error:
                self._fault = error
            else:
                self._read_at, self._fault = begun, None

    def _holding(self) -> dict[str, tuple[bytes, Caller]]:
        query = select(KEYS.c.key_id, KEYS.c.hash, KEYS.c.scopes).where(KEYS.c.revoked_at.is_(None))
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return {row[0]: (bytes(row[1]), Caller(row[0], frozenset(row[2].split(",")))) for row in rows}


async def _done(look: Future[None], seconds: float | None = None) -> None:
    """Wait until a reading is done, or for so many seconds; who goes meanwhile does not end it for others."""
    done, _ = await asyncio.wait([asyncio.wrap_future(look)], timeout=seconds)
    for one in done:
        one.result()


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
