"""SQL expressions: what is read, what is refused, and where exactly the carets stand."""

import polars as pl
import pytest

from intently.errors import ConfigError
from intently.log.expression import SqlFault, expression, tried, unknown_columns

ROWS = pl.DataFrame(
    {
        "event_type": ["buy", "view", "buy"],
        "category": ["tea", "coffee", None],
        "amount": [1.0, None, 2.0],
        "timestamp": pl.Series([0, 1, 2]).cast(pl.Datetime("us", "UTC")),
    }
)
WINDOW = "sum(amount) over (partition by category)"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("bool_or(category = 'tea')", True),
        ("BOOL_AND(event_type = 'buy')", False),
        ("every(amount > 0)", True),
        ("sum(amount) filter (where event_type = 'buy')", 3.0),
        ("count(*)", 3),
        ("count(distinct category)", 2),
        ("case when sum(amount) > 2 then 'big' else 'small' end", "big"),
        # A function's name inside a text, or a column of that name, is not the function.
        ("max(category) = 'bool_or(' or false", False),
        ("coalesce(sum(amount) filter (where category = 'wine'), 0)", 0.0),
        ("sum(amount) -- all of it", 3.0),
    ],
)
def test_an_expression_means_what_sql_means(text, value):
    assert tried(text, ROWS)["value"].to_list() == [value]


@pytest.mark.parametrize(
    ("text", "says", "drawing"),
    [
        ("sum(amount", "expecting )", "sum(amount\n    ^^^^^^"),
        ("amount >", "something is missing", "amount >\n       ^"),
        ("1 + summ(amount)", "no function summ; did you mean sum?", "1 + summ(amount)\n    ^^^^"),
        ("read_csv('passwords')", "no function read_csv", "read_csv('passwords')\n^^^^^^^^"),
        ("sum(amount)\n  + summ(amount)", "no function summ", "  + summ(amount)\n    ^^^^"),
        ("'茶' = summ(amount)", "no function", "'茶' = summ(amount)\n \u3000    ^^^^"),
        ("select 1", "a query is not", "select 1\n^^^^^^^^"),
        ("amount > (select 1)", "a query is not", "amount > (select 1)\n^^^^^^^^^^^^^^^^^^^"),
        (WINDOW, "a window", WINDOW + "\n" + "^" * 39),
        ("sum(amount) as total", "needs no name", "sum(amount) as total\n" + "^" * 20),
        ("now() > timestamp", "the clock", "now() > timestamp\n^^^"),
        ("random() > 1", "chance", "random() > 1\n^^^^^^"),
        ("1; drop table x", "a query is not", "1; drop table x\n" + "^" * 15),
        ("category = 'tea", "a quote", "category = 'tea\n           ^"),
        ("", "empty", " \n^"),
    ],
)  # fmt: skip
def test_a_fault_is_drawn_where_it_stands(text, says, drawing):
    with pytest.raises(SqlFault, match=None) as caught:
        expression(text)
    assert says in caught.value.said
    assert caught.value.drawing == drawing


def test_a_fault_is_an_error_that_a_person_can_mend():
    with pytest.raises(ConfigError, match="own-questions"):
        expression("sum(")


def test_unknown_columns_are_told_with_the_nearest():
    faults = unknown_columns("bool_or(categry = 'tea' and amoux > 1)", ROWS.columns)
    assert [fault.said for fault in faults] == [
        "there is no column 'amoux'; did you mean 'amount'?",
        "there is no column 'categry'; did you mean 'category'?",
    ]
    assert [fault.drawing.split("\n")[1] for fault in faults] == [" " * 28 + "^^^^^", " " * 8 + "^" * 7]


def test_text_in_double_quotes_is_told_to_be_a_column():
    (fault,) = unknown_columns('bool_or(category = "green")', ROWS.columns)
    assert "single quotes: 'green'" in fault.said
    assert fault.drawing.split("\n")[1] == " " * 19 + "^" * 7


def test_what_types_do_not_allow_is_drawn_under_the_function():
    with pytest.raises(SqlFault) as caught:
        tried("count(*) + sum(category)", ROWS)
    assert caught.value.drawing == "count(*) + sum(category)\n           ^^^^^^^^^^^^^"
    with pytest.raises(SqlFault, match="compare"):
        tried("max(timestamp) > '2020-01-01'", ROWS)
