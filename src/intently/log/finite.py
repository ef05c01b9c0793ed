"""A SQL expression in which what has no value (0 / 0, the logarithm of -1) is null.

polars makes NaN or infinity of it, and takes NaN for greater than every number: a comparison with it would hold. Only
the text can be changed: polars has no SQL that asks for it afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import polars as pl
import sqlglot
from sqlglot import Token, TokenType

# Functions of numbers that have no value for some, or one too great to be told.
_PARTLY = {
    *("ln", "log", "log2", "log10", "log1p", "sqrt", "power", "pow", "exp", "corr"),
    *("acos", "acosd", "asin", "asind", "cot", "cotd"),
}
_CLOSING = {
    TokenType.L_PAREN: TokenType.R_PAREN,
    TokenType.L_BRACKET: TokenType.R_BRACKET,
    TokenType.CASE: TokenType.END,
}
_SIGNS = (TokenType.DASH, TokenType.PLUS)
# What is guarded stands there twice, and what is inside it four times, and so on: so much may be added, and so much
# for each letter, for many stand side by side.
_MOST_ADDED = 20_000
_ADDED_EACH = 32


def finite(text: str) -> str:
    """The text with null for what has no value.

    Raises OverflowError where too much of it stands inside another, SQLSyntaxError where a divisor has no clear end.
    """
    tokens = sqlglot.tokenize(text)
    return _guarded(text, tokens, 0, len(tokens))


def _guarded(text: str, tokens: Sequence[Token], first: int, stop: int) -> str:
    """Some of the tokens as text: each divisor is null instead of zero, and so is a function that has no value."""
    if first >= stop:
        return ""
    made, at, number = [], tokens[first].start, first
    left = _MOST_ADDED + _ADDED_EACH * (tokens[stop - 1].end + 1 - at)
    while number < stop:
        begin, end = number, number + 1
        if _divides(tokens, number):
            begin, end = number + 1, _operand(tokens, number + 1, stop)
            guarded = _not_zero(text, tokens, begin, end)
        elif _is_call(text, tokens, number, stop, {"mod"}):
            begin, end = number + 2, _after(tokens, number + 1) - 1
            guarded = _modulo(text, tokens, begin, end)
        elif _is_call(text, tokens, number, stop, _PARTLY):
            end = _called(tokens, number + 1, stop)
            guarded = _with_value(text, tokens, begin, end)
        else:
            number += 1
            continue
        if begin < end:
            made += [text[at : tokens[begin].start], guarded]
            at = tokens[end - 1].end + 1
            left -= len(guarded)
        if left < 0:
            raise OverflowError
        number = end
    return "".join([*made, text[at : tokens[stop - 1].end + 1]])


def _divides(tokens: Sequence[Token], number: int) -> bool:
    kind = tokens[number].token_type
    return kind == TokenType.SLASH or (kind == TokenType.MOD and tokens[number].text == "%")


def _is_call(text: str, tokens: Sequence[Token], number: int, stop: int, names: Collection[str]) -> bool:
    """Whether one of these functions is called there: its name may stand in double quotes."""
    token = tokens[number]
    called = number + 1 < stop and tokens[number + 1].token_type == TokenType.L_PAREN
    return called and token.text.lower() in names and text[token.start] != "'"


def _not_zero(text: str, tokens: Sequence[Token], begin: int, end: int) -> str:
    divisor = _guarded(text, tokens, begin, end)
    plain = [token for token in tokens[begin:end] if token.token_type not in _SIGNS]
    if (len(plain) == 1 and _is_number(plain[0])) or (plain and plain[0].token_type == TokenType.INTERVAL):
        return divisor
    # Zero of the divisor's own type, which may be a length of time; NaN times zero is NaN, which equals itself.
    return f"nullif({divisor}, ({divisor}) * 0)"


def _is_number(token: Token) -> bool:
    """Whether it is a number other than zero, which 0e5 is, and 1e-400 in a double."""
    try:
        return token.token_type == TokenType.NUMBER and float(token.text) != 0
    except ValueError:
        return False


def _modulo(text: str, tokens: Sequence[Token], begin: int, end: int) -> str:
    """The two arguments of `mod`, of which the second divides."""
    number = begin
    while number < end and tokens[number].token_type != TokenType.COMMA:
        number = _after(tokens, number) if tokens[number].token_type in _CLOSING else number + 1
    first = _guarded(text, tokens, begin, number)
    return f"{first}, {_not_zero(text, tokens, number + 1, end)}" if number + 1 < end else first


def _with_value(text: str, tokens: Sequence[Token], begin: int, end: int) -> str:
    close = _after(tokens, begin + 1) - 1
    inside = _guarded(text, tokens, begin + 2, close)
    more = _guarded(text, tokens, close + 1, end)
    called = f"{tokens[begin].text}({inside}) {more}".rstrip()
    return f"(case when abs({called}) < cast('inf' as double) then {called} end)"


def _operand(tokens: Sequence[Token], number: int, stop: int) -> int:
    """Just after the operand that begins there: a value with its signs, or all of a function or brackets."""
    while number < stop and tokens[number].token_type in _SIGNS:
        number += 1
    if number >= stop:
        return stop
    if tokens[number].token_type == TokenType.NOT:
        raise pl.exceptions.SQLSyntaxError
    kind = tokens[number].token_type
    if kind in (TokenType.INTERVAL, TokenType.DOT):
        number += 1
    return _postfixes(tokens, _after(tokens, number) if kind in _CLOSING else number + 1, stop)


def _postfixes(tokens: Sequence[Token], number: int, stop: int) -> int:
    """Just after what belongs to the value before: arguments, a filter, a place in a list, a type, a name's rest."""
    while number < stop:
        kind = tokens[number].token_type
        if kind in (TokenType.L_PAREN, TokenType.L_BRACKET):
            number = _after(tokens, number)
        elif kind == TokenType.FILTER:
            number += 1
        elif kind in (TokenType.DOT, TokenType.DCOLON):
            number += 2
        else:
            break
    return min(number, stop)


def _called(tokens: Sequence[Token], number: int, stop: int) -> int:
    """Just after the arguments that begin there, and a filter."""
    end = _after(tokens, number)
    if end + 1 < stop and tokens[end].token_type == TokenType.FILTER:
        end = _after(tokens, end + 1)
    return min(end, stop)


def _after(tokens: Sequence[Token], number: int) -> int:
    """Just after what closes the bracket, or the case, that is opened there."""
    opening = tokens[number].token_type
    depth = 0
    for place in range(number, len(tokens)):
        kind = tokens[place].token_type
        depth += (kind == opening) - (kind == _CLOSING[opening])
        if depth == 0:
            return place + 1
    return len(tokens)
