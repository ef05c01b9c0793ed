"""A log packed for reading pasts: rows by customer and time, rows by item and time.

A past is then a slice. Arrays are kept as `.npy` files and opened memory-mapped, so a log
larger than memory is served from disk.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import numpy as np
import polars as pl

from intently.errors import DataError
from intently.log import schema
from intently.log.lookup import UNKNOWN as UNKNOWN
from intently.log.lookup import Array as Array
from intently.log.lookup import Lookup

# Written last: a folder without it is not a whole pack.
MANIFEST = "pack.json"
FORMAT = 1

Made = TypeVar("Made")

_EXTRA = "extra."
_FEW = 32
_MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class Order:
    """Rows of a log sorted by (key, known time); `offsets[k]:offsets[k + 1]` are key k's rows.

    `known` is max(timestamp, arrived_at) and `time` the timestamp, both microseconds UTC.
    Codes are row numbers of the key tables; -1 is none. `row` is the row in `Log.events`.
    """

    offsets: Array
    known: Array
    time: Array
    user: Array
    item: Array
    event_type: Array
    quantity: Array
    amount: Array
    row: Array
    extra: Mapping[str, Array]

    def stop_before(self, key: Array, at: Array) -> Array:
        """For each (key, at): the end of the key's rows known strictly before `at`."""
        low = self.offsets[key].astype(np.int64)
        high = self.offsets[key + 1].astype(np.int64)
        if len(low) <= _FEW:
            # One search each: to step through all keys together takes longer than to search a few.
            found = [
                start + np.searchsorted(self.known[start:stop], when)
                for start, stop, when in zip(low.tolist(), high.tolist(), at.tolist(), strict=True)
            ]
            return np.array(found, dtype=np.int64)
        while True:
            open_ = low < high
            if not open_.any():
                return low
            middle = (low + high) >> 1
            earlier = np.zeros(len(low), dtype=bool)
            earlier[open_] = self.known[middle[open_]] < at[open_]
            low = np.where(open_ & earlier, middle + 1, low)
            high = np.where(open_ & ~earlier, middle, high)


@dataclass(frozen=True)
class Pack:
    """Both orders of one log, with the tables that give codes their ids."""

    user_ids: pl.Series
    item_ids: pl.Series
    event_types: tuple[str, ...]
    by_user: Order
    by_item: Order

    @classmethod
    def of(cls, events: pl.DataFrame, items: pl.DataFrame) -> Pack:
        """Pack events (sorted by known time). Items missing from `items` get codes after it."""
        user_ids = events[schema.USER].unique().sort().drop_nulls()
        item_ids = items[schema.ITEM]
        if schema.ITEM in events.columns:
            sold = events[schema.ITEM].drop_nulls().unique()
            item_ids = pl.concat([item_ids, sold.filter(~sold.is_in(item_ids.implode())).sort()])
        types = events[schema.TYPE].cast(pl.String).unique().sort().to_list()
        columns = {
            "known": events.select(known()).to_series().dt.epoch("us").to_numpy(),
            "time": events[schema.TIME].dt.epoch("us").to_numpy(),
            "user": codes(events[schema.USER], user_ids),
            "item": codes(events[schema.ITEM], item_ids)
            if schema.ITEM in events.columns
            else np.full(len(events), UNKNOWN, dtype=np.int32),
            "event_type": codes(events[schema.TYPE].cast(pl.String), pl.Series(types, dtype=pl.String)),
            "quantity": numbers(events, schema.QUANTITY),
            "amount": numbers(events, schema.AMOUNT),
        }
        extra = {name: numbers(events, name) for name in context(events.schema)}
        return cls(
            user_ids,
            item_ids,
            tuple(types),
            _order(columns, extra, "user", len(user_ids)),
            _order(columns, extra, "item", len(item_ids)),
        )

    def save(self, folder: Path) -> None:
        """Write the arrays as `.npy` files, the key tables as Parquet, and that it is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MANIFEST).unlink(missing_ok=True)
        pl.DataFrame({"id": self.user_ids}).write_parquet(folder / "users.parquet")
        pl.DataFrame({"id": self.item_ids}).write_parquet(folder / "items.parquet")
        pl.DataFrame({"id": list(self.event_types)}).write_parquet(folder / "types.parquet")
        for name, order in (("by_user", self.by_user), ("by_item", self.by_item)):
            (folder / name).mkdir(exist_ok=True)
            for column in (*_ARRAYS, "row"):
                np.save(folder / name / file_of(column), getattr(order, column))
            for column, values in order.extra.items():
                np.save(folder / name / file_of(column, extra=True), values)
        (folder / MANIFEST).write_text(json.dumps({"format": FORMAT}) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Pack:
        """Open a saved pack; arrays stay on disk until they are read. Raises DataError where it is not whole."""
        manifest(folder)

        def ids(name: str) -> pl.Series:
            return pl.read_parquet(folder / f"{name}.parquet")["id"]

        def order(name: str) -> Order:
            arrays = {
                path.stem: np.load(path, mmap_mode="r", allow_pickle=False)
                for path in sorted((folder / name).glob("*.npy"))
            }
            extras = [key for key in arrays if key.startswith(_EXTRA)]
            extra = {unquote(key.removeprefix(_EXTRA)): arrays.pop(key) for key in extras}
            return Order(**arrays, extra=extra)

        return cls(ids("users"), ids("items"), tuple(ids("types")), order("by_user"), order("by_item"))

    def in_order(self, items: pl.DataFrame) -> pl.DataFrame:
        """A catalogue in the order of item codes, with empty rows for what it does not hold."""
        ids = pl.DataFrame({schema.ITEM: self.item_ids})
        return ids.join(items, on=schema.ITEM, how="left", maintain_order="left")

    @cached_property
    def user_codes(self) -> Lookup:
        """From customers' ids to their codes."""
        return Lookup(self.user_ids)

    @cached_property
    def item_codes(self) -> Lookup:
        """From items' ids to their codes."""
        return Lookup(self.item_ids)


class Derived:
    """What follows from a catalogue alone, made once for as long as the catalogue is kept."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, int], tuple[object, Any]] = {}

    def of(self, name: str, owner: object, make: Callable[[], Made]) -> Made:
        """What `make` gives; made once for each name and owner, which is compared by identity and kept."""
        found = self._made.get((name, id(owner)))
        if found is None:
            found = self._made[name, id(owner)] = (owner, make())
        made: Made = found[1]
        return made


_ARRAYS = ("offsets", "known", "time", "user", "item", "event_type", "quantity", "amount")
_NOT_CONTEXT = {
    schema.USER,
    schema.ITEM,
    schema.QUANTITY,
    schema.AMOUNT,
    schema.EVENT,
    schema.ABOUT,
    schema.SESSION,
}


def known() -> pl.Expr:
    """When an event could be known: max(timestamp, arrived_at), where there is an `arrived_at`."""
    return pl.max_horizontal(pl.col(f"^({schema.TIME}|{schema.ARRIVED})$"))


def context(columns: Mapping[str, pl.DataType]) -> list[str]:
    """The further number columns of the events, which are read as context."""
    return [name for name, dtype in columns.items() if dtype.is_numeric() and name not in _NOT_CONTEXT]


def file_of(column: str, *, extra: bool = False) -> str:
    """The file of an order's column; a context column may have any name."""
    return f"{_EXTRA}{quote(column, safe=' ')}.npy" if extra else f"{column}.npy"


def manifest(folder: Path) -> dict[str, Any]:
    """What a whole pack says of itself. Raises DataError for anything else."""
    # Who may only read finds what is there.
    with suppress(OSError):
        recover(folder)
    try:
        content: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise DataError(f"{folder} does not hold a whole pack.", mend="Write it with `intently pack`.") from None
    if content.get("format") != FORMAT:
        raise DataError(f"{folder} holds a pack of another version.", mend="Write it again with `intently pack`.")
    return content


def is_pack(folder: str | Path) -> bool:
    """Whether a folder holds a pack, of whatever version."""
    with suppress(OSError, ValueError):
        recover(Path(folder))
    return (Path(folder) / MANIFEST).is_file()


def recover(folder: Path) -> None:
    """Finish what a process was doing that ended while it forgot customers in a pack.

    The pack without them takes the place that the old one has left; the old one goes. Two may do so at once.
    """
    part, old = beside(folder)
    with suppress(FileNotFoundError):
        if not folder.exists() and old.exists():
            # The old pack leaves its place when the new one is whole.
            part.rename(folder)
        if folder.exists() and old.exists():
            shutil.rmtree(old)


def beside(folder: Path) -> tuple[Path, Path]:
    """Where a pack is written anew, and where the old one goes before the new one takes its place."""
    folder = folder.resolve()
    return folder.with_name(folder.name + ".forget.part"), folder.with_name(folder.name + ".forget.old")


def codes(ids: pl.Series, table: pl.Series) -> Array:
    """The row of each id in `table`, -1 where it is not there."""
    lookup = pl.DataFrame({"id": table}).with_row_index("code")
    joined = pl.DataFrame({"id": ids}).join(lookup, on="id", how="left", maintain_order="left")
    return joined["code"].cast(pl.Int32).fill_null(UNKNOWN).to_numpy()


def numbers(events: pl.DataFrame, name: str) -> Array:
    """A number column as float32, 0 where it is empty or missing."""
    if name not in events.columns:
        return np.zeros(len(events), dtype=np.float32)
    return events[name].cast(pl.Float32).fill_null(0).to_numpy()


def _order(columns: Mapping[str, Array], extra: Mapping[str, Array], key: str, keys: int) -> Order:
    # Rows come sorted by known time, so a stable sort by key keeps that order within a key.
    rows = np.argsort(columns[key], kind="stable")
    rows = rows[columns[key][rows] != UNKNOWN]
    counts = np.bincount(columns[key][rows], minlength=keys)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Order(
        offsets=offsets,
        **{name: np.ascontiguousarray(values[rows]) for name, values in columns.items()},
        row=rows.astype(row_type(len(columns[key]))),
        extra={name: np.ascontiguousarray(values[rows]) for name, values in extra.items()},
    )


def row_type(events: int) -> np.dtype[Any]:
    """What row numbers of so many events are kept as."""
    return np.dtype(np.int32 if events < 2**31 else np.int64)


def days(microseconds: Array) -> Array:
    """Microseconds as days, float32."""
    return (microseconds / _MICROSECONDS_PER_DAY).astype(np.float32)


def hour_of_week(microseconds: Array) -> Array:
    """The hour of the week of times in microseconds UTC: 0 is Monday 00:00, int16."""
    # 1970-01-01 was a Thursday.
    hours = microseconds // 3_600_000_000 + 72
    # numpy divides by a constant four times as fast as it takes the remainder.
    return (hours - hours // 168 * 168).astype(np.int16)
