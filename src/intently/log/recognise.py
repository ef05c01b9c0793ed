"""Which of a shop's columns stands for which of our names: by its name (English, Chinese) and by what it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from intently.errors import IntentlyError
from intently.log import clock, schema
from intently.log.columns import numbers
from intently.log.mask import masked
from intently.log.names import COLUMNS, EVENT_TYPES, PERSONAL, PLACES, plain
from intently.log.protect import Protect, named_personal
from intently.log.times import utc

_SAMPLE = 2_000
# Different words of a column of event types, at most; how well such words alone stand for one, below a usual name.
_MOST_WORDS = 60
_OF_WORDS = 0.7
_FUNNEL = {"view", "cart", schema.BUY}

EVENTS = (
    schema.TIME,
    schema.USER,
    schema.ITEM,
    schema.TYPE,
    schema.SESSION,
    schema.QUANTITY,
    schema.AMOUNT,
    schema.PRICE,
    schema.TEXT,
    schema.ARRIVED,
    schema.EVENT,
)
ITEMS = (schema.ITEM, schema.TITLE, schema.CATEGORY, schema.BRAND, schema.PRICE)


@dataclass(frozen=True)
class Choice:
    """The column chosen for one of our names, how it was recognised, and the next best."""

    column: str
    why: str
    second: str = ""
    sure: bool = True


def chosen(frame: pl.DataFrame, wanted: Sequence[str]) -> dict[str, Choice]:
    """The column of a table for each of our names, where one can be told; no column serves twice."""
    scores: list[tuple[float, str, str, str]] = []
    for ours in wanted:
        for column in frame.columns:
            score, why = _score(ours, column, frame[column])
            if score > 0:
                scores.append((score, ours, column, why))
    if schema.TYPE in wanted:
        scores = _by_words(scores, frame)
    scores.sort(key=lambda one: -one[0])
    found: dict[str, Choice] = {}
    taken: set[str] = set()
    for score, ours, column, why in scores:
        if ours not in found and column not in taken:
            second = next((one[2] for one in scores if one[1] == ours and one[2] != column and one[2] not in taken), "")
            found[ours] = Choice(column, why, second, score >= 0.75)
            taken.add(column)
    return found


def _score(ours: str, column: str, values: pl.Series) -> tuple[float, str]:
    """How well a column stands for one of our names, from 0 to 1, and why."""
    known, name = COLUMNS[ours], plain(column)
    sample = values.drop_nulls().head(_SAMPLE)
    if not len(sample):
        return 0.0, ""
    fits, holds = _fits(ours, sample)
    if not fits:
        return 0.0, ""
    if name in known:
        return 1.0 - 0.2 * known.index(name) / len(known), f"{column!r} is a usual name for it; it holds {holds}"
    # Part of a longer name: `order_customer_id`, 商品数量(件). Short names would be found in anything.
    parts = [one for one in known if len(one) > (1 if ord(one[0]) > 0x2E7F else 3) and one in name]
    if parts:
        return 0.5 + 0.1 * len(max(parts, key=len)) / len(
            name
        ), f"{column!r} is like {max(parts, key=len)!r}; it holds {holds}"
    if ours == schema.TIME and not sample.dtype.is_numeric():
        return 0.3, f"{column!r} holds {holds}"
    return 0.0, ""


def _by_words(scores: list[tuple[float, str, str, str]], frame: pl.DataFrame) -> list[tuple[float, str, str, str]]:
    """Columns of any other name that tell events by their words, too; then no column of other words is the type."""
    types = {column for _, ours, column, _ in scores if ours == schema.TYPE}
    # What bears the usual name of something else is that.
    others = {column for score, _, column, _ in scores if score > _OF_WORDS} - types
    money = max((one for one in scores if one[1] == schema.AMOUNT), default=None)
    telling = []
    for column in frame.columns:
        words = {} if column in others else _event_words(frame[column])
        if words and (money is None or not _pays_alike(frame[column], frame[money[2]], words)):
            kinds = len(set(words.values()))
            why = f"{column!r} holds {', '.join(list(words)[:3])}"
            telling.append((_OF_WORDS + kinds / 1_000, schema.TYPE, column, why))
    if not telling:
        return scores
    told = {column for _, _, column, _ in telling}
    kept = [one for one in scores if one[1] != schema.TYPE or one[2] in told]
    return kept + [one for one in telling if not any(one[1:3] == other[1:3] for other in kept)]


def _event_words(values: pl.Series) -> dict[str, str]:
    """The words of a column and what they mean, the frequent first, where they tell what customers did.

    Nearly every row has one; of view, cart and purchase there are at least two that mean nothing else; and nearly all
    words are known, or more than half where there are all three.
    """
    if values.dtype != pl.String or not len(values) or values.null_count() > 0.05 * len(values):
        return {}
    if values.head(_SAMPLE).n_unique() > _MOST_WORDS:
        return {}
    counts = values.drop_nulls().value_counts(sort=True).rows()
    words = {word: name for word, _ in counts for name, known in EVENT_TYPES.items() if plain(word) in known}
    told = sum(count for word, count in counts if word in words)
    sure = {name for word, name in words.items() if plain(word) not in PLACES}
    enough = 0.5 if set(words.values()) >= _FUNNEL else 0.95
    return words if len(_FUNNEL & sure) >= 2 and told >= enough * len(values) else {}


def _pays_alike(values: pl.Series, money: pl.Series, words: Mapping[str, str]) -> bool:
    """Whether money stands on rows of other words about as often as on sales: then all are sales, whatever it says."""
    bought = values.replace_strict(words, default=None, return_dtype=pl.String).is_in([schema.BUY, schema.RETURN])
    paid = money.is_not_null()
    sold, other = paid.filter(bought.fill_null(value=False)), paid.filter(~bought.fill_null(value=False))
    return bool(len(other)) and bool(other.mean() > 0.5 * (sold.mean() if len(sold) else 0.0))  # type: ignore[operator]


def _fits(ours: str, sample: pl.Series) -> tuple[bool, str]:
    """Whether a column's values could be what our name means, and what they are in words."""
    dtype, distinct = sample.dtype, sample.n_unique()
    if ours in (schema.TIME, schema.ARRIVED):
        return _are_times(sample), f"times such as {sample[0]}"
    if ours in (schema.QUANTITY, schema.AMOUNT, schema.PRICE):
        value = sample if dtype.is_numeric() else numbers(sample) if dtype == pl.String else None
        fits = value is not None and value.null_count() <= 0.05 * len(sample)
        if fits and ours == schema.QUANTITY and value is not None:
            fits = bool((value.cast(pl.Float64).round() == value.cast(pl.Float64)).mean() > 0.9)  # type: ignore[operator]
        return fits, f"numbers{_such(sample)}"
    if ours == schema.TYPE:
        few = distinct <= _MOST_WORDS and (distinct <= len(sample) / 3 or distinct <= 5)
        return few and (dtype == pl.String or dtype.is_integer()), f"{distinct} different words"
    if ours in (schema.USER, schema.ITEM, schema.SESSION, schema.EVENT):
        whole = dtype.is_integer() or (dtype.is_float() and bool((sample.round() == sample).all()))
        return whole or dtype == pl.String, f"ids{_such(sample)}, {distinct:,} in the first {len(sample):,}"
    # Categories are often numbers too. What customers wrote is theirs.
    words = "words" if ours == schema.TEXT else f"words{_such(sample)}"
    return dtype == pl.String or (ours == schema.CATEGORY and dtype.is_integer()), words


def _such(sample: pl.Series) -> str:
    """An example of a column, in words; none of a personal one, by its name or by what it holds."""
    value = str(sample[0])
    return "" if is_personal(sample.name) or _is_anyones(value) else f" such as {value[:40]}"


@lru_cache(maxsize=1000)
def _is_anyones(value: str) -> bool:
    return bool(masked(pl.Series([value]))[0] != value)


def _are_times(sample: pl.Series) -> bool:
    try:
        times = utc(sample, day_first=None if sample.dtype != pl.String else _day_first_of(sample))
    except IntentlyError:
        return False
    return bool(times.dt.year().is_between(1990, 2100).fill_null(value=False).mean() > 0.9)  # type: ignore[operator]


def _day_first_of(values: pl.Series) -> bool | None:
    guess = clock.day_first(values)
    return None if guess is None else guess.theirs == "true"


def is_personal(column: str) -> bool:
    """Whether a column's name says that it holds personal data."""
    return plain(column) in PERSONAL or named_personal(column, Protect())
