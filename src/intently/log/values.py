"""Values as a log wants them: times in UTC, numbers as numbers, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from intently.log import schema
from intently.log.findings import Finding

# The number of each row as it was read, under a name that no shop has.
ROW = "__intently_row__"


def typed(events: pl.DataFrame) -> pl.DataFrame:
    """Times as UTC, numbers written as text as numbers (no number is NaN), blank ids as null."""
    ids = (schema.USER, schema.SESSION, schema.ITEM, schema.TYPE, schema.EVENT, schema.ABOUT)
    events = numbered(blanks_emptied(events, ids))
    for name in (schema.TIME, schema.ARRIVED):
        if name not in events.columns:
            continue
        dtype = events.schema[name]
        if isinstance(dtype, pl.Datetime | pl.Date):
            events = events.with_columns(pl.col(name).cast(schema.CLOCK))
        elif dtype == pl.String:
            times = events.select(_time(name)).to_series()
            if times.null_count() < len(times):
                events = events.with_columns(times)
    return events


def blanks_emptied(table: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Text that is empty or only space becomes null in these columns."""
    texts = [name for name in columns if table.schema.get(name) == pl.String]
    return table.with_columns(
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name)).alias(name) for name in texts
    )


def numbered(table: pl.DataFrame) -> pl.DataFrame:
    """Money and quantities written as text become numbers; what is no number becomes NaN."""
    for name in (schema.AMOUNT, schema.QUANTITY, schema.PRICE):
        if table.schema.get(name) != pl.String:
            continue
        text = pl.col(name).str.strip_chars()
        numbers = table.select(
            pl.when(text != "").then(text.cast(pl.Float64, strict=False).fill_null(np.nan)).alias(name)
        )
        # A column without a single number is another column: it is refused whole.
        if numbers[name].is_finite().any():
            table = table.with_columns(numbers)
    return table


def _time(name: str) -> pl.Expr:
    """ISO times with or without a zone (then UTC), and dates."""
    text = pl.col(name).str.strip_chars().str.replace(r"^(\d{4}-\d\d-\d\d) +", "${1}T").str.replace("Z$", "+00:00")
    forms = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")
    zoned = [text.str.to_datetime(form + "%#z", strict=False, time_unit="us") for form in forms]
    plain = [text.str.to_datetime(form, strict=False, time_unit="us").dt.replace_time_zone("UTC") for form in forms]
    date = text.str.to_date("%Y-%m-%d", strict=False).cast(schema.CLOCK)
    return pl.coalesce(*zoned, *plain, date).alias(name)


def emptied(name: str, table: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    """Numbers that are not finite, and negative prices, become empty; their rows stay."""
    bad = {column: ~finite(column) for column, dtype in table.schema.items() if dtype.is_float()}
    if name == "items" and schema.PRICE in table.columns and table.schema[schema.PRICE].is_numeric():
        bad[schema.PRICE] = ~finite(schema.PRICE) | (pl.col(schema.PRICE) < 0)
    if not bad or table.is_empty():
        return table, []
    counts = table.select(rule.sum().alias(column) for column, rule in bad.items()).row(0, named=True)
    found = []
    for column in (column for column, count in counts.items() if count):
        first = int(table[ROW].filter(table.select(bad[column].fill_null(value=False)).to_series())[0])
        what = "not a number or negative" if column == schema.PRICE and name == "items" else "not a number"
        problem = (
            f"{column} is {what} in {counts[column]:,} rows, first in row {first}: the value is emptied, the row stays"
        )
        found.append(
            Finding(f"emptied_{column}", "fault", name, column, counts[column], first, problem, f"Mend the {column}.")
        )
    empty = [pl.when(~bad[column]).then(pl.col(column)).alias(column) for column, count in counts.items() if count]
    return table.with_columns(empty), found


def whole(column: pl.Series) -> pl.Series:
    """Floats and decimals that are all whole as whole numbers: a missing value made 17850 a 17850.0. Else as it is."""
    dtype = column.dtype
    if not isinstance(dtype, pl.Decimal) and not (dtype.is_float() and column.is_finite().all()):
        return column
    found = column.cast(pl.Int64, strict=False)
    return found if found.null_count() == column.null_count() and (found.cast(dtype) == column).all() else column


def finite(column: str) -> pl.Expr:
    """Whether a number is finite to a model, which reads 32 bits."""
    return pl.col(column).cast(pl.Float32, strict=False).is_finite()


def usable(table: pl.DataFrame) -> set[str]:
    """Known columns of a type that `Log.of` takes."""
    return {name for name, dtype in table.schema.items() if dtype != pl.Null and not schema.fault_of(name, dtype)}
