"""The tables of a log that is packed block by block, without reading its events whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from intently.errors import DataError, gathered
from intently.log import schema
from intently.log.columns import mapped
from intently.log.log import Log
from intently.log.protect import Protect, protected
from intently.log.source import CONFIG, Settings, named_files, raw_table, settings_of, span_of

# Up to so many events a log is read whole: it fits in 4 GiB.
WHOLE = 10_000_000
# A column is known as personal by its name, or by what this many first rows hold.
_LOOKED_AT = 10_000


@dataclass(frozen=True)
class Unpacked:
    """What is to be packed. `events` are Parquet files or frames in the order in which they stand in the log.

    `stamp` changes when what is packed changes: a pack that was interrupted goes on only with the same. `dropped`
    are columns of the events that hold personal data; texts are in no pack.
    """

    events: tuple[Path | pl.LazyFrame, ...]
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    observed_from: datetime | None
    observed_until: datetime | None
    source: str
    stamp: str
    dropped: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: str | Path, *, whole: int = WHOLE) -> Unpacked:
        """A folder of plain Parquet of more than `whole` events as it stands on disk: nothing is set aside there, and
        what cannot be used is refused. Any other source is read into memory, and checked, first.
        """
        folder = Path(source)
        files = _plain(folder)
        if sum(_rows(path) for path in files) <= whole:
            return cls.of_log(Log.read(source), str(source))
        settings = settings_of(folder)
        with _readable(files[0]):
            first = pl.scan_parquet(files[0]).head(_LOOKED_AT).collect()
        seen = protected(first, _beside(settings, "items"), _beside(settings, "users"), Protect()).say()
        return cls(
            tuple(files),
            seen.items,
            seen.users,
            *span_of(settings),
            str(folder.resolve()),
            _stamp(folder),
            tuple(name.removeprefix("events.") for name in seen.dropped),
        )

    @classmethod
    def of_log(cls, log: Log, source: str) -> Unpacked:
        """A log in memory, and where it came from."""
        span = (log.observed_from, log.observed_until)
        return cls((log.events.lazy(),), log.items, log.users, *span, source, log.checksum())

    def __len__(self) -> int:
        """How many events there are."""
        return sum(_rows(part) for part in self.events)

    def columns(self) -> dict[str, pl.DataType]:
        """The columns of the events and their types."""
        with _readable("the source"):
            scans = [pl.scan_parquet(part) if isinstance(part, Path) else part for part in self.events]
            found = pl.concat(scans, how="diagonal_relaxed").collect_schema()
            return {name: dtype for name, dtype in found.items() if name not in self.dropped}


@dataclass(frozen=True)
class Blocks:
    """Events in Parquet files as one table: rows by number, columns by one type."""

    files: tuple[Path, ...]
    starts: tuple[int, ...]
    columns: dict[str, pl.DataType]

    @classmethod
    def of(cls, files: tuple[Path, ...], dropped: tuple[str, ...] = ()) -> Blocks:
        """Take the files as one table without some columns; a column that some of them lack is empty there."""
        lengths = [_rows(path) for path in files]
        joined = pl.concat([pl.scan_parquet(path) for path in files], how="diagonal_relaxed")
        starts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        columns = {name: dtype for name, dtype in joined.collect_schema().items() if name not in dropped}
        return cls(files, tuple(starts), columns)

    def __len__(self) -> int:
        return self.starts[-1]

    def rows(self, start: int, stop: int, names: list[str]) -> pl.LazyFrame:
        """Rows `start` to `stop` of these columns."""
        if start == stop:
            return pl.LazyFrame(schema={name: self.columns[name] for name in names})
        parts = []
        first = int(np.searchsorted(self.starts, start, side="right")) - 1
        for file, begin, end in zip(self.files[first:], self.starts[first:], self.starts[first + 1 :], strict=False):
            if begin >= stop:
                break
            low, high = max(start, begin) - begin, min(stop, end) - begin
            scan = pl.scan_parquet(file).slice(low, high - low)
            there = scan.collect_schema().names()
            parts.append(scan.select(self._typed(name, name in there) for name in names))
        return pl.concat(parts)

    def _typed(self, name: str, there: bool) -> pl.Expr:
        return (pl.col(name) if there else pl.lit(None).alias(name)).cast(self.columns[name])


def actor(columns: dict[str, pl.DataType], ids: pl.DataType) -> pl.Expr:
    """The customer of an event as an id of this type: where they are not known, the session stands for them."""
    if schema.USER not in columns:
        return pl.col(schema.SESSION).cast(ids)
    user = pl.col(schema.USER).cast(ids)
    if schema.SESSION in columns and ids == pl.String:
        return pl.coalesce(user, pl.col(schema.SESSION).cast(ids))
    return user


def _plain(folder: Path) -> list[Path]:
    """The files of events if they are Parquet and nothing says that they are to be read otherwise."""
    if not folder.is_dir() or (folder / CONFIG).exists():
        return []
    files = named_files(folder, "events")
    return files if all(path.suffix.lower() == ".parquet" for path in files) else []


def _beside(settings: Settings, name: str) -> pl.DataFrame | None:
    """The table of that name beside the events, as `Log.read` takes it."""
    if getattr(settings.data, name) is None:
        return None
    found = mapped(name, raw_table(settings, name), {})
    if found.faults:
        raise DataError(
            f"The log cannot be read: {gathered(found.faults)}.",
            mend="Correct the columns; docs/log.md lists them all.",
        )
    return found.frame


def _rows(part: Path | pl.LazyFrame) -> int:
    with _readable(part if isinstance(part, Path) else "the source"):
        scan = pl.scan_parquet(part) if isinstance(part, Path) else part
        count: int = scan.select(pl.len()).collect(engine="streaming").item()
    return count


@contextmanager
def _readable(where: Path | str) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"The events in {where} cannot be read: {str(error).splitlines()[0]}.",
            mend="Write the file again as Parquet or CSV.",
        ) from error


def _stamp(folder: Path) -> str:
    """A hash of the names, sizes and times of change of the files of a log; the pack may stand beside them."""
    own = [path for name in ("events", "items", "users", "log") for path in folder.glob(f"{name}*")]
    files = sorted(file for path in own for file in (path, *path.rglob("*")) if file.is_file())
    lines = [f"{path.relative_to(folder)} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
