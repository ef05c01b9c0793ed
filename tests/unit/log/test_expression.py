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


NUMBERS = pl.DataFrame(
    {
        "sold": [0, 1, -1, 7],
        "shown": [0, 0, 0, 2],
        "price": [0.0, 1.0, -1.0, 7.0],
        "old": [0.0, 0.0, 0.0, 2.0],
        "stay": pl.Series([0, 0, 0, 2]).cast(pl.Duration("us")),
        "few": pl.Series([0, 0, 0, 2], dtype=pl.UInt32),
        "exact": pl.Series(["0", "0", "0", "2"]).cast(pl.Decimal(10, 2)),
        "flag": [False, False, False, True],
    }
)
NONE = [None, None, None]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("sold / shown > 0.2", [*NONE, True]),
        ("price/old<9", [*NONE, True]),
        ("not sold / shown > 0.2", [*NONE, False]),
        ("sold % shown", [*NONE, 1]),
        ("price % old", [*NONE, 1.0]),
        ("mod(price, old) >= 0", [*NONE, True]),
        ("sold / few", [*NONE, 3.5]),
        ("cast(sold / exact as double)", [*NONE, 3.5]),
        ("stay / stay", [*NONE, 1.0]),
        ("price / flag", [*NONE, 7.0]),
        ("price / -old + 1", [*NONE, -2.5]),
        ("price / (old - 0) * 2", [*NONE, 7.0]),
        ("price / old::double / 2", [*NONE, 1.75]),
        ("1 + price / case when old > 1 then (case when true then 7 end) else 0 end", [*NONE, 2.0]),
        ("price / coalesce(old, 1) > 0 or shown = 2", [*NONE, True]),
        ("price / 0 > 1", [*NONE, None]),
        ("price / 0.0 > 1", [*NONE, None]),
        ("price / old -- the share\n > 1", [*NONE, True]),
        ("1 / (1 / (shown / old))", [*NONE, 1.0]),
        ("ln(sold - 6) >= 0", [*NONE, True]),
        ("LOG(sold - 6, 2)", [*NONE, 0.0]),
        ("sqrt(price - 3)", [*NONE, 2.0]),
        ("power(price - 3, 0.5) + power(old, -1)", [*NONE, 2.5]),
        ("acos(price - 6) >= 0", [*NONE, True]),
        ("exp(1000 - 142 * price) > 0", [*NONE, True]),
        ("price / 0e5 > 1", [*NONE, None]),
        ("price / 1e-400 > 1", [*NONE, None]),
        ("price % -9e-999", [*NONE, None]),
        ('"ln"(old - 1) > -1', [*NONE, True]),
        ('"SQRT"(price - 3) > 1', [*NONE, True]),
        ("ln(old - 1)::int", [*NONE, 0]),
        ("price / sqrt(old + 2)::int / 2", [0.0, 0.5, -0.5, 1.75]),
        ("mod(exact, exact)::double", [*NONE, 0.0]),
        ("mod(shown + 1, coalesce(exact, (3)) - 0)::double", [*NONE, 1.0]),
        ("mod(1 / old, 2)", [*NONE, 0.5]),
        # What has a value keeps it, and its type.
        ("sold / 2", [0.0, 0.5, -0.5, 3.5]),
        ("price / +2e0", [0.0, 0.5, -0.5, 3.5]),
        ("power(sold, 2)", [0, 1, 1, 49]),
        ("stay / interval '1 microsecond'", [0.0, 0.0, 0.0, 2.0]),
        ("'a / b' || ' ln(0)'", ["a / b ln(0)"]),
        ("corr(price, old) > 0.9", [True]),
        ("corr(price, old) filter (where old = 0) > 0.9", [None]),
        ("corr(price, sold) filter (where price / old > 9)", [None]),
        ("corr(price, sold) filter (where old / price < 9 or ln(price) < 9) > 0.9", [True]),
        ("count(*) filter (where old > 9) / count(*) filter (where old > 8) > 0.2", [None]),
        ("count(*) filter (where old > 1) / count(*) > 0.2", [True]),
    ],
)
def test_what_has_no_value_is_null_and_not_greater_than_every_number(text, values):
    assert tried(text, NUMBERS)["value"].to_list() == values


def test_a_fault_in_a_division_is_drawn_as_it_was_written():
    with pytest.raises(SqlFault) as caught:
        tried("1 / sum(category)", ROWS)
    assert caught.value.drawing == "1 / sum(category)\n    ^^^^^^^^^^^^^"
    with pytest.raises(SqlFault, match="one inside the other"):
        expression("1 / (" * 14 + "amount" + ")" * 14)
    assert expression("amount" + " / amount" * 400) is not None


@pytest.mark.parametrize("text", ["price / not flag", "price / not (flag)", "price % - not flag > 1"])
def test_what_divides_must_have_a_clear_end(text):
    with pytest.raises(SqlFault, match="put brackets around it"):
        expression(text)
    assert tried("price / (not flag)", NUMBERS)["value"].to_list() == [0.0, 1.0, -1.0, None]


LONG_CASE = "case category " + " ".join(f"when 'kind of tea no. {n}' then {n}" for n in range(700)) + " end"
LONG_LIST = "category in (" + ", ".join(f"'kind {n}'" for n in range(2_500)) + ", 'tea')"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (LONG_CASE, [None, None, None]),
        (LONG_LIST, [True, False, None]),
        (
            " + ".join(["amount / amount", "amount / (amount + 0)", "1 / sqrt(amount * 0 + 1)"] * 150),
            [450.0, None, 450.0],
        ),
    ],
)
def test_a_long_text_that_is_not_nested_is_read(text, values):
    assert tried(text, ROWS)["value"].to_list() == values


@pytest.mark.parametrize("text", ["(" * 400 + "price < 3" + ")" * 400, "not " * 300 + "price < 3", "- " * 900 + "1"])
def test_what_is_nested_too_deeply_is_a_fault(text):
    with pytest.raises(SqlFault) as caught:
        expression(text)
    assert len(caught.value.said) < 100


@pytest.mark.parametrize("text", ["price < \ud800", "'\udfff' = category", '"\ud83d" > 1'])
def test_half_of_a_sign_is_a_fault_that_can_be_written_out(text):
    with pytest.raises(SqlFault, match="half of a sign") as caught:
        expression(text)
    assert "\ufffd" in str(caught.value).encode().decode()


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
