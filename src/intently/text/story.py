"""A past as words: what a language model that reads text is told of a customer, newest first.

No torch here: training and serving share this code. The same past always gives the same words.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from intently.contract import Examples, Past
from intently.log import schema
from intently.text.verbalise import item_texts
from intently.text.wording import UNITS, Wording, wording_of

Array = np.ndarray

# What numbers are rounded to within a power of ten, and where, by ratio, one is as near as the next.
_STEPS = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0)
_BETWEEN = tuple(math.sqrt(low * high) for low, high in pairwise(_STEPS))
# Amounts that go without saying.
_NOTHING = ("0", "-0")
# Examples whose whole pasts are counted at once.
_COUNTED_AT_ONCE = 1_000

# A text longer than this is cut before anything reads it: no model here takes so many tokens.
_LONGEST = 4_000


@dataclass(frozen=True)
class Piece:
    """Characters `start` to `stop` (half-open) of a story's past, and the `rows` of `Past.rows(last)` they tell of.

    `when` are the words that say its time. The first piece of a time begins with them; those after it go without.
    """

    start: int
    stop: int
    rows: tuple[int, ...]
    when: str = ""


@dataclass(frozen=True)
class Story:
    """What is told of one example: its `past`, in `pieces` of one or more folded events, and what is `asked` about.

    `asked` holds the visible columns of the asked event; it is empty for a question about a customer.
    """

    past: str
    asked: str
    pieces: tuple[Piece, ...]

    def piece_of(self, starts: Array) -> Array:
        """For the first characters of tokens of `past`: the number of the piece each belongs to, -1 for none."""
        begins = np.array([piece.start for piece in self.pieces], dtype=np.int64)
        ends = np.array([piece.stop for piece in self.pieces], dtype=np.int64)
        place = np.searchsorted(begins, starts, side="right") - 1
        inside = (place >= 0) & (starts < ends[np.maximum(place, 0)]) if len(begins) else np.zeros(len(starts), bool)
        return np.where(inside, place, -1)

    def cut(self, end: int) -> Story:
        """The story without the pieces that end after character `end` of its past: the oldest go first."""
        kept = tuple(piece for piece in self.pieces if piece.stop <= end)
        return replace(self, past=self.past[: kept[-1].stop if kept else 0], pieces=kept)


@dataclass(frozen=True)
class Teller:
    """How pasts are told: in which `language`, and at most how many of the newest events (`last`; 0 tells none).

    With `rates`, a past begins with how often a month what was done and for how much, since the customer was first seen
    (at least a month), how often and for how much in the last month, and when last: what the newest events alone do not
    say. A month's numbers, not sums: those grow with the log, and a reader would be asked of ever larger ones than it
    learned from.
    """

    language: str = "en"
    last: int = 48
    rates: bool = False

    def tell(self, examples: Examples, past: Past) -> list[Story]:
        """The story of each example."""
        wording = wording_of(self.language)
        asked = list(_asked(examples, past, wording))
        pasts = _pasts(past, wording, self.last) if self.last else [("", ())] * len(examples)
        if self.rates:
            pasts = [_joined(rates, told, wording) for rates, told in zip(_rates(past, wording), pasts, strict=True)]
        return [Story(text, what, pieces) for (text, pieces), what in zip(pasts, asked, strict=True)]


def age_words(age: float, wording: Wording) -> str:
    """How long ago, in the largest unit that is full at least once, rounded down."""
    for unit, (one, many) in zip(UNITS, wording.ago, strict=True):
        # Ages come as float32: an hour may be a hair less.
        n = int(age / unit + 1e-4)
        if n:
            return one if n == 1 else many.format(n=n)
    return wording.now


def amount_words(amount: float) -> str:
    """A number as one writes it: at most two decimals, none where it is whole."""
    return f"{amount:.2f}".rstrip("0").rstrip(".")


def about(number: float) -> float:
    """A number to the nearest of 1, 1.5, 2, 3, 4, 5, 7, 10, 15, ... by its ratio to them, with its sign; 0 below .001.

    So there are few different numbers for a language model to learn.
    """
    size = abs(number)
    if size < 0.001:
        return 0.0
    power = 10.0 ** math.floor(math.log10(size))
    return math.copysign(_STEPS[bisect(_BETWEEN, size / power)] * power, number)


def said(text: str) -> str:
    """What somebody wrote, on one line, and not beyond what any model reads."""
    return " ".join(text[:_LONGEST].split())


def _asked(examples: Examples, past: Past, wording: Wording) -> Iterator[str]:
    event = examples.asked_event
    if not event.columns:
        yield from [""] * len(examples)
        return
    frame = event
    if schema.ITEM in event.columns:
        texts, number = past.of_items("item texts", lambda: item_texts(past.items))
        names = pl.DataFrame({schema.ITEM: past.items[schema.ITEM], "_item": pl.Series(texts).gather(number)})
        joined = event.join(names, on=schema.ITEM, how="left", maintain_order="left")
        frame = joined.drop(schema.ITEM).rename({"_item": schema.ITEM}).select(event.columns)
    for row in frame.iter_rows(named=True):
        parts = [_column(name, value) for name, value in row.items() if value not in (None, "")]
        yield wording.comma.join(part for part in parts if part) or wording.silent


def _column(name: str, value: Any) -> str:
    match value:
        case str():
            return said(value) if name in (schema.TEXT, schema.ITEM) else f"{name} {said(value)}"
        case bool():
            return name if value else ""
        case int() | float():
            return f"{name} {amount_words(float(value))}"
        case _:
            return f"{name} {value}"


@dataclass(frozen=True)
class _Columns:
    """The rows of pasts as plain lists, and the words for their types and items."""

    age: list[float]
    kind: list[int]
    item: list[int]
    quantity: list[float]
    amount: list[float]
    text: list[str | None]
    kinds: tuple[str, ...]
    items: Sequence[str]


def _pasts(past: Past, wording: Wording, last: int) -> list[tuple[str, tuple[Piece, ...]]]:
    rows = past.rows(last)
    texts, number = past.of_items("item texts", lambda: item_texts(past.items))
    named = past.of_items("item names", lambda: [texts[i] for i in number])
    columns = _Columns(
        rows.age.tolist(),
        rows.event_type.tolist(),
        rows.item.tolist(),
        np.nan_to_num(rows.quantity).tolist(),
        np.nan_to_num(rows.amount).tolist(),
        past.texts(last).to_list(),
        past.event_types,
        named,
    )
    start, stop = (np.searchsorted(rows.example, np.arange(len(past)), side=side) for side in ("left", "right"))
    return [_past(columns, int(a), int(b), wording) for a, b in zip(start, stop, strict=True)]


def _past(columns: _Columns, start: int, stop: int, wording: Wording) -> tuple[str, tuple[Piece, ...]]:
    """The rows `start` to `stop` in words, the newest first; alike ones of one time are told once."""
    if start == stop:
        return wording.nothing, (Piece(0, len(wording.nothing), ()),)
    folded: dict[tuple[str, int, str], list[int]] = {}
    for row in range(stop - 1, start - 1, -1):
        kind, item, text = columns.kind[row], columns.item[row], columns.text[row]
        what = wording.quote.format(text=said(text)) if text and text.strip() else ""
        thing = columns.items[item] if item >= 0 else ""
        name = f"{thing} {what}".strip() if thing else what
        folded.setdefault((age_words(columns.age[row], wording), kind, name), []).append(row)
    words, pieces, before = "", [], None
    # Python keeps the order of insertion: times stay together only where rows came in time order, which they do
    # but for what arrived late.
    for (when, kind, name), mine in folded.items():
        phrase, time = _phrase(columns.kinds[kind], name, mine, columns, wording), f"{when}{wording.colon}"
        if when != before:
            phrase = time + phrase
        mark = "" if before is None else wording.comma if when == before else wording.stop
        words += mark
        pieces.append(Piece(len(words), len(words) + len(phrase), tuple(row - start for row in reversed(mine)), time))
        words, before = words + phrase, when
    return words, tuple(pieces)


def _rates(past: Past, wording: Wording) -> Iterator[list[str]]:
    """For each example a phrase for every type of event in its past, in the order of the types."""
    month = UNITS[1]
    for start in range(0, len(past), _COUNTED_AT_ONCE):
        part = past.take(np.arange(start, min(start + _COUNTED_AT_ONCE, len(past))))
        rows, types = part.rows(), len(past.event_types)
        cell, size = rows.example * types + rows.event_type, len(part) * types
        amount, lately = np.nan_to_num(rows.amount).astype(np.float64), rows.age <= month
        newest, oldest = np.full(size, np.inf), np.full(len(part), month)
        np.minimum.at(newest, cell, rows.age)
        np.maximum.at(oldest, rows.example, rows.age)
        # Who is known for less than a month has done in a month what was done so far.
        months = np.repeat(oldest / month, types)
        columns = (
            np.bincount(cell, minlength=size) / months,
            np.bincount(cell, amount, size) / months,
            np.bincount(cell[lately], minlength=size),
            np.bincount(cell[lately], amount[lately], size),
            newest,
        )
        numbers = np.column_stack(columns).reshape(len(part), types, len(columns)).tolist()
        for mine in numbers:
            told = zip(past.event_types, mine, strict=True)
            yield [_rate(kind, values, wording) for kind, values in told if values[0]]


def _rate(kind: str, values: Sequence[float], wording: Wording) -> str:
    times, amount, times_lately, amount_lately, newest = values
    phrase = wording.event.get(kind, wording.other).format(what=wording.something, kind=kind)
    return wording.rate.format(
        phrase=phrase,
        often=_often(times, amount, wording),
        lately=wording.lately.format(often=_often(times_lately, amount_lately, wording)) if times_lately else "",
        ago=age_words(newest, wording),
    )


def _often(times: float, amount: float, wording: Wording) -> str:
    money = amount_words(about(amount))
    return wording.often.format(n=amount_words(about(times))) + (
        "" if money in _NOTHING else wording.amount.format(amount=money)
    )


def _joined(
    rates: Sequence[str], told: tuple[str, tuple[Piece, ...]], wording: Wording
) -> tuple[str, tuple[Piece, ...]]:
    """A past that begins with rates. They tell of no single event."""
    text, pieces = told
    if not rates:
        return told
    words, before = "", []
    for number, phrase in enumerate(rates):
        words += wording.comma if number else ""
        before.append(Piece(len(words), len(words) + len(phrase), ()))
        words += phrase
    words += wording.stop if text else ""
    moved = (replace(piece, start=piece.start + len(words), stop=piece.stop + len(words)) for piece in pieces)
    return words + text, (*before, *moved)


def _phrase(kind: str, name: str, rows: Sequence[int], columns: _Columns, wording: Wording) -> str:
    units = sum(columns.quantity[row] for row in rows)
    amount = sum(columns.amount[row] for row in rows)
    what = name or wording.something
    told = _told_units(units, len(rows))
    if told:
        what = wording.units.format(n=told, what=what)
    phrase = wording.event.get(kind, wording.other).format(what=what, kind=kind)
    if len(rows) > 1:
        phrase += wording.times.format(n=len(rows))
    if amount:
        phrase += wording.amount.format(amount=amount_words(amount))
    return phrase


def _told_units(units: float, times: int) -> str:
    """Units where there are more than one each time; one each goes without saying."""
    return "" if units in (0.0, float(times)) else amount_words(units)


def within(story: Story, offsets: Mapping[str, Sequence[tuple[int, int]]], budget: int) -> Story:
    """The story in at most `budget` tokens, given where each token of `past` and `asked` begins and ends.

    What is asked about has three quarters of the budget where it needs them and there is a past; the past fills the
    rest with whole pieces, the newest first, and with the beginning of its first where not one fits.
    """
    asked, past = offsets["asked"], offsets["past"]
    room = budget if not past else max(budget * 3 // 4, budget - len(past))
    if len(asked) > room:
        story, asked = replace(story, asked=story.asked[: asked[room - 1][1]]), asked[:room]
    left = budget - len(asked)
    if len(past) <= left:
        return story
    end = past[left - 1][1] if left else 0
    shorter = story.cut(end)
    if shorter.pieces or not end:
        return shorter
    first = story.pieces[0]
    return replace(story, past=story.past[:end], pieces=(replace(first, stop=end),))
