"""The first reading of a log that is packed: who and what occurs how often, when, and what is wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from intently.errors import DataError, gathered
from intently.log import schema
from intently.log.blocks import Blocks, Unpacked
from intently.log.log import _check, _one_type
from intently.log.pack import Array, known
from intently.log.runs import synced

# One time in so many is kept, to divide a log that is out of order into parts of like size.
EVERY = 1000

_COUNTED = {"users": schema.USER, "sessions": schema.SESSION, "items": schema.ITEM}
_TOLD = "told.json"
_INSTANTS = "instants.npy"


@dataclass(frozen=True)
class Survey:
    """The distinct ids of a log in the order of their codes, the rows of each, and the times."""

    user_ids: pl.Series
    item_ids: pl.Series
    user_rows: Array
    item_rows: Array
    event_types: tuple[str, ...]
    items: pl.DataFrame
    users: pl.DataFrame
    observed_from: datetime
    observed_until: datetime
    in_order: bool
    instants: Array


def survey_part(blocks: Blocks, start: int, stop: int, out: Path) -> None:
    """Read rows `start` to `stop` once and keep what is found in the folder `out`, whole or not at all."""
    part = out.with_name(out.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    nameless = 0
    for name, column in _COUNTED.items():
        if column not in blocks.columns:
            continue
        if column == schema.SESSION and schema.USER in blocks.columns:
            rows = blocks.rows(start, stop, [schema.USER, column]).filter(pl.col(schema.USER).is_null())
            nameless = rows.select(pl.len()).collect(engine="streaming").item()
        else:
            rows = blocks.rows(start, stop, [column])
        counts = rows.select(id=column).drop_nulls().group_by("id").agg(rows=pl.len())
        counts.collect(engine="streaming").write_parquet(part / f"{name}.parquet")
    told = _told(blocks, start, stop, part / _INSTANTS) | {"nameless": nameless}
    (part / _TOLD).write_text(json.dumps(told))
    for file in part.iterdir():
        synced(file)
    part.replace(out)


def _told(blocks: Blocks, start: int, stop: int, instants_file: Path) -> dict[str, Any]:
    """Faults of the values; without any, the event types and the times."""
    numbers = [name for name in (schema.QUANTITY, schema.AMOUNT) if name in blocks.columns]
    times = [name for name in (schema.TIME, schema.ARRIVED) if name in blocks.columns]
    frame = blocks.rows(start, stop, [schema.TYPE, *times, *numbers]).collect()
    faults = _faults(frame, numbers, start)
    if faults:
        return {"faults": faults}
    frame = frame.with_columns(pl.col(*times).cast(schema.CLOCK))
    instants, time = (frame.select(one).to_series().dt.epoch("us").to_numpy() for one in (known(), pl.col(schema.TIME)))
    np.save(instants_file, np.sort(instants[::EVERY]))
    later = np.diff(instants)
    return {
        "faults": faults,
        "types": frame[schema.TYPE].cast(pl.String).unique().to_list(),
        "earliest": frame[schema.TIME].dt.epoch("us").min(),
        "latest": int(instants.max()),
        "first": [int(instants[0]), int(time[0])],
        "last": [int(instants[-1]), int(time[-1])],
        # What became known together is in order of time.
        "in_order": bool(((later > 0) | ((later == 0) & (np.diff(time) >= 0))).all()),
    }


def survey(tables: Unpacked, blocks: Blocks, parts: list[Path]) -> Survey:
    """Join what the parts found. Raises DataError that names every fault found."""
    told = [json.loads((part / _TOLD).read_text()) for part in parts]
    _raise(told)
    nameless = any(one["nameless"] for one in told)
    users, user_ids, user_rows = _actors(tables, blocks, parts, nameless)
    items, item_ids, item_rows = _catalogue(tables, blocks, parts)
    in_order = all(one["in_order"] for one in told)
    in_order &= all(one["last"] <= other["first"] for one, other in pairwise(told))
    latest = max(one["latest"] for one in told)
    return Survey(
        user_ids,
        item_ids,
        user_rows,
        item_rows,
        tuple(sorted({name for one in told for name in one["types"]})),
        items.unique(schema.ITEM, keep="first", maintain_order=True),
        users.unique(schema.USER, keep="first", maintain_order=True),
        tables.observed_from or _moment(min(one["earliest"] for one in told)),
        tables.observed_until or _moment(latest) + timedelta(microseconds=1),
        in_order,
        np.sort(np.concatenate([np.load(part / _INSTANTS) for part in parts])),
    )


def check_columns(tables: Unpacked, blocks: Blocks) -> None:
    """Raise DataError that names every column that is missing or has the wrong type."""
    head = blocks.rows(0, min(1, len(blocks)), list(blocks.columns)).collect()
    items = pl.DataFrame(schema=dict.fromkeys(schema.REQUIRED_ITEMS, pl.String))
    users = pl.DataFrame(schema=dict.fromkeys(schema.REQUIRED_USERS, pl.String))
    _check(head, items if tables.items is None else tables.items, users if tables.users is None else tables.users)


def _actors(
    tables: Unpacked, blocks: Blocks, parts: list[Path], nameless: bool
) -> tuple[pl.DataFrame, pl.Series, Array]:
    """Customers said of themselves, ids of all who act, and their rows; as `Log.of` would have them."""
    own, visits = _counts(parts, "users"), _counts(parts, "sessions")
    said = own.select(pl.col("id").alias(schema.USER)) if tables.users is None else tables.users
    dtype = pl.String() if nameless else blocks.columns.get(schema.USER, pl.String())
    ids = pl.DataFrame(schema={schema.USER: dtype})
    ids, said = _one_type(ids, said, schema.USER)
    dtype = ids.schema[schema.USER]
    joined = _joined([one.with_columns(pl.col("id").cast(dtype)) for one in (own, visits)])
    return said, joined["id"], joined["rows"].cast(pl.Int64).to_numpy()


def _catalogue(tables: Unpacked, blocks: Blocks, parts: list[Path]) -> tuple[pl.DataFrame, pl.Series, Array]:
    """What is said of items, ids of the listed and then of the others, and their rows."""
    counts = _counts(parts, "items")
    items = tables.items
    if items is None:
        items = counts.select(pl.col("id").alias(schema.ITEM))
        items = items.with_columns(pl.col(schema.ITEM).cast(pl.String).alias(schema.TITLE))
    if schema.ITEM not in blocks.columns:
        listed = items.unique(schema.ITEM, keep="first", maintain_order=True)[schema.ITEM]
        return items, listed, np.zeros(len(listed), dtype=np.int64)
    empty = pl.DataFrame(schema={schema.ITEM: blocks.columns[schema.ITEM]})
    empty, items = _one_type(empty, items, schema.ITEM)
    dtype = empty.schema[schema.ITEM]
    counts = _joined([counts.with_columns(pl.col("id").cast(dtype))])
    listed = items.unique(schema.ITEM, keep="first", maintain_order=True)[schema.ITEM]
    ids = pl.concat([listed, counts["id"].filter(~counts["id"].is_in(listed.implode()))])
    rows = pl.DataFrame({"id": ids}).join(counts, on="id", how="left", maintain_order="left")["rows"]
    return items, ids, rows.fill_null(0).cast(pl.Int64).to_numpy()


def _counts(parts: list[Path], name: str) -> pl.DataFrame:
    files = [part / f"{name}.parquet" for part in parts if (part / f"{name}.parquet").exists()]
    if not files:
        return pl.DataFrame(schema={"id": pl.String, "rows": pl.UInt32})
    return _joined([pl.read_parquet(file) for file in files])


def _joined(counts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(counts).group_by("id").agg(pl.col("rows").sum()).sort("id")


def _faults(frame: pl.DataFrame, numbers: list[str], start: int) -> list[tuple[str, str, int, int]]:
    """(column, what is wrong, rows, first row) of values that cannot be packed."""
    found = [(name, "is empty", frame[name].is_null()) for name in schema.REQUIRED_EVENTS]
    for name in numbers:
        values = frame[name].cast(pl.Float64)
        found.append((name, "is not a finite number", (values.is_nan() | values.is_infinite()).fill_null(value=False)))
    return [(name, what, int(bad.sum()), start + int(bad.arg_max() or 0)) for name, what, bad in found if bad.any()]


def _raise(told: list[dict[str, Any]]) -> None:
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for one in told:
        for name, what, rows, first in one["faults"]:
            before = found.get((name, what), (0, first))
            found[name, what] = (before[0] + rows, before[1])
    if found:
        faults = [
            f"events: {n!r} {what} in {rows} rows, the first is row {row}" for (n, what), (rows, row) in found.items()
        ]
        raise DataError(
            f"The log cannot be read: {gathered(faults)}.", mend="Correct the columns; docs/log.md lists them all."
        )


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
