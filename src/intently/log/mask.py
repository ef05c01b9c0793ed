"""Masking of personal data in free text, English and Chinese: `[email] [phone] [card] [iban] [id] [account]`.

What is found, and what only resembles it, stands in `patterns.py`. Masking twice is masking once.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Sequence
from functools import cache

import polars as pl

from intently.log.patterns import RULES, Rule

KINDS = tuple(dict.fromkeys(rule.kind for rule in RULES if rule.kind))

# Signs that stand for a plain one. A text that has them is read again in plain ones.
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_STRANGE = rf"[\d&&[^0-9]]|[＠﹫Ａ-Ｚａ-ｚ{_INVISIBLE}]|[＋（]\d|\d[）．‐-―−－﹣⁃]|[【［〔]\s?(?:at|a|艾特)\s?[】］〕]"
_SEVEN_DIGITS = r"\d(?:[^\d\p{L}]{0,3}\d){6}"
# Most texts hold nothing that any rule could find, and are told apart at a million a second. One pattern for all would
# be a tenth as fast: each of these alone fits the tables of the regular expressions.
_FIRST = ("(?i)" + _STRANGE, _SEVEN_DIGITS, *(rule.screen for rule in RULES if rule.kind and not rule.digits))
_SECOND = ("(?i)" + _STRANGE, *(rule.screen for rule in RULES if rule.kind))
_TOKEN = re.compile(rf"\[(?:{'|'.join(KINDS)})\]")


def masked(texts: pl.Series) -> pl.Series:
    """A text column with personal data replaced by tokens; null stays null."""
    suspect = texts.filter(_any(texts, _FIRST)).unique()
    before = suspect.filter(_any(suspect, _SECOND))
    if before.is_empty():
        return texts
    after = pl.Series(_masked(before.to_list()), dtype=pl.String)
    changed = before != after
    return texts.replace(before.filter(changed), after.filter(changed)) if changed.any() else texts


def mask(text: str) -> str:
    """One text with personal data replaced by tokens."""
    return _masked([text])[0]


def counted(texts: pl.Series) -> dict[str, int]:
    """How many tokens of each kind a text column holds."""
    return {kind: found for kind in KINDS if (found := int(texts.str.count_matches(f"[{kind}]", literal=True).sum()))}


def _any(texts: pl.Series, patterns: Sequence[str]) -> pl.Series:
    column = pl.col("text")
    holds = pl.any_horizontal(column.str.contains(pattern) for pattern in patterns).fill_null(value=False)
    return texts.to_frame("text").select(holds).to_series()


def _masked(texts: list[str]) -> list[str]:
    """Round by round: what stands next to a token may be found only now. Every round takes signs away."""
    done = list(texts)
    open_ = list(range(len(done)))
    while open_:
        readings = [plain(done[number]) for number in open_]
        column = pl.Series([reading for reading, _ in readings], dtype=pl.String)
        holds = [column.str.contains(rule.screen).to_list() for rule in RULES]
        changed = []
        for row, number in enumerate(open_):
            rules = [rule for rule, may in zip(RULES, holds, strict=True) if may[row]]
            text = _replaced(done[number], *readings[row], rules)
            if text != done[number]:
                done[number] = text
                changed.append(number)
        open_ = changed
    return done


def _replaced(text: str, reading: str, place: Sequence[int], rules: Sequence[Rule]) -> str:
    """What the rules claim in a reading of a text, replaced in the text itself."""
    parts, after = [], len(text)
    for start, end, kind in reversed(_claims(reading, rules)):
        if kind is not None:
            parts += [text[place[end - 1] + 1 : after], f"[{kind}]"]
            after = place[start]
    return "".join([text[:after], *reversed(parts)])


def _claims(text: str, rules: Sequence[Rule]) -> list[tuple[int, int, str | None]]:
    """Spans that the rules claim, in order of place; none overlap, and tokens are nobody's."""
    closed = [token.span() for token in _TOKEN.finditer(text)]
    found: list[tuple[int, int, str | None]] = []
    if not any(rule.kind for rule in rules):
        return found
    for rule in rules:
        start = 0
        while match := rule.pattern.search(text, start):
            start = match.start() + 1
            place = bisect(closed, (start, 0))
            if place and closed[place - 1][1] >= start:
                start = closed[place - 1][1]
                continue
            span = rule.span(match)
            if span is None:
                continue
            place = bisect(closed, span)
            free = (place == 0 or closed[place - 1][1] <= span[0]) and (
                place == len(closed) or span[1] <= closed[place][0]
            )
            if free:
                closed.insert(place, span)
                found.append((*span, rule.kind))
                start = max(span[1], start)
    return sorted(found)


def plain(text: str) -> tuple[str, Sequence[int]]:
    """A text in half-width digits and signs, without invisible ones, and the place of each sign in the original."""
    reading = text if text.isascii() else text.translate(_half_width())
    if not any(sign in reading for sign in _INVISIBLE):
        return reading, range(len(text))
    place = [at for at, sign in enumerate(reading) if sign not in _INVISIBLE]
    return "".join(reading[at] for at in place), place


@cache
def _half_width() -> dict[int, str]:
    """Full-width forms, digits of every script, dashes and spaces as their plain sign, one for one."""
    table = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    table |= {code: str(unicodedata.decimal(chr(code))) for code in range(128, 0x10000) if chr(code).isdecimal()}
    table |= dict.fromkeys(map(ord, "‐‑‒–—―−－﹣⁃"), "-")
    table |= dict.fromkeys(map(ord, "\u00a0\u2002\u2003\u2009\u202f\u3000"), " ")
    table |= (
        dict.fromkeys(map(ord, "﹫"), "@") | dict.fromkeys(map(ord, "【［"), "[") | dict.fromkeys(map(ord, "】］"), "]")
    )
    return table
