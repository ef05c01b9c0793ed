import polars as pl
import pytest

from intently.log import schema


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (schema.USER, pl.Int64),
        (schema.USER, pl.String),
        (schema.ITEM, pl.Categorical),
        (schema.TIME, pl.Datetime("ms")),
        (schema.AMOUNT, pl.Decimal(10, 2)),
        (schema.AMOUNT, pl.Int32),
        (schema.TEXT, pl.Null),
        ("anything else", pl.List(pl.Int8)),
    ],
)
def test_fitting_types_have_no_fault(column, dtype):
    assert schema.fault_of(column, dtype) is None


@pytest.mark.parametrize(
    ("column", "dtype", "wanted"),
    [
        (schema.USER, pl.Float64, "text or a whole number"),
        (schema.TIME, pl.Date, "a date with a time"),
        (schema.TIME, pl.Int64, "a date with a time"),
        (schema.ARRIVED, pl.String, "a date with a time"),
        (schema.QUANTITY, pl.String, "a number"),
        (schema.TYPE, pl.Int64, "text"),
        (schema.TITLE, pl.Int64, "text"),
    ],
)
def test_a_fault_says_what_came_and_what_is_needed(column, dtype, wanted):
    assert schema.fault_of(column, dtype) == f"column {column!r} holds {dtype} where {wanted} is needed"
