"""A log packed block by block: what `Pack.of` gives, without holding the log in memory.

Read it from `_made` on: count the ids; where events are out of order, put them in order; turn ids
into codes and put each row down by its part of the customers and of the items; then sort part after
part into the files of the pack. All of it stands in `OUT.part` until it is whole, a step is noted
when it has reached the disk, and a run that comes later goes on after the last note.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from intently.errors import ConfigError, DataError
from intently.log import schema
from intently.log.blocks import Blocks, Unpacked, actor
from intently.log.lookup import UNKNOWN, Lookup
from intently.log.pack import FORMAT, MANIFEST, Array, context, file_of, known, numbers, row_type
from intently.log.packed import ITEMS, USERS
from intently.log.runs import Notes, Runs, part_bounds, synced
from intently.log.site import WORK, Progress, Site, alone, begin, put_in_place, room, told, whole
from intently.log.survey import EVERY, Survey, check_columns, survey, survey_part

# Rows that are read and put down at once; rows that are sorted at once.
BLOCK = 2_000_000
PART = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """What packing takes, as measured by bench/pack_scale.py; the pack itself fills a third of that disk."""

    events: int
    seconds: float
    memory_gigabytes: float
    disk_gigabytes: float

    @property
    def minutes(self) -> str:
        """The time in words."""
        return "under a minute" if self.seconds < 60 else f"about {self.seconds / 60:.0f} minutes"


def estimate(tables: Unpacked, threads: int = 2) -> Estimate:
    """Time, peak memory, and room on the disk while packing."""
    events = len(tables)
    width = sum(dtype.itemsize for dtype in _layout(tables.columns(), events).values())
    memory = 0.3 + 4.5e-8 * threads * min(events, 4 * BLOCK) + 7e-9 * events
    return Estimate(events, 1 + events / 250_000, memory, 3e-9 * width * events)


def pack(
    tables: Unpacked,
    out: Path,
    *,
    threads: int = 2,
    progress: Progress = lambda what, fraction: None,
    block: int = BLOCK,
    part: int = PART,
) -> None:
    """Write the pack of a log to the folder `out`, or go on where an interrupted run stopped.

    The files are those that `Pack.of(log.events, log.items).save(out)` writes, with the tables of items
    and customers beside them. Until the pack is whole `out` stays as it was; then it is replaced by one
    renaming. Raises DataError for a log that cannot be read, ConfigError where `out` cannot be written.
    """
    if out.exists() and not (out / MANIFEST).exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} holds something that is not a pack.", mend="Give --out another folder.")
    begun = out.with_name(out.name + ".part")
    with told(out), alone(begun):
        identity = {"format": FORMAT, "stamp": tables.stamp, "block": block, "part": part}
        if not whole(begun, tables.stamp):
            begin(begun, identity)
            room(estimate(tables).disk_gigabytes, begun)
            _made(tables, Site(begun, Notes(begun / WORK / "notes"), threads, progress, block, part))
        put_in_place(begun, out)


def _made(tables: Unpacked, site: Site) -> None:
    """Every step of a pack; what was done before is not done again."""
    blocks = Blocks.of(_inputs(tables, site), tables.dropped)
    check_columns(tables, blocks)
    found = _surveyed(tables, blocks, site)
    layout = _layout(blocks.columns, len(blocks))
    users = _Key("by_user", "user", found.user_rows, part_bounds(found.user_rows, site.part))
    items = _Key("by_item", "item", found.item_rows, part_bounds(found.item_rows, site.part))
    runs = {key: Runs(site.work / key.order, key.parts, layout) for key in (users, items)}
    if not site.notes.has("encoded"):
        if found.in_order:
            count = -(-len(blocks) // site.block)
            coded = _coded(blocks, found, site.block)
        else:
            count, coded = _in_order(blocks, found, layout, site)
        site.each(
            "turning ids into codes", count, lambda k: all(run.has(k) for run in runs.values()), _put(coded, runs)
        )
        site.notes.add(f"encoded {count}")
        shutil.rmtree(site.work / "by_time", ignore_errors=True)
    count = int(site.notes.said("encoded"))
    for key, what in ((users, "sorting by customer"), (items, "sorting by item")):
        _sorted(key, runs[key], count, what, site)
    _finish(tables, found, len(blocks), site)


def _inputs(tables: Unpacked, site: Site) -> tuple[Path, ...]:
    """The events as Parquet files: those that are not, and those read through an expression, are written anew."""
    files = []
    for number, part in enumerate(tables.events):
        if isinstance(part, Path):
            files.append(part)
            continue
        file = site.work / f"input-{number:05}.parquet"
        if not file.exists():
            site.progress("reading", number / len(tables.events))
            begun = file.with_suffix(".part")
            part.sink_parquet(begun, compression="lz4", statistics=False)
            synced(begun)
            begun.replace(file)
        site.progress("reading", (number + 1) / len(tables.events))
        files.append(file)
    return tuple(files)


def _surveyed(tables: Unpacked, blocks: Blocks, site: Site) -> Survey:
    """Count ids a few blocks at a time."""
    rows = 4 * site.block
    parts = [site.work / f"survey-{start:015}" for start in range(0, len(blocks), rows)]

    def one(number: int) -> None:
        survey_part(blocks, number * rows, min((number + 1) * rows, len(blocks)), parts[number])

    site.each("counting customers and items", len(parts), lambda number: parts[number].exists(), one)
    return survey(tables, blocks, parts)


# --- From ids to codes, in the order in which events became known. ---

_Coded = Callable[[int], Mapping[str, Array]]


@dataclass(frozen=True, eq=False)
class _Key:
    """One of the two orders: its name, its code column, the rows of each code, and the parts of the codes."""

    order: str
    column: str
    rows: Array
    bounds: Array

    @property
    def parts(self) -> int:
        """How many parts the codes are divided into."""
        return len(self.bounds) - 1

    def part_of(self) -> Array:
        """The part of each code; the last entry, which -1 leads to, is no part. uint16."""
        return np.append(np.repeat(np.arange(self.parts), np.diff(self.bounds)), self.parts).astype(np.uint16)


def _layout(columns: Mapping[str, pl.DataType], events: int) -> dict[str, np.dtype[Any]]:
    """The columns of an order and their types."""
    kinds = {"known": "i8", "time": "i8", "user": "i4", "item": "i4", "event_type": "i4", "quantity": "f4"}
    kinds |= {"amount": "f4"} | {_extra(name): "f4" for name in context(columns)}
    return {name: np.dtype(kind) for name, kind in kinds.items()} | {"row": row_type(events)}


def _extra(name: str) -> str:
    # A context column may be called like one of ours.
    return f"extra {name}"


def _coded(blocks: Blocks, found: Survey, rows: int) -> _Coded:
    """Blocks of the log with codes for ids."""
    users, items = Lookup(found.user_ids), Lookup(found.item_ids)
    types = Lookup(pl.Series(found.event_types, dtype=pl.String))
    names = context(blocks.columns)
    read = {schema.USER, schema.SESSION, schema.ITEM, schema.TYPE, schema.TIME, schema.ARRIVED}
    read |= {schema.QUANTITY, schema.AMOUNT, *names}

    def coded(number: int) -> Mapping[str, Array]:
        start, stop = number * rows, min((number + 1) * rows, len(blocks))
        frame = blocks.rows(start, stop, [name for name in blocks.columns if name in read]).collect()
        frame = frame.with_columns(pl.col(f"^({schema.TIME}|{schema.ARRIVED})$").cast(schema.CLOCK))
        return {
            "known": frame.select(known()).to_series().dt.epoch("us").to_numpy(),
            "time": frame[schema.TIME].dt.epoch("us").to_numpy(),
            "user": users.codes(frame.select(actor(blocks.columns, found.user_ids.dtype)).to_series()),
            "item": items.codes(frame[schema.ITEM].cast(found.item_ids.dtype))
            if schema.ITEM in frame.columns
            else np.full(len(frame), UNKNOWN, dtype=np.int32),
            "event_type": types.codes(frame[schema.TYPE].cast(pl.String)),
            "quantity": numbers(frame, schema.QUANTITY),
            "amount": numbers(frame, schema.AMOUNT),
            "row": np.arange(start, stop),
        } | {_extra(name): numbers(frame, name) for name in names}

    return coded


def _in_order(blocks: Blocks, found: Survey, layout: Mapping[str, Any], site: Site) -> tuple[int, _Coded]:
    """Blocks of the log in the order in which events became known, for a log that is not written in it."""
    step = max(1, site.block // EVERY)
    bounds = np.unique(found.instants[step::step])
    runs = Runs(site.work / "by_time", len(bounds) + 1, {name: layout[name] for name in layout if name != "row"})
    coded, count = _coded(blocks, found, site.block), -(-len(blocks) // site.block)

    def put(number: int) -> None:
        columns = coded(number)
        runs.put(number, columns, np.searchsorted(bounds, columns["known"], side="right").astype(np.uint16))

    site.each("putting events in order", count, runs.has, put)
    offsets = runs.offsets(count)
    first = np.append(0, np.cumsum(np.diff(offsets).sum(axis=0)))

    def ordered(part: int) -> Mapping[str, Array]:
        rows = np.lexsort([runs.column(part, name, offsets) for name in ("time", "known")])
        columns = {name: runs.column(part, name, offsets)[rows] for name in runs.layout}
        return columns | {"row": np.arange(first[part], first[part + 1])}

    return runs.parts, ordered


def _put(coded: _Coded, runs: Mapping[_Key, Runs]) -> Callable[[int], None]:
    """Put a block down in the runs of both orders."""
    part_of = {key: key.part_of() for key in runs}

    def put(number: int) -> None:
        columns = coded(number)
        for key, run in runs.items():
            run.put(number, columns, part_of[key][columns[key.column]])

    return put


# --- From parts to the files of the pack. ---


def _sorted(key: _Key, runs: Runs, blocks: int, what: str, site: Site) -> None:
    """Sort every part into its place in the files of one order."""
    if site.notes.has(key.order):
        return
    folder = site.folder / key.order
    folder.mkdir(exist_ok=True)
    before = np.append(0, np.cumsum(key.rows))
    offsets = runs.offsets(blocks)
    if (np.diff(offsets).sum(axis=0) != np.diff(before[key.bounds])).any():
        raise DataError("The log changed while it was packed.", mend="Run `intently pack` again.")
    np.save(folder / file_of("offsets"), before.astype(np.int64))
    for name, dtype in runs.layout.items():
        _create(folder / _file(name), dtype, int(before[-1]))

    def one(part: int) -> None:
        low, high = key.bounds[part], key.bounds[part + 1]
        # What has one key stands in order already, and may be too long to sort at once.
        rows = None
        if high - low > 1:
            codes = (runs.column(part, key.column, offsets) - low).astype(np.uint16)
            rows = np.argsort(codes, kind="stable")
        for name, dtype in runs.layout.items():
            file = folder / _file(name)
            with file.open("r+b") as out:
                out.seek((int(before[low]) - int(before[-1])) * dtype.itemsize, os.SEEK_END)
                pieces = runs.pieces(part, name, offsets) if rows is None else [runs.column(part, name, offsets)[rows]]
                for piece in pieces:
                    out.write(piece.data)
                out.flush()
                os.fsync(out.fileno())
        site.notes.add(f"{key.order}-{part}")

    site.each(what, key.parts, lambda part: site.notes.has(f"{key.order}-{part}"), one)
    site.notes.add(key.order)
    shutil.rmtree(runs.folder)


def _file(column: str) -> str:
    extra = column.startswith(_extra(""))
    return file_of(column.removeprefix(_extra("")), extra=extra)


def _create(file: Path, dtype: np.dtype[Any], rows: int) -> None:
    """An array of zeros as `np.save` would write it; one that is there already stays."""
    with file.open("ab") as out:
        if out.tell() < rows * dtype.itemsize or rows == 0:
            out.truncate(0)
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (rows,)}
            np.lib.format.write_array_header_1_0(out, header)
            out.truncate(out.tell() + rows * dtype.itemsize)


def _finish(tables: Unpacked, found: Survey, events: int, site: Site) -> None:
    """The tables beside the rows, and last of all that the pack is whole."""
    content = {
        "users.parquet": pl.DataFrame({"id": found.user_ids}),
        "items.parquet": pl.DataFrame({"id": found.item_ids}),
        "types.parquet": pl.DataFrame({"id": list(found.event_types)}),
        ITEMS: found.items,
        USERS: found.users,
    }
    for name, table in content.items():
        table.write_parquet(site.folder / name)
    for path in (*content, *(file for key in ("by_user", "by_item") for file in (key, *(site.folder / key).iterdir()))):
        synced(site.folder / path)
    about = {
        "format": FORMAT,
        "events": events,
        "observed_from": found.observed_from.isoformat(),
        "observed_until": found.observed_until.isoformat(),
        "source": tables.source,
        "stamp": tables.stamp,
    }
    begun = site.work / MANIFEST
    begun.write_text(json.dumps(about, indent=1) + "\n")
    synced(begun)
    begun.replace(site.folder / MANIFEST)
    synced(site.folder)
