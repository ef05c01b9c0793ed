"""Raw tables as they stand: Parquet, CSV and JSON files (also .gz), folders and patterns of them."""

from __future__ import annotations

import csv
import glob
import gzip
import io
import json
import os
import re
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

import polars as pl

from intently.errors import DataError
from intently.log.values import whole

_KINDS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")
_MARKS = {b"PK\x03\x04": "an Excel or zip file", b"\xd0\xcf\x11\xe0": "an old Excel file", b"PAR1": "a Parquet file"}
_WRITE_AGAIN = "Write the file again as Parquet, CSV or JSON lines (UTF-8)."
# Characters that stand for no text: a file with a zero byte is not one.
_NUL = b"\0"


def kind_of(path: Path) -> str | None:
    """What a file's name says it holds (.parquet, .csv, ...), .gz aside; None for anything else."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in _KINDS else None


def files_of(source: Path | str) -> list[Path]:
    """The files of a file, a folder (in any depth) or a pattern, sorted; hidden ones are left out."""
    path = Path(source)
    if path.is_dir():
        found = [Path(top) / name for top, _, names in os.walk(path, onerror=_refuse) for name in names]
        hidden = (".", "_")
        kept = [one for one in found if not any(part.startswith(hidden) for part in one.relative_to(path).parts)]
        return sorted(one for one in kept if kind_of(one))
    if path.exists():
        return [path]
    return sorted(one for one in map(Path, glob.glob(str(source), recursive=True)) if one.is_file() and kind_of(one))


def read_files(source: Path | str, *, encoding: str = "utf-8", names: Collection[str] = ()) -> pl.DataFrame:
    """All files of a source as one table; DataError that names the file, and the row where it is known.

    `names` are columns of ids and texts: 1.10 stays itself there.
    """
    files = files_of(source)
    if not files:
        raise DataError(
            f"There is no file {source}.", mend=f"Give a file, a folder or a pattern of {', '.join(_KINDS)} (also .gz)."
        )
    return joined([(str(path), read_file(path, encoding=encoding, names=names)) for path in files])


def joined(tables: Sequence[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
    """Tables one under another; a column may be missing in some, and of several types."""
    frames = [frame for _, frame in tables]
    if len(frames) == 1:
        return frames[0]
    kinds: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            kinds.setdefault(name, set()).add(dtype)
    frames = [_alike(frame, kinds) for frame in frames]
    try:
        return pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        mixed = [name for name, found in kinds.items() if len(found) > 1]
        raise DataError(
            f"The files {tables[0][0]} to {tables[-1][0]} do not go together: {_first_line(error)} ({mixed}).",
            mend="Write them with the same columns.",
        ) from error


def read_file(path: Path, *, encoding: str = "utf-8", names: Collection[str] = ()) -> pl.DataFrame:
    """One file, by its suffix; `names` as in `read_files`."""
    kind = kind_of(path)
    if kind is None:
        raise DataError(f"{path} is not a kind of file that is read here.", mend=f"Give one of {', '.join(_KINDS)}.")
    try:
        if kind == ".parquet" and path.suffix.lower() != ".gz":
            return pl.read_parquet(path)
        content = _content(path)
        if kind == ".parquet":
            return pl.read_parquet(io.BytesIO(content))
        content = _text(path, content, encoding)
        return _csv(path, content, names) if kind in (".csv", ".tsv") else _json(path, content)
    except pl.exceptions.PolarsError as error:
        raise _unread(path, _first_line(error), _what(path)) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _unread(path, f"it is not a whole gzip file ({_first_line(error)})") from error


def _content(path: Path) -> bytes:
    if path.suffix.lower() == ".gz":
        with gzip.open(path) as file:
            return file.read()
    return path.read_bytes()


def _text(path: Path, content: bytes, encoding: str) -> bytes:
    """The file's text as UTF-8 without a mark at its start."""
    if not content.strip():
        raise _unread(path, "it is empty")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif _NUL in content[:10_000] or content.startswith(tuple(_MARKS)):
        raise _unread(path, "it is not text", _what(path, content))
    try:
        text = content.decode(encoding)
    except LookupError:
        raise DataError(
            f"{encoding!r} is not an encoding.", mend="Say encoding = 'utf-8', 'gb18030' or 'cp1252'."
        ) from None
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start)
        likely = likely_encoding(content)
        raise DataError(
            f"{path} cannot be read: line {row + 1} is not {encoding} text.",
            mend=f"Say encoding = {likely!r} under [data] if that is what it is, or turn the file into UTF-8: "
            f"iconv -f {likely} -t UTF-8.",
        ) from None
    if encoding.lower().replace("-", "") == "utf8":
        return content.removeprefix(b"\xef\xbb\xbf")
    return text.removeprefix("\ufeff").encode()


def likely_encoding(content: bytes) -> str:
    """UTF-8, GB18030 (Chinese) or Windows-1252: the first in which the content makes sense."""
    for encoding in ("utf-8", "gb18030"):
        try:
            # An accented letter of Western Europe before a letter of ASCII may pass for Chinese; Chinese comes in runs.
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8" or re.search(r"[\u4e00-\u9fff]{2}", text):
            return encoding
    return "cp1252"


def _csv(path: Path, content: bytes, names: Collection[str]) -> pl.DataFrame:
    """Every value as text first: a column then has the type that all of its values have, not the first hundred."""
    separator = _separator(content)
    try:
        frame = pl.read_csv(content, separator=separator, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _unread(path, _ragged(content, separator) or _first_line(error)) from error
    return frame.with_columns(_number(column, column.name in names) for column in frame.get_columns())


def _separator(content: bytes) -> str:
    header = content[: content.find(b"\n") if b"\n" in content else None].decode(errors="replace")
    return max(",;\t|", key=header.count)


def _number(column: pl.Series, name: bool) -> pl.Series:
    """A text column of numbers as numbers, unless a leading zero (0012) says that it is a name.

    An empty value in quotes is none. In a column of names 1.10 is not 1.1, and 17850.0 is 17850 in every file.
    """
    if column.dtype != pl.String:
        return column
    text = _without_point(column) if name else column
    sample = column.filter(column != "").head(100)
    if not len(sample) or sample.cast(pl.Float64, strict=False).null_count():
        return text
    if column.str.contains(r"^[-+]?0\d").any():
        return text
    filled = column.set(column == "", None)
    for kind in (pl.Int64, pl.Float64):
        number = filled.cast(kind, strict=False)
        if number.null_count() == filled.null_count():
            return text if kind == pl.Float64 and _is_name(filled, name) else number
    return text


def _without_point(names: pl.Series) -> pl.Series:
    """Names in which what is a whole number, written as a double, is written as one."""
    return names.str.replace(r"^([-+]?\d+)\.0$", "$1")


def _is_name(column: pl.Series, name: bool) -> bool:
    """Whether a double would lose some of a value: a name of 20 digits, or in a column of names a last zero."""
    if column.str.contains(r"^\d{16,}$").any():
        return True
    return name and not column.str.contains(r"^[-+]?\d+(?:\.0)?$").all()


def _ragged(content: bytes, separator: str) -> str | None:
    """The first row with more values than there are columns, in words."""
    csv.field_size_limit(2**31 - 1)
    rows = csv.reader(io.StringIO(content.decode(errors="replace"), newline=""), delimiter=separator)
    try:
        width = len(next(rows))
        for number, row in enumerate(rows):
            if len(row) > width:
                return f"row {number} (line {rows.line_num}) has {len(row)} values and there are {width} columns"
    except csv.Error as error:
        return f"line {rows.line_num}: {error}"
    return f"a quotation mark is not closed, up to line {rows.line_num}"


def _json(path: Path, content: bytes) -> pl.DataFrame:
    try:
        if content.lstrip()[:1] == b"[":
            return pl.read_json(content, infer_schema_length=None)
        return pl.read_ndjson(content, infer_schema_length=None)
    except pl.exceptions.PolarsError as error:
        raise _unread(path, _broken_line(content) or _first_line(error)) from error


def _broken_line(content: bytes) -> str | None:
    for number, line in enumerate(content.splitlines()):
        try:
            if line.strip() and not isinstance(json.loads(line), dict):
                return f"line {number + 1} is not an object"
        except ValueError as error:
            return f"line {number + 1} is not JSON ({error})"
    return None


def _alike(frame: pl.DataFrame, kinds: dict[str, set[pl.DataType]]) -> pl.DataFrame:
    """Where some files have a column as text or with another zone, dates are written out.

    Whole numbers that are floats in a file are whole again beside text: else one customer were 17850 and 17850.0.
    """
    changed: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        others = kinds[name] - {dtype, pl.Null()}
        doubles = any(one.is_float() or isinstance(one, pl.Decimal) for one in others)
        if doubles and dtype == pl.String:
            changed.append(pl.lit(_without_point(frame[name])))
        elif others and dtype == pl.Date:
            changed.append(pl.col(name).dt.to_string("%Y-%m-%d"))
        elif pl.String() in others and (dtype.is_float() or isinstance(dtype, pl.Decimal)):
            changed.append(pl.lit(whole(frame[name])))
        elif others and isinstance(dtype, pl.Datetime):
            aware = dtype.time_zone is not None
            column = pl.col(name).dt.convert_time_zone("UTC") if aware else pl.col(name)
            changed.append(column.dt.to_string("%Y-%m-%dT%H:%M:%S%.6f" + ("Z" if aware else "")))
    return frame.with_columns(changed)


def _what(path: Path, content: bytes = b"") -> str | None:
    """What a file really is, by its first bytes."""
    start = content[:4]
    if not start:
        with path.open("rb") as file:
            start = file.read(4)
    return next((what for mark, what in _MARKS.items() if start == mark and kind_of(path) != ".parquet"), None)


def _unread(path: Path, why: str, what: str | None = None) -> DataError:
    is_what = f" It looks like {what}." if what else ""
    return DataError(f"{path} cannot be read: {why.rstrip('.')}.{is_what}", mend=_WRITE_AGAIN)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _refuse(error: OSError) -> None:
    raise error
