"""The tables of a shop, found in a file, a folder or a database, and which of them are items and users."""

from __future__ import annotations

import gzip
import logging
import os
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from intently.errors import DataError
from intently.log import names, schema
from intently.log.alias import dialect_of
from intently.log.read import files_of, joined, kind_of, likely_encoding, read_file
from intently.log.recognise import Choice, chosen
from intently.log.source import MANIFEST
from intently.log.sql import is_url, read_sql, tables_of

# Guesses are made on so many first rows of a table.
ROWS = 500_000
_UTF8 = "utf-8"
# Columns in which a number is a name.
_NAMES = (schema.USER, schema.ITEM, schema.EVENT, schema.TITLE, schema.CATEGORY, schema.BRAND)
_SAY = logging.getLogger("intently")


class _Usual(frozenset[str]):
    """Usual names of columns, however they are written: `Product_ID` is in it where `productid` is."""

    def __contains__(self, column: object) -> bool:
        return super().__contains__(names.plain(str(column)))


_USUAL = _Usual(name for ours in _NAMES for name in names.COLUMNS[ours])


@dataclass(frozen=True)
class Table:
    """A table of a shop: where it lies (as `[data]` says it), the query of a database, the encoding of each file with
    more than ASCII, the first rows of each of its files, and how many rows there are (of a database `ROWS` at most).
    """

    where: str
    query: str | None
    encodings: Mapping[str, str]
    frame: pl.DataFrame
    rows: int


def found_tables(source: str | Path, beside: Path) -> dict[str, Table]:
    """Every table with rows of a source, by name; paths are written as seen from the folder `beside`."""
    if is_url(source):
        url = str(source)
        found = {}
        for name in tables_of(url):
            frame = read_sql(url, f'SELECT * FROM "{name}" LIMIT {ROWS}')
            found[name] = Table(_url_from(url, beside), name, {}, frame, len(frame))
    else:
        path = Path(source).expanduser()
        if not path.exists():
            raise DataError(f"There is no file or folder {path}.", mend="Give the data to look at.")
        groups = _groups(path) if path.is_dir() else {path.name: [path]}
        found = {}
        for name, files in groups.items():
            try:
                found[name] = _table(path, name, files, beside)
            except DataError as error:
                if len(groups) == 1:
                    raise
                _SAY.warning("left out: %s", error)
    found = {name: table for name, table in found.items() if len(table.frame)}
    if not found:
        raise DataError(
            f"There is no table with rows in {source}.", mend="Give Parquet, CSV or JSON files, or a database."
        )
    return found


def _groups(folder: Path) -> dict[str, list[Path]]:
    """Files that are one table: those of a subfolder, and those whose names differ by digits only."""
    groups: dict[str, list[Path]] = {}
    for path in files_of(folder):
        inside = path.relative_to(folder)
        if inside.name != MANIFEST:
            pattern = re.sub(r"\d[\d\-_]*", "*", inside.name)
            groups.setdefault(inside.parts[0] if len(inside.parts) > 1 else pattern, []).append(path)
    # A pattern must mean these files and no others.
    named: dict[str, list[Path]] = {}
    for name, files in groups.items():
        if (folder / name).is_dir() or (len(files) > 1 and files_of(folder / name) == files):
            named[name] = files
        else:
            named |= {one.name: [one] for one in files}
    return named


def _table(path: Path, name: str, files: list[Path], beside: Path) -> Table:
    where = path / name if path.is_dir() else path
    found = {str(file): encoding for file in files if (encoding := _encoding(file))}
    other = next((one for one in found.values() if one != _UTF8), _UTF8)
    rows, firsts = 0, []
    for file in files:
        # One file may hold what no other does: returns, another type of event.
        encoding = _UTF8 if found.get(str(file)) == _UTF8 else other
        frame = read_file(file, encoding=encoding, names=_USUAL)
        rows += len(frame)
        firsts.append((str(file), frame.head(-(-ROWS // len(files)))))
    return Table(_seen_from(where, beside), None, found, joined(firsts), rows)


def _encoding(path: Path) -> str | None:
    """What a file's first megabyte is written in; None where any encoding would do, or the file says its own."""
    if kind_of(path) == ".parquet":
        return None
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            start = file.read(1_000_000) + file.readline()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return None
    if start.isascii() or start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return None
    return likely_encoding(start)


def encoding_of(tables: Iterable[Table]) -> str:
    """The encoding that all files of some tables can be read in; UTF-8 where there is none, so that reading fails.

    cp1252 reads UTF-8 too, and makes other letters of it.
    """
    found = {file: encoding for table in tables for file, encoding in table.encodings.items()}
    other = next((file for file, encoding in found.items() if encoding != _UTF8), None)
    if other is None:
        return _UTF8
    ours = next((file for file, encoding in found.items() if encoding == _UTF8), None)
    if ours is None:
        return found[other]
    _SAY.warning("%s is UTF-8 and %s is not (%s, it seems): save them in one encoding", ours, other, found[other])
    return _UTF8


def _seen_from(path: Path, folder: Path) -> str:
    relative = os.path.relpath(path.absolute(), folder.absolute())
    return Path(relative).as_posix() if not relative.startswith("..") else path.absolute().as_posix()


def _url_from(url: str, folder: Path) -> str:
    scheme, _, rest = url.partition("://")
    if scheme not in ("sqlite", "duckdb"):
        return url
    return f"{scheme}:///{_seen_from(Path(unquote(rest.removeprefix('/'))), folder)}"


def eventful(table: Table, found: Mapping[str, Choice]) -> tuple[bool, bool, int]:
    """Events are the table with times, then with money or types, then with most rows."""
    known = dialect_of(table.frame.columns) is not None
    timed = schema.TIME in found and (schema.USER in found or schema.SESSION in found)
    telling = any(name in found for name in (schema.ITEM, schema.TYPE, schema.QUANTITY))
    return known or timed, known or telling, table.rows


def keyed(tables: Mapping[str, Table], events: pl.DataFrame, key: Choice | None, ours: str) -> str | None:
    """The table that has a row for each of the events' ids."""
    if key is None:
        return None
    wanted = _ids(events[key.column]).unique()
    for name, table in tables.items():
        found = chosen(table.frame, (ours,)).get(ours)
        if found is None and key.column in table.frame.columns:
            found = Choice(key.column, "")
        if found is not None:
            ids = _ids(table.frame[found.column])
            share = wanted.is_in(ids.implode()).mean() if len(wanted) else None
            if len(ids) and ids.n_unique() > 0.9 * len(ids) and isinstance(share, float) and share > 0.3:
                return name
    return None


def _ids(column: pl.Series) -> pl.Series:
    """Ids as text; those that a missing value made 17850.0 are whole again."""
    return column.drop_nulls().cast(pl.String).str.strip_suffix(".0")
