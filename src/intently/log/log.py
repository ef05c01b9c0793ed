"""The log of a shop: events, items, users, and the span in which it was observed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

import polars as pl
import polars.selectors as cs

from intently.errors import DataError, gathered
from intently.log import schema
from intently.log.check import Checked, checked, tell
from intently.log.pack import Derived, Pack, known
from intently.log.protect import Protect, protected

_MANIFEST = "log.json"
_SAY = logging.getLogger("intently")


@dataclass(frozen=True)
class Log:
    """What a shop has seen, from `observed_from` (inclusive) until `observed_until` (exclusive), UTC.

    `events` are sorted by the time they could be known: max(timestamp, arrived_at).
    """

    events: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame
    observed_from: datetime
    observed_until: datetime

    @classmethod
    def of(
        cls,
        events: pl.DataFrame,
        items: pl.DataFrame | None = None,
        users: pl.DataFrame | None = None,
        *,
        observed_from: date | None = None,
        observed_until: date | None = None,
    ) -> Log:
        """Check three tables and make them a log.

        Without a stated span, the log is taken as observed from its first event to just after its
        last. Times without a zone are UTC. Raises DataError that names every fault found.
        """
        if items is None:
            items = pl.DataFrame({schema.ITEM: _ids(events, schema.ITEM)}).with_columns(
                pl.col(schema.ITEM).cast(pl.String).alias(schema.TITLE)
            )
        if users is None:
            users = pl.DataFrame({schema.USER: _ids(events, schema.USER)})
        _check(events, items, users)
        events = _with_actor(events).with_columns(pl.col(f"^({schema.TIME}|{schema.ARRIVED})$").cast(schema.CLOCK))
        events, items = _one_event_type(_numbers(events)), _numbers(items)
        events, items = _one_type(events, items, schema.ITEM)
        events, users = _one_type(events, users, schema.USER)
        # What became known together is in order of time, whatever the order of the file.
        events = events.sort(known(), schema.TIME, maintain_order=True)
        first, last = events[schema.TIME].min(), events.select(known()).to_series().max()
        assert isinstance(first, datetime) and isinstance(last, datetime)
        start = first if observed_from is None else moment(observed_from)
        end = last + timedelta(microseconds=1) if observed_until is None else moment(observed_until)
        if start >= end:
            raise DataError(
                f"The log was observed from {start} until {end}: it ends before it begins.",
                mend="Correct observed_from and observed_until.",
            )
        return cls(
            events,
            items.unique(schema.ITEM, keep="first", maintain_order=True),
            users.unique(schema.USER, keep="first", maintain_order=True),
            start,
            end,
        )

    @classmethod
    def read(
        cls, source: str | Path, protect: Protect | None = None, *, watch: Callable[[Checked], None] = tell
    ) -> Log:
        """Read a shop's log: a folder, a TOML file, a file of events, or a database by URL (docs/log.md).

        Times become UTC. Personal data is kept out as `protect` says; without it, as `[protect]` of the TOML does.
        Rows that cannot be used are set aside, of which `watch` is told; without it, one line says so where there are
        any. DataError names every fault of a whole column.
        """
        from intently.log.source import read_tables, settings_of

        settings = settings_of(source)
        tables = read_tables(settings)
        for note in tables.notes:
            _SAY.warning("%s", note)
        if tables.kept_types:
            _SAY.warning("event types kept as they are: %s", tables.kept_types)
        safe = protected(tables.events, tables.items, tables.users, protect or settings.protection).say()
        found = checked(safe.events, safe.items, safe.users, tables.observed_until)
        watch(found)
        return cls.of(
            found.events,
            found.items,
            found.users,
            observed_from=tables.observed_from,
            observed_until=tables.observed_until,
        )

    def write(self, folder: str | Path) -> None:
        """Write the log in the form that `read` takes."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("events", "items", "users"):
            getattr(self, name).write_parquet(folder / f"{name}.parquet")
        span = {
            "observed_from": self.observed_from.isoformat(),
            "observed_until": self.observed_until.isoformat(),
        }
        (folder / _MANIFEST).write_text(json.dumps(span, indent=1) + "\n")

    @cached_property
    def pack(self) -> Pack:
        """The log's rows by customer and by item."""
        return Pack.of(self.events, self.items)

    @property
    def written(self) -> pl.Series | None:
        """What customers wrote, by row of the events; None in a log without texts."""
        return self.events[schema.TEXT] if schema.TEXT in self.events.columns else None

    @cached_property
    def catalogue(self) -> pl.DataFrame:
        """The items in the order of item codes."""
        return self.pack.in_order(self.items)

    @cached_property
    def derived(self) -> Derived:
        """What was made of the catalogue alone."""
        return Derived()

    def before(self, at: datetime) -> Log:
        """What could be known strictly before `at`; windows that end after `at` have no truth in it."""
        stop = self.events.select((known() < at).sum()).item()
        if stop == len(self.events) and self.observed_until <= at:
            # Nothing to forget: the same log, with the pack it may already have.
            return self
        return replace(self, events=self.events.head(stop), observed_until=min(self.observed_until, at))

    def fingerprint(self) -> str:
        """A hash of what happened, whatever its order: customers, items, types and times of all events."""
        names = [name for name in (schema.USER, schema.ITEM, schema.TYPE, schema.TIME) if name in self.events.columns]
        rows = self.events.select(names).hash_rows(seed=0).sort()
        return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()[:16]

    def checksum(self) -> str:
        """A hash of all that a model may learn from: every column of events, items and users in the log's order, and
        the span. What was begun of a log goes on only with the same.
        """
        span = f"{self.observed_from.isoformat()} {self.observed_until.isoformat()}"
        digest = hashlib.sha256(span.encode())
        for table in (self.events, self.items, self.users):
            digest.update(repr(table.schema).encode())
            # Categories count by their names: their codes are this process's own.
            rows = table.with_columns(cs.by_dtype(pl.Categorical, pl.Enum).cast(pl.String)).hash_rows(seed=0)
            digest.update(rows.to_numpy().tobytes())
        return digest.hexdigest()[:16]

    def between(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Events with `start <= timestamp < end`."""
        return self.events.filter((pl.col(schema.TIME) >= start) & (pl.col(schema.TIME) < end))


def moment(said: str | date) -> datetime:
    """A date or time, as ISO text or of Python's, as a UTC datetime; a date is its midnight, one without a zone UTC."""
    if isinstance(said, str):
        try:
            at = datetime.fromisoformat(said)
        except ValueError:
            raise DataError(f"{said!r} is not a date.", mend="Write it as 2017-11-05 or 2017-11-05T08:00.") from None
    else:
        at = said if isinstance(said, datetime) else datetime(said.year, said.month, said.day, tzinfo=UTC)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _ids(events: pl.DataFrame, column: str) -> pl.Series:
    """The distinct ids of a column, sorted; none where the column is missing."""
    if column not in events.columns:
        return pl.Series(column, [], dtype=pl.String)
    return events[column].drop_nulls().unique().sort()


def _with_actor(events: pl.DataFrame) -> pl.DataFrame:
    """Where the customer is not known, the session stands for them."""
    if schema.USER not in events.columns:
        events = events.with_columns(pl.lit(None, dtype=pl.String).alias(schema.USER))
    if schema.SESSION in events.columns and events[schema.USER].null_count():
        user = pl.col(schema.USER).cast(pl.String)
        events = events.with_columns(pl.coalesce(user, pl.col(schema.SESSION).cast(pl.String)).alias(schema.USER))
    return events


def _numbers(table: pl.DataFrame) -> pl.DataFrame:
    """A price from a database is the number that it is in a file; of a column without a value, no number is known."""
    empty = cs.by_name(schema.QUANTITY, schema.AMOUNT, schema.PRICE, require_all=False) & cs.by_dtype(pl.Null)
    return table.with_columns((cs.decimal() | empty).cast(pl.Float64))


def _one_event_type(events: pl.DataFrame) -> pl.DataFrame:
    """The ids of events and of what is about them have one type: where they differ, text."""
    ids = [name for name in (schema.EVENT, schema.ABOUT) if name in events.columns]
    types = {events.schema[name] for name in ids} - {pl.Null()}
    whole = all(dtype.is_integer() and dtype != pl.UInt64 for dtype in types)
    wanted = types.pop() if len(types) == 1 else pl.Int64() if whole and types else pl.String()
    return events.with_columns(pl.col(ids).cast(pl.String() if wanted == pl.Categorical else wanted))


def _one_type(events: pl.DataFrame, table: pl.DataFrame, column: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ids have one type in both tables: where two files (or a nameless visitor) made them differ, text."""
    if column not in events.columns or events.schema[column] == table.schema[column]:
        return events, table
    whole = all(dtype.is_integer() and dtype != pl.UInt64 for dtype in (events.schema[column], table.schema[column]))
    ids = pl.col(column).cast(pl.Int64 if whole else pl.String)
    return events.with_columns(ids), table.with_columns(ids)


def _check(events: pl.DataFrame, items: pl.DataFrame, users: pl.DataFrame) -> None:
    faults = []
    for name, table, required in (
        ("events", events, schema.REQUIRED_EVENTS),
        ("items", items, schema.REQUIRED_ITEMS),
        ("users", users, schema.REQUIRED_USERS),
    ):
        missing = [column for column in required if column not in table.columns]
        faults += [f"{name}: column {column!r} is missing (there are {table.columns})" for column in missing]
        wrong = [schema.fault_of(column, dtype) for column, dtype in table.schema.items()]
        faults += [f"{name}: {fault}" for fault in wrong if fault]
    if schema.USER not in events.columns and schema.SESSION not in events.columns:
        faults.append("events: neither 'user_id' nor 'session_id' is there")
    if not faults:
        if events.is_empty():
            faults.append("events: the table has no rows")
        for column in schema.REQUIRED_EVENTS:
            nulls = events[column].is_null()
            if nulls.any():
                faults.append(f"events: {column!r} is empty in {nulls.sum()} rows, the first is row {nulls.arg_max()}")
        for column in (schema.QUANTITY, schema.AMOUNT):
            if column in events.columns:
                bad = events[column].cast(pl.Float64).is_nan() | events[column].cast(pl.Float64).is_infinite()
                if bad.any():
                    faults.append(f"events: {column!r} is not a finite number, the first is row {bad.arg_max()}")
    if faults:
        raise DataError(
            f"The log cannot be read: {gathered(faults)}.",
            mend="Correct the columns (docs/log.md lists them all), or map yours: intently init.",
        )
