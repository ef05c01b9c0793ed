# ruff: noqa: E501
"""A shop's columns as ours."""

import polars as pl
import pytest

from intently.errors import ConfigError
from intently.log.columns import expression, mapped, numbers

RAW = pl.DataFrame(
    {
        "Kunde": [17850.0, None, 12.0],
        "Line item": ["mug", "", "雨衣😀"],
        "Quantity": [1, 2, 3],
        "UnitPrice": [1.5, 2.0, 2.5],
        "单价": [1, 2, 3],
        "when": ["2024-01-31 10:00", "2024-01-31 11:00", "2024-01-31 12:00"],
        "extra": [[1], [2], [3]],
        "text": ["a", "b", "c"],
    }
)


def faults(**columns):
    return mapped("events", RAW, columns).faults


def test_columns_by_name_and_by_expression():
    found = mapped(
        "events",
        RAW,
        {
            "user_id": "Kunde", "title": "Line item", "amount": "Quantity * UnitPrice", "quantity": "单价 + 1",
            "event_type": "CASE WHEN Quantity > 2 THEN 'return' ELSE 'buy' END", "timestamp": "when", "channel": "'web'",
        },
    )  # fmt: skip
    assert found.faults == ()
    frame = found.frame
    # A float of whole numbers is an id; an empty text is none; a column with our name comes along, others do not.
    assert frame["user_id"].to_list() == [17850, None, 12]
    assert frame["title"].to_list() == ["mug", None, "雨衣😀"]
    assert frame["amount"].to_list() == [1.5, 4.0, 7.5]
    assert frame["event_type"].to_list() == ["buy", "buy", "return"]
    assert frame["channel"].to_list() == ["web"] * 3
    assert frame["text"].to_list() == ["a", "b", "c"]
    assert set(frame.columns) == {
        "user_id",
        "title",
        "amount",
        "quantity",
        "event_type",
        "timestamp",
        "channel",
        "text",
    }


def test_without_a_mapping_every_column_is_kept():
    assert mapped("events", RAW, {}).frame.columns == RAW.columns


def test_an_unknown_column_is_named_with_the_nearest_and_a_caret():
    (fault,) = faults(amount="Quantity * UnitPrce")
    assert "no column 'UnitPrce'; did you mean 'UnitPrice'?" in fault
    lines = fault.splitlines()
    assert lines[1].index("UnitPrce") == lines[2].index("^")
    (fault,) = faults(amount="单价 * Quantty")
    # A wide letter has a wide space below it.
    assert fault.splitlines()[2].strip(" ").startswith("\u3000\u3000   ^")


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("Quantity * * UnitPrice", "needs no name"),
        ("(Quantity + 1", "expecting )"),
        ("foo(Quantity)", "there is no function foo"),
        ("Quantity; DROP TABLE x", "a query is not an expression"),
        ("buy", "a constant stands in single quotes, 'buy'"),
        ("text * 2", "cannot be worked out"),
    ],
)
def test_what_cannot_be_worked_out_is_a_fault(sql, says):
    (fault,) = faults(amount=sql)
    assert says in fault


@pytest.mark.parametrize("sql", ["SUM(UnitPrice)", "UnitPrice - AVG(UnitPrice)", "SUM(UnitPrice) OVER (PARTITION BY 1)",
                                 "LEAD(UnitPrice) OVER (ORDER BY Quantity)"])  # fmt: skip
def test_an_expression_over_several_rows_is_refused(sql):
    # It would carry what comes later into an earlier row.
    told = faults(amount=sql)[0]
    assert "looks at more than one row" in told or "a window (over) is not allowed" in told


def test_values_that_are_none_of_their_kind_are_left_empty_and_named():
    raw = pl.DataFrame({"when": ["2024-01-31", "soon", "2024-01-32"], "paid": ["1", "much", "3"]})
    found = mapped("events", raw, {"timestamp": "when", "amount": "paid"})
    assert found.frame["amount"].to_list() == [1.0, None, 3.0]
    told = [str(note) for note in found.notes]
    assert told[0].startswith("events: 2 values of 'timestamp' are not a date")
    assert "'soon' in row 1" in told[0]
    assert "'much' in row 1" in told[1]


def test_a_column_that_is_wholly_of_another_kind_is_a_fault():
    found = mapped("events", pl.DataFrame({"amount": ["a", "b"], "timestamp": ["x", "y"]}), {})
    assert len(found.faults) == 2
    assert "'amount' are not a number, such as 'a' in row 0" in found.faults[0]


def test_one_bad_row_does_not_spoil_an_expression():
    raw = pl.DataFrame({"q": ["x", *map(str, range(1, 100))], "p": [2.0] * 100})
    found = mapped("events", raw, {"amount": "q * p"})
    assert found.frame["amount"].to_list()[:3] == [None, 2.0, 4.0]
    assert (found.notes[0].row, found.notes[0].column) == (0, "q")


def test_a_quoted_name_is_one_name():
    assert expression('"Line item"', RAW.columns, "x").meta.output_name() == "Line item"
    with pytest.raises(ConfigError, match="no column"):
        expression("Line", RAW.columns, "x")


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["12,99", "1,5", "1,459"], [12.99, 1.5, 1.459]),
        (["0,5", "0,125", "-0,75"], [0.5, 0.125, -0.75]),
        (["1.234,50", "1.234", "980"], [1234.5, 1234, 980]),
        (["€ 2,50", "1.000.000", "7"], [2.5, 1_000_000, 7]),
        # With no other proof a comma marks thousands, and where both are proved each is read by itself.
        (["1,234", "2,500", "7"], [1234, 2500, 7]),
        (["$12.50", "1,459"], [12.5, 1459]),
        (["1.234", "12,5", "3.5"], [1.234, 12.5, 3.5]),
    ],
)
def test_what_a_comma_means_is_decided_for_the_column(texts, wanted):
    assert numbers(pl.Series(texts)).to_list() == wanted


def test_numbers_with_marks():
    texts = [
        "1",
        "1,234.50",
        "1.234,5",
        "12,5",
        "￥12",
        "$ 3.5",
        "(4.00)",
        "USD 5",
        "much",
        "1,234,567",
        "-3",
        "12元",
        None,
    ]
    assert numbers(pl.Series(texts)).to_list() == [
        1, 1234.5, 1234.5, 12.5, 12, 3.5, -4, 5, None, 1234567, -3, 12, None
    ]  # fmt: skip


def test_one_column_of_times_tells_the_other_whether_the_day_comes_first():
    raw = pl.DataFrame({"timestamp": ["13/01/2024", "02/02/2024"], "arrived_at": [None, "03/02/2024"]})
    found = mapped("events", raw, {})
    assert not found.faults
    assert [value.isoformat()[:10] for value in found.frame.row(1)] == ["2024-02-02", "2024-02-03"]
    # Where they do not agree each tells for itself, or is refused.
    raw = raw.with_columns(arrived_at=pl.Series([None, "02/13/2024"]))
    assert mapped("events", raw, {}).frame["arrived_at"][1].day == 13


def test_a_value_that_is_no_number_is_told_without_what_is_personal_in_it():
    raw = pl.DataFrame({"q": ["1", "ring 13800138000"], "user_id": ["a", "b"]})
    found = mapped("events", raw, {"quantity": "q", "user_id": "user_id"})
    assert "13800138000" not in str(found.notes[0])
    assert "ring" in str(found.notes[0])
