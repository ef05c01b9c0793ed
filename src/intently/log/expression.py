"""A shop's own SQL expression as a polars one, with a caret under what is wrong.

polars reads the SQL (`polars.sql_expr`); sqlglot only says where in the text a thing stands, and what kind
of thing it is. Nothing but an expression over one row's columns, or an aggregate of them, gets through:
no query, no window, no clock, no chance. What has no value is null (`finite.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import pairwise

import polars as pl
import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError

from intently.errors import ConfigError
from intently.log.finite import finite

# Standard SQL that polars has under another name; both skip nulls, and give null over nothing.
_RENAMED = {"bool_or": "max", "bool_and": "min", "every": "min"}

_SUGGESTED = (
    *_RENAMED,
    *("sum", "count", "avg", "min", "max", "median", "stddev", "variance", "first", "last", "quantile_cont"),
    *("coalesce", "nullif", "abs", "round", "floor", "ceil", "ln", "sqrt", "greatest", "least", "sign"),
    *("lower", "upper", "length", "substr", "replace", "strpos", "starts_with", "ends_with", "regexp_like"),
    *("date_part", "extract"),
)

# A surrogate: JSON may hold one alone.
_HALF = re.compile("[\ud800-\udfff]")

_CLOCKS = (
    exp.CurrentTimestamp,
    exp.CurrentDate,
    exp.CurrentTime,
    exp.CurrentDatetime,
    exp.Localtime,
    exp.Localtimestamp,
)


class SqlFault(ConfigError):
    """What is wrong in an expression: `said`, and a drawing of its line with carets under the fault."""

    def __init__(self, said: str, text: str, start: int, end: int) -> None:
        begin = text.rfind("\n", 0, start) + 1
        line = text[begin:].split("\n", 1)[0]
        stop = max(min(end, begin + len(line)), start + 1)
        # A Chinese character is two columns wide: so is the space above its caret.
        before = "".join("\u3000" if _wide(letter) else " " for letter in line[: start - begin])
        carets = "^" * sum(2 if _wide(letter) else 1 for letter in text[start:stop].ljust(1))
        self.said = said
        self.drawing = f"{line}\n{before}{carets}"
        super().__init__(self.told(), mend="\ndocs/own-questions.md says what an expression may hold.")

    def told(self) -> str:
        """What is wrong, and below it the drawing, indented."""
        return "\n      ".join([self.said, *self.drawing.split("\n")])


def expression(text: str) -> pl.Expr:
    """The polars expression that a SQL expression means. Raises SqlFault."""
    tree = _tree(text)
    _only_an_expression(text, tree)
    try:
        # As it was written, for what is said of a fault to be about that.
        pl.sql_expr(_renamed(text))
    except pl.exceptions.PolarsError as error:
        raise _unread(text, tree, str(error).splitlines()[0]) from error
    try:
        return _meant(text)
    except pl.exceptions.PolarsError as error:
        raise SqlFault("it cannot be told what is divided by: put brackets around it", text, 0, len(text)) from error
    except OverflowError as error:
        said = "too many divisions, logarithms, powers or roots, one inside the other"
        raise SqlFault(said, text, 0, len(text)) from error


def unknown_columns(text: str, columns: Iterable[str]) -> list[SqlFault]:
    """A fault for each column that the (readable) expression names and that is not there, nearest name first."""
    known = list(columns)
    # Quoted or not, polars tells letters' case apart.
    missing = {name for name in expression(text).meta.root_names() if name not in known}
    faults = []
    for name in sorted(missing):
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}."
        start, end = _identifier(text, name)
        if text[start : start + 1] == '"':
            hint = f"{hint} Text stands in single quotes: '{name}'."
        faults.append(SqlFault(f"there is no column {name!r}{hint}", text, start, end))
    return faults


def tried(text: str, rows: pl.DataFrame) -> pl.DataFrame:
    """The expression over some rows, as one column. Raises SqlFault where the columns' types do not allow it."""
    try:
        return rows.select(expression(text).alias("value"))
    except pl.exceptions.PolarsError as error:
        start, end = next(_failing(text, rows), (0, len(text)))
        raise SqlFault(_plain(str(error)), text, start, end) from error


def _tree(text: str) -> exp.Expr:
    if not text.strip():
        raise SqlFault("the expression is empty", text or " ", 0, 1)
    half = _HALF.search(text)
    if half is not None:
        # It cannot be written out either.
        raise SqlFault("half of a sign is no text", _HALF.sub("\ufffd", text), *half.span())
    try:
        return sqlglot.parse_one(text)
    except RecursionError as error:
        raise SqlFault("it is nested too deeply", text, 0, len(text)) from error
    except ParseError as error:
        at = error.errors[0] if error.errors else {}
        lines = text.split("\n")
        line, column = int(at.get("line") or 1), int(at.get("col") or 1)
        # sqlglot points at the last character of the last token that it read.
        end = min(sum(len(one) + 1 for one in lines[: line - 1]) + column, len(text))
        start = end - max(1, len(str(at.get("highlight") or " ")))
        raise SqlFault(_short(str(at.get("description", "it cannot be read"))), text, max(0, start), end) from error
    except SqlglotError as error:
        start = max(text.rfind("'"), text.rfind('"'), 0)
        raise SqlFault("a quote is opened and not closed", text, start, start + 1) from error


def _short(description: str) -> str:
    missing = "Required keyword" in description
    return (
        "something is missing after this" if missing else f"SQL error here: {description[0].lower()}{description[1:]}"
    )


def _only_an_expression(text: str, tree: exp.Expr) -> None:
    for node in tree.walk():
        said = None
        if isinstance(node, exp.Query | exp.Subquery | exp.Block | exp.Command):
            said = "a query is not an expression: name columns and functions only"
        elif isinstance(node, exp.Window):
            said = "a window (over) is not allowed: an expression sees the asked one's own rows only"
        elif isinstance(node, exp.Alias):
            said = "an expression needs no name (as)"
        elif isinstance(node, _CLOCKS) or (isinstance(node, exp.Anonymous) and node.name.lower() == "now"):
            said = "the clock is not allowed: an answer may not depend on when it is computed"
        elif isinstance(node, exp.Rand | exp.Uuid):
            said = "chance is not allowed: an answer has to be the same twice"
        elif isinstance(node, exp.Unnest | exp.Explode):
            said = "an expression gives one value, not rows"
        if said is not None:
            whole = isinstance(node, exp.Query | exp.Subquery)
            raise SqlFault(said, text, *((0, len(text)) if whole else _span(text, node)))


def _span(text: str, node: exp.Expr) -> tuple[int, int]:
    """Where a node stands: its own place, else that of all it holds, else the whole text."""
    metas = [node.meta] if "start" in node.meta else [one.meta for one in node.walk() if "start" in one.meta]
    if not metas:
        return 0, len(text)
    return min(meta["start"] for meta in metas), max(meta["end"] for meta in metas) + 1


def _identifier(text: str, name: str) -> tuple[int, int]:
    for node in _tree(text).find_all(exp.Identifier):
        if node.name == name and "start" in node.meta:
            return node.meta["start"], node.meta["end"] + 1
    return 0, len(text)


def _unread(text: str, tree: exp.Expr, said: str) -> SqlFault:
    """What polars says of an expression that it does not read, with the place of the function it names."""
    named = re.search(r"unsupported function '(\w+)'", said)
    if named is None:
        return SqlFault(said, text, 0, len(text))
    name = named[1]
    near = get_close_matches(name.lower(), _SUGGESTED, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; docs/own-questions.md lists those that are."
    for node in tree.find_all(exp.Func):
        start, end = _span(text, node)
        if text[start:end].lower() == name.lower():
            return SqlFault(f"there is no function {name}{hint}", text, start, end)
    return SqlFault(f"there is no function {name}{hint}", text, 0, len(text))


def _meant(text: str) -> pl.Expr:
    """What a readable text means. Raises PolarsError or OverflowError where that cannot be put into SQL of polars."""
    return pl.sql_expr(finite(_renamed(text)))


def _renamed(text: str) -> str:
    """The text with the names of functions that polars calls otherwise exchanged."""
    tokens = sqlglot.tokenize(text)
    for token, following in reversed(list(pairwise(tokens))):
        name = _RENAMED.get(token.text.lower())
        if name is not None and following.text == "(" and text[token.start] != "'":
            text = text[: token.start] + name + text[token.end + 1 :]
    return text


def _failing(text: str, rows: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """The functions whose own part of the text fails over these rows, innermost first."""
    for node in reversed(list(_tree(text).find_all(exp.Func))):
        if "start" not in node.meta:
            continue
        start, end = node.meta["start"], _closing(text, node.meta["end"])
        try:
            rows.select(_meant(text[start:end]).alias("value"))
        except pl.exceptions.PolarsError:
            yield start, end


def _closing(text: str, start: int) -> int:
    """Just after the bracket that closes the first one opened from `start` on."""
    depth = 0
    for token in sqlglot.tokenize(text):
        if token.start >= start and token.text in ("(", ")") and text[token.start] in "()":
            depth += 1 if token.text == "(" else -1
            if depth == 0:
                return int(token.end) + 1
    return len(text)


def _wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _plain(error: str) -> str:
    """The first sentence of what polars says, without its plan."""
    return error.splitlines()[0].removesuffix(":")
