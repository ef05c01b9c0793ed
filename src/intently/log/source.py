"""Where a shop's log lies and how its columns become ours: `intently.toml`, and the way from it to three tables."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from intently.errors import ConfigError, DataError, gathered
from intently.log import schema
from intently.log.alias import DIALECTS, Dialect
from intently.log.columns import IDS, TEXTS, Mapped, Note, expression, mapped
from intently.log.nearest import hint
from intently.log.protect import Protect
from intently.log.read import files_of, joined, kind_of, read_file, read_files
from intently.log.sql import is_url, read_sql, tables_of
from intently.log.times import known_zone, span_end

CONFIG = "intently.toml"
MANIFEST = "log.json"
TABLES = ("events", "items", "users")

Moment = str | datetime | date


class Source(BaseModel):
    """The section `[data]`: each key is explained in docs/log.md.

    `columns`, `item_columns` and `user_columns` give our names their column or SQL expression; `timezone` is the clock
    of times without a zone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    events: str
    items: str | None = None
    users: str | None = None
    events_query: str | None = None
    items_query: str | None = None
    users_query: str | None = None
    dialect: str | None = None
    encoding: str = "utf-8"
    timezone: str = "UTC"
    day_first: bool | None = None
    observed_from: Moment | None = None
    observed_until: Moment | None = None
    columns: dict[str, str] = {}
    item_columns: dict[str, str] = {}
    user_columns: dict[str, str] = {}
    event_types: dict[str, str] = {}


# All that a config file may have: who trains and who recommends read the others.
_SECTIONS = ("data", "protect", "tasks", "train", "text", "rules")


@dataclass(frozen=True)
class Settings:
    """A whole `intently.toml`; `folder` is where its relative paths begin. `protect` and `tasks` are as written."""

    folder: Path
    data: Source
    protect: Mapping[str, Any]
    tasks: Sequence[Mapping[str, Any]]

    @property
    def protection(self) -> Protect:
        """The `[protect]` section. Raises ConfigError for an unknown key or a value of the wrong kind."""
        return Protect.written(self.protect, self.folder)


@dataclass(frozen=True)
class Tables:
    """A log in our schema, not yet checked.

    `notes` name values that could not be taken, `kept_types` counts the event types that `[data.event_types]` does not
    name and that are kept as they are.
    """

    events: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    observed_from: datetime | None
    observed_until: datetime | None
    notes: tuple[Note, ...] = ()
    kept_types: Mapping[str, int] | None = None


def settings_of(source: str | Path) -> Settings:
    """The settings of a TOML file, of a folder that holds `intently.toml`, or those that a plain source needs.

    A plain source is a folder with events, items and users, one file of events, or a database with a table `events`.
    """
    if is_url(source):
        there = set(tables_of(str(source)))
        return _plain(Path(), {name: str(source) for name in TABLES if name == "events" or name in there})
    path = Path(source).expanduser()
    if path.suffix == ".toml" and path.is_file():
        return parsed(path.read_bytes(), path)
    if (path / CONFIG).is_file():
        return parsed((path / CONFIG).read_bytes(), path / CONFIG)
    if path.is_file():
        return _plain(path.parent, {"events": path.name})
    if not path.is_dir():
        raise DataError(
            f"There is no folder or file {path}.",
            mend=f"Give a folder that holds events.parquet or {CONFIG}, or a file of events.",
        )
    found = _beside(path)
    if "events" not in found:
        raise DataError(
            f"{path} has no events.",
            mend=f"Put events.parquet or events.csv there, or write a mapping: intently init {path}.",
        )
    return _plain(path, found)


def _beside(folder: Path) -> dict[str, str]:
    """The tables that a folder has under their own names."""
    return {name: name for name in TABLES if named_files(folder, name)}


def parsed(content: bytes, path: Path) -> Settings:
    """The settings in a TOML text; ConfigError that names every unknown key with the nearest known one."""
    try:
        text = content.decode("utf-8-sig")
        sections = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text.", mend="Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path} is not TOML: {error}.", mend="Text stands in quotes: events = 'orders.csv'."
        ) from None
    faults = [f"[{name}] is not a section{hint(name, _SECTIONS)}" for name in sections if name not in _SECTIONS]
    if "data" not in sections:
        beside = _beside(path.parent) if path.name == CONFIG else {}
        if "events" in beside and not faults:
            # Questions and settings beside tables that need no mapping.
            plain = _plain(path.parent, beside)
            return replace(plain, protect=sections.get("protect", {}), tasks=sections.get("tasks", []))
        faults.append("there is no section [data]")
    data = None
    try:
        data = Source.model_validate(sections.get("data", {"events": ""}))
    except ValidationError as error:
        faults += [_said(fault) for fault in error.errors()]
    if data is not None and data.dialect is not None and data.dialect not in DIALECTS:
        faults.append(f"data.dialect {data.dialect!r} is not known{hint(data.dialect, DIALECTS)}")
    if faults or data is None:
        raise ConfigError(f"{path} cannot be used: {gathered(faults)}.", mend="docs/log.md lists the keys of [data].")
    known_zone(data.timezone)
    return Settings(path.parent, data, sections.get("protect", {}), sections.get("tasks", []))


def read_tables(settings: Settings) -> Tables:
    """Read and map the three tables; DataError that names every fault of the mapping."""
    data = settings.data
    dialect = DIALECTS.get(data.dialect or "", Dialect())
    raw = dialect.unfold(raw_table(settings, "events"))
    clock = (data.timezone, data.day_first)
    events = mapped("events", raw, _possible(dialect.columns, raw) | data.columns, *clock)
    items = _side(settings, "items", events.frame, raw, dialect.item_columns, data.item_columns)
    users = _side(settings, "users", events.frame, raw, dialect.user_columns, data.user_columns)
    parts = [one for one in (events, items, users) if one is not None]
    if faults := [fault for one in parts for fault in one.faults]:
        raise DataError(
            f"The log cannot be read: {gathered(faults)}.", mend="Correct the mapping; docs/log.md says how."
        )
    types = dict(dialect.event_types) | data.event_types
    frame, kept = _renamed(events.frame, types)
    return Tables(
        frame,
        None if items is None else items.frame,
        None if users is None else users.frame,
        *span_of(settings),
        notes=tuple(note for one in parts for note in one.notes),
        kept_types=kept,
    )


def raw_table(settings: Settings, name: str) -> pl.DataFrame:
    """One of the tables as it lies there; there must be one."""
    data = settings.data
    where, query = getattr(data, name), getattr(data, f"{name}_query")
    if where is None and query is not None:
        where = data.events
    if is_url(where):
        return read_sql(where, query or name, settings.folder)
    path, names = settings.folder / Path(where).expanduser(), _names(data, name)
    if where in TABLES and not path.is_file():
        files = named_files(settings.folder, where)
        return joined([(str(one), read_file(one, encoding=data.encoding, names=names)) for one in files])
    return read_files(path, encoding=data.encoding, names=names)


def _names(data: Source, table: str) -> set[str]:
    """The shop's columns that are ids or texts of ours, so that a number there is a name."""
    dialect = DIALECTS.get(data.dialect or "", Dialect())
    mappings: dict[str, list[Mapping[str, str]]] = {
        "events": [dialect.columns, dialect.item_columns, data.columns, data.item_columns, data.user_columns],
        "items": [data.item_columns],
        "users": [data.user_columns],
    }
    ours = {*IDS, *TEXTS}
    theirs = [theirs for columns in mappings[table] for name, theirs in columns.items() if name in ours]
    return ours | {name.removeprefix('"').removesuffix('"') for name in theirs}


def _plain(folder: Path, found: Mapping[str, str]) -> Settings:
    return Settings(folder, Source.model_validate(dict(found)), {}, [])


def named_files(folder: Path, name: str) -> list[Path]:
    """The files of a table by name: a folder of that name, or files of that stem."""
    if (folder / name).is_dir():
        return files_of(folder / name)
    return sorted(one for one in folder.iterdir() if one.name.split(".")[0] == name and kind_of(one) and one.is_file())


def _possible(columns: Mapping[str, str], raw: pl.DataFrame) -> dict[str, str]:
    """Of a dialect's columns those that this export has what is needed for."""
    possible = {}
    for ours, theirs in columns.items():
        try:
            expression(theirs, raw.columns, ours)
        except ConfigError:
            continue
        possible[ours] = theirs
    return possible


def _side(
    settings: Settings,
    name: str,
    events: pl.DataFrame,
    raw: pl.DataFrame,
    usual: Mapping[str, str],
    stated: Mapping[str, str],
) -> Mapped | None:
    """Items or users: from their own table, or from what the events' rows say of them."""
    data, key = settings.data, schema.ITEM if name == "items" else schema.USER
    clock = (data.timezone, data.day_first)
    if getattr(data, name) is not None or getattr(data, f"{name}_query") is not None:
        return mapped(name, raw_table(settings, name), stated, *clock)
    columns = {ours: theirs for ours, theirs in (_possible(usual, raw) | dict(stated)).items() if ours != key}
    if not columns or key not in events.columns:
        return None
    found = mapped(name, raw, {key: "1"} | columns, *clock)
    if found.faults:
        return found
    rows = found.frame.select(pl.col(one) for one in found.frame.columns if one in columns)
    order = [pl.col(one) for one in (schema.AMOUNT, schema.TIME) if one in events.columns]
    # What was said first was known from then on; a row with money is a sale and not a note about the stock.
    rows = rows.with_columns(events.select(key, *order))
    if schema.AMOUNT in events.columns:
        order[0] = (pl.col(schema.AMOUNT) > 0).fill_null(value=False).not_()
    first = (
        rows.filter(pl.col(key).is_not_null())
        .sort(order or [key], maintain_order=True)
        .group_by(key, maintain_order=True)
        .agg(pl.col(one).drop_nulls().first() for one in columns if one in rows.columns)
    )
    if name == "items" and schema.TITLE not in first.columns:
        first = first.with_columns(pl.col(key).cast(pl.String).alias(schema.TITLE))
    return replace(found, frame=first.sort(key))


def _renamed(events: pl.DataFrame, types: Mapping[str, str]) -> tuple[pl.DataFrame, dict[str, int]]:
    """Event types by our names; the others as they are, counted."""
    if not types or schema.TYPE not in events.columns:
        return events, {}
    kind = pl.col(schema.TYPE).cast(pl.String)
    strange = events.select(kind).to_series().drop_nulls().value_counts(sort=True)
    known = {*types, *types.values()}
    kept = {name: count for name, count in strange.iter_rows() if name not in known}
    return events.with_columns(kind.replace(dict(types))), kept


def span_of(settings: Settings) -> tuple[datetime | None, datetime | None]:
    """The span that was observed: as [data] says, or as the folder's manifest does."""
    data, manifest = settings.data, settings.folder / MANIFEST
    stated: dict[str, Any] = {"observed_from": data.observed_from, "observed_until": data.observed_until}
    if not any(stated.values()) and data.events == "events" and manifest.is_file():
        stated = manifest_of(manifest)
    clock = (data.timezone, data.day_first)
    start, end = (None if value is None else span_end(value, *clock) for value in stated.values())
    if start is not None and end is not None and start >= end:
        raise ConfigError(
            f"The log was observed from {start:%Y-%m-%d %H:%M} until {end:%Y-%m-%d %H:%M}: it ends before it begins.",
            mend=f"Correct observed_from and observed_until, under [data] or in {MANIFEST}.",
        )
    return start, end


def manifest_of(file: Path) -> dict[str, Any]:
    """What a folder's manifest states: `observed_from` and `observed_until`. Raises DataError where it does not."""
    try:
        said = json.loads(file.read_text())
        return {name: said[name] for name in ("observed_from", "observed_until")}
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{file} does not say observed_from and observed_until.", mend="Correct the file, or delete it."
        ) from None


def _said(fault: Any) -> str:
    """One fault that pydantic found, in our words."""
    name = ".".join(("data", *map(str, fault["loc"])))
    match fault["type"]:
        case "extra_forbidden":
            return f"{name} is not a key{hint(str(fault['loc'][-1]), Source.model_fields)}"
        case "missing":
            return f"{name} is missing"
        case _:
            return f"{name} = {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
