"""A shop's columns as ours: by name or by an SQL expression over its columns, each as the type it must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from intently.errors import ConfigError, DataError, IntentlyError
from intently.log import expression as sql
from intently.log import schema
from intently.log.mask import mask
from intently.log.times import told_day_first, utc
from intently.log.values import whole

TIMES = (schema.TIME, schema.ARRIVED)
NUMBERS = (schema.QUANTITY, schema.AMOUNT, schema.PRICE)
IDS = (schema.USER, schema.ITEM, schema.EVENT, schema.ABOUT)
TEXTS = (
    schema.TYPE,
    schema.SESSION,
    schema.TEXT,
    schema.TITLE,
    schema.CATEGORY,
    schema.BRAND,
    schema.DESCRIPTION,
)
OURS = {
    "events": (
        schema.USER,
        schema.ITEM,
        schema.TYPE,
        schema.TIME,
        schema.QUANTITY,
        schema.AMOUNT,
        schema.SESSION,
        schema.TEXT,
        schema.EVENT,
        schema.ABOUT,
        schema.ARRIVED,
    ),
    "items": (schema.ITEM, schema.TITLE, schema.CATEGORY, schema.BRAND, schema.PRICE, schema.DESCRIPTION),
    "users": (schema.USER,),
}
SECTIONS = {"events": "columns", "items": "item_columns", "users": "user_columns"}

# A text column that takes part in arithmetic is read as numbers if at least this share of it is.
_NEARLY_ALL = 0.9
# Numbers that can be read in one way alone: 12,5 and 0,125 and 1.234,50; 12.5 and 0.125 and 1,234.50.
_DECIMAL_COMMA = r"^-?(?:0,\d+|[\d.]*,(?:\d{1,2}|\d{4,})|\d{1,3}(?:\.\d{3})+,\d+)$"
_DECIMAL_POINT = r"^\s*-?(?:0\.\d+|[\d,]*\.(?:\d{1,2}|\d{4,})|\d{1,3}(?:,\d{3})+\.\d+)(?:[eE][-+]?\d+)?\s*$"
# Rows on which an expression is worked out once more, alone: a sum over the table would then differ.
_PROBE = 1000


@dataclass(frozen=True)
class Note:
    """`count` values of a column could not be taken; the first is `value`, in `row` of the table as read (from 0)."""

    table: str
    column: str
    count: int
    row: int
    value: str
    problem: str

    def __str__(self) -> str:
        return (
            f"{self.table}: {self.count:,} values of {self.column!r} {self.problem} and are left empty; "
            f"the first is {self.value!r} in row {self.row}"
        )


@dataclass(frozen=True)
class Mapped:
    """A table in our schema, and what could not be taken over."""

    frame: pl.DataFrame
    notes: tuple[Note, ...] = ()
    faults: tuple[str, ...] = ()


def mapped(
    table: str, raw: pl.DataFrame, columns: Mapping[str, str], zone: str = "UTC", day_first: bool | None = None
) -> Mapped:
    """The columns named, and those that bear our names already; without any named, every column.

    Values of a wrong kind become null and are noted. A column none of whose values is of its kind, and an expression
    that cannot be worked out, are faults.
    """
    taken = dict(columns)
    if columns:
        taken |= {name: f'"{name}"' for name in OURS[table] if name in raw.columns and name not in columns}
    else:
        taken = {name: f'"{name}"' for name in raw.columns}
    series: dict[str, pl.Series] = {}
    notes: list[Note] = []
    faults: list[str] = []
    day_first = _day_first(table, raw, taken) if day_first is None else day_first
    for ours, theirs in taken.items():
        try:
            value, more = _worked_out(raw, theirs, f"[data.{SECTIONS[table]}] {ours}", table)
            notes += more
            series[ours] = _typed(value.alias(ours), zone, day_first)
            notes += _lost(table, ours, value, series[ours])
        except IntentlyError as error:
            faults.append(f"{error.problem.rstrip('.')} ({error.mend.rstrip('.')})")
    return Mapped(pl.DataFrame(series), tuple(notes), tuple(faults))


def _day_first(table: str, raw: pl.DataFrame, taken: Mapping[str, str]) -> bool | None:
    """Whether 3/4/2024 is in April, as one column of times tells of both; None where each is to tell itself."""
    times = []
    for ours in TIMES if set(TIMES) <= set(taken) else ():
        try:
            times.append(_worked_out(raw, taken[ours], ours, table)[0])
        except IntentlyError:
            # It is said when the column is taken.
            return None
    return told_day_first(one for one in times if one.dtype in (pl.String, pl.Categorical, pl.Enum))


def expression(text: str, columns: Sequence[str], where: str) -> pl.Expr:
    """A column's name, or an SQL expression over columns; ConfigError with a caret under the fault."""
    name = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
    if name in columns:
        return pl.col(name)
    try:
        found, unknown = sql.expression(text), sql.unknown_columns(text, columns)
    except sql.SqlFault as error:
        unknown = [error]
    if unknown:
        raise ConfigError(
            f"{where} = {text!r}: {unknown[0].told()}\n   ",
            mend="Write a column's name or an SQL expression over columns, such as Quantity * UnitPrice; "
            f"a constant stands in single quotes, 'buy'. There are {', '.join(columns)}.",
        )
    return found


def numbers(values: pl.Series) -> pl.Series:
    """Text as numbers: with signs of currency, thousands marks or a decimal comma; null where it is none.

    What a comma means is decided for the column: where some values can only have a decimal comma, and none can only
    have a decimal point, a point marks thousands in all of them. Else each is read by itself, and 1,234 has a thousand.
    """
    plain = values.cast(pl.Float64, strict=False)
    left = (plain.is_null() & values.is_not_null()).arg_true()
    if len(left):
        rest = values.gather(left).str.replace_all(r"[\s\u00a0'_]|[A-Z]{3}\b|\p{Sc}|元", "")
        rest = rest.str.replace(r"^\((.*)\)$", "-$1").str.replace("^−", "-")
        if rest.str.contains(_DECIMAL_COMMA).any() and not (
            rest.str.contains(_DECIMAL_POINT).any() or values.str.contains(_DECIMAL_POINT).any()
        ):
            # Those that are numbers as they stand too: 1.234 is beside 12,5 a thousand and more.
            whole = values.scatter(left, rest).str.strip_chars()
            return whole.str.replace_all(".", "", literal=True).str.replace(",", ".").cast(pl.Float64, strict=False)
        # 1,234.5 and 1,234 mark thousands; 1.234,5 and 12,5 mark the decimals.
        rest = rest.str.replace_all(r"^(-?\d{1,3})(?:,(\d{3}))?(?:,(\d{3}))?(?:,(\d{3}))?(\.\d+)?$", "$1$2$3$4$5")
        comma = rest.str.contains(r"^-?[\d.]*,\d+$")
        rest = rest.zip_with(~comma, rest.str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True))
        plain = plain.scatter(left, rest.cast(pl.Float64, strict=False))
    return plain


def _worked_out(raw: pl.DataFrame, text: str, where: str, table: str) -> tuple[pl.Series, list[Note]]:
    found = expression(text, raw.columns, where)
    if found.meta.is_column():
        return raw.select(found.alias("value")).to_series(), []
    notes: list[Note] = []
    roots = [raw[name] for name in dict.fromkeys(found.meta.root_names())]
    try:
        value = raw.select(found.alias("value")).to_series()
    except pl.exceptions.PolarsError as error:
        raw, notes = _as_numbers(raw, roots, table)
        try:
            value = raw.select(found.alias("value")).to_series()
        except pl.exceptions.PolarsError:
            said = str(error).splitlines()[0]
            kinds = ", ".join(f"{root.name} holds {root.dtype}" for root in roots)
            raise ConfigError(
                f"{where} = {text!r} cannot be worked out: {said} ({kinds}).",
                mend="Turn text into numbers with CAST(column AS DOUBLE).",
            ) from None
    if not roots:
        return value.new_from_index(0, len(raw)), notes
    few = min(_PROBE, len(raw) // 2)
    if len(value) != len(raw) or (
        few and not raw.head(few).select(found.alias("value")).to_series().equals(value.head(few))
    ):
        raise ConfigError(
            f"{where} = {text!r} looks at more than one row.",
            mend="Leave out sums, averages and windows over rows: they would carry the future into the past.",
        )
    return value, notes


def _as_numbers(raw: pl.DataFrame, roots: Sequence[pl.Series], table: str) -> tuple[pl.DataFrame, list[Note]]:
    """Text columns that are nearly all numbers, as numbers."""
    notes: list[Note] = []
    for root in roots:
        if root.dtype == pl.String:
            value = numbers(root)
            there = len(root) - root.null_count()
            if there and len(value) - value.null_count() >= _NEARLY_ALL * there:
                raw = raw.with_columns(value)
                notes += _lost(table, root.name, root, value)
    return raw, notes


def _typed(value: pl.Series, zone: str, day_first: bool | None) -> pl.Series:
    """A value as the type that a column of this name must have; extra columns as they are."""
    name, dtype = value.name, value.dtype
    if dtype == pl.Null:
        return value.cast(schema.CLOCK) if name in TIMES else value
    if name in TIMES:
        return utc(value, zone, day_first)
    if name in NUMBERS:
        if dtype == pl.String:
            return numbers(value)
        return value.cast(pl.Float64) if isinstance(dtype, pl.Decimal) else value
    if name in IDS or name in TEXTS:
        value = whole(value)
        if name in TEXTS and value.dtype not in (pl.String, pl.Categorical, pl.Enum):
            value = _said(value)
        if value.dtype == pl.String:
            return value.set(value.str.len_bytes() == 0, None)
    return value


def _said(value: pl.Series) -> pl.Series:
    if isinstance(value.dtype, pl.List):
        return value.cast(pl.List(pl.String)).list.join(" > ")
    if isinstance(value.dtype, pl.Struct):
        return value.struct.json_encode()
    return value.cast(pl.String)


def _lost(table: str, column: str, before: pl.Series, after: pl.Series) -> list[Note]:
    """What became null on the way; DataError where nothing else is left."""
    if after.null_count() == before.null_count():
        return []
    lost = before.is_not_null() & after.is_null()
    if before.dtype == pl.String:
        lost = lost & (before.str.strip_chars().str.len_bytes() > 0)
    count = int(lost.sum())
    if not count:
        return []
    row = int(lost.arg_max() or 0)
    kind = "are not a date with a time" if column in TIMES else "are not a number"
    # Whatever stands where a number should may be anything, and this is printed and kept.
    value = mask(str(before[row]))[:80]
    if after.null_count() == len(after):
        raise DataError(
            f"{table}: the values of {column!r} {kind}, such as {value!r} in row {row}.",
            mend="Name another column for it",
        )
    return [Note(table, column, count, row, value, kind)]
