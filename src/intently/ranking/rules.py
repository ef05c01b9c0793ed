"""A shop's rules about what may be shown, as data; and the pure function that holds a ranking to them.

Rules come after the model: they leave items out, lift some, and cap a category. They never change a score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from intently.contract import Past, Scores
from intently.errors import ConfigError, gathered
from intently.log import schema
from intently.log.expression import SqlFault, tried, unknown_columns
from intently.log.pack import Array, codes
from intently.log.sets import among


@dataclass(frozen=True)
class Boost:
    """Items where `where` (SQL over an item's columns) holds are worth `factor` times as much (0.5 is half as much)."""

    where: str
    factor: float


@dataclass(frozen=True)
class Rules:
    """What may be shown, to whom, and how much of it. Without a rule everything may.

    `only` is SQL over an item's columns ("stock > 0 and price < 50"), `categories` the values of the column `category`
    that are allowed (all without), `not_bought_days` leaves out what the customer bought less than so many days ago,
    `per_category` is the most items of one category in a customer's list.
    """

    only: str | None = None
    categories: tuple[str, ...] = ()
    category: str = schema.CATEGORY
    not_bought_days: float | None = None
    per_category: int | None = None
    boosts: tuple[Boost, ...] = ()

    @property
    def leaves_out(self) -> bool:
        """Whether anything may be left out; boosts only lift."""
        capped = self.not_bought_days is not None or self.per_category is not None
        return self.only is not None or bool(self.categories) or capped


@dataclass(frozen=True)
class Facts:
    """What rules say of each item: `allowed` and `factor` (items,), and its `category` as a number, -1 for none."""

    allowed: Array
    factor: Array
    category: Array

    @classmethod
    def of(cls, rules: Rules, items: pl.DataFrame) -> Facts:
        """Read the rules over a catalogue. Raises ConfigError that tells every column that is not there."""
        texts = [rules.only, *(boost.where for boost in rules.boosts)]
        faults = [fault.told() for text in texts if text for fault in unknown_columns(text, items.columns)]
        if (rules.categories or rules.per_category) and rules.category not in items.columns:
            faults.append(f"there is no column {rules.category!r} of items; there are {', '.join(items.columns)}.")
        if faults:
            raise ConfigError(f"[rules]: {gathered(faults)}", mend="Correct the rules, or bring the column with items.")
        allowed = np.ones(len(items), dtype=bool) if rules.only is None else _holds(rules.only, items)
        if rules.categories:
            allowed &= items[rules.category].cast(pl.String).is_in(list(rules.categories)).fill_null(False).to_numpy()
        factor = np.ones(len(items))
        for boost in rules.boosts:
            factor[_holds(boost.where, items)] *= boost.factor
        category = np.full(len(items), -1)
        if rules.per_category is not None:
            column = items[rules.category].cast(pl.String)
            category = codes(column, column.drop_nulls().unique().sort())
        return cls(allowed, factor, category)


@dataclass(frozen=True)
class Bought:
    """What asked customers bought: the asked one's `row`, the item's code and how many `days` ago, (pairs,) each."""

    row: Array
    item: Array
    days: Array

    @classmethod
    def of(cls, past: Past) -> Bought:
        """The purchases of a past."""
        rows = past.rows()
        kind = past.event_types.index(schema.BUY) if schema.BUY in past.event_types else -1
        mine = (rows.event_type == kind) & (rows.item >= 0)
        return cls(rows.example[mine], rows.item[mine], rows.age[mine])


def kept(rules: Rules, facts: Facts, ranked: Array, bought: Bought, k: int) -> Array:
    """Which places of each customer's ranking (n, many) are shown, and in which order: (n, k), -1 where none is left.

    `ranked` are item codes, best first, -1 for none. A place p (from 1) is worth 1 / log2(p + 1), the discount of NDCG,
    times the item's factor: so a factor of 2 puts the third place level with the first, whatever the scores' scale.
    """
    n, many = ranked.shape
    shown = np.full((n, k), -1, dtype=np.int64)
    if not many:
        return shown
    fits = (ranked >= 0) & facts.allowed[ranked]
    if rules.not_bought_days is not None:
        lately = bought.days < rules.not_bought_days
        width = len(facts.allowed)
        mine = np.arange(n)[:, None] * width + ranked
        fits &= ~among(mine, bought.row[lately] * width + bought.item[lately])
    row, place = np.nonzero(fits)
    item = ranked[row, place]
    nth = _nth(row)
    if rules.boosts:
        worth = facts.factor[item] / np.log2(nth + 2)
        order = np.lexsort((place, -worth, row))
        row, place, item = row[order], place[order], item[order]
    if rules.per_category is not None:
        # The cap counts the better places first: a stable sort by category keeps their order.
        category = np.where(facts.category[item] < 0, facts.category.max(initial=0) + 1 + item, facts.category[item])
        order = np.lexsort((np.arange(len(row)), category, row))
        many_categories = int(category.max(initial=0)) + 1
        within = np.empty(len(row), dtype=np.int64)
        within[order] = _nth((row * many_categories + category)[order])
        few = within < rules.per_category
        row, place = row[few], place[few]
    nth = _nth(row)
    first = nth < k
    shown[row[first], nth[first]] = place[first]
    return shown


def ruled(scores: Scores, past: Past, rules: Rules, k: int) -> Scores:
    """A predictor's rankings held to the rules: the first k, in the order shown, with the scores the model gave.

    What is left empty has a score of minus infinity, so that `Scores.frame` leaves it out.
    """
    assert scores.ids is not None
    n, many = scores.ids.shape
    ids = past.items[schema.ITEM]
    flat = pl.Series(scores.ids.reshape(-1), dtype=ids.dtype)
    ranked = np.where(np.isfinite(scores.values), codes(flat, ids).reshape(n, many), -1)
    shown = kept(rules, Facts.of(rules, past.items), ranked, Bought.of(past), k)
    place = np.maximum(shown, 0)
    values = np.where(shown >= 0, np.take_along_axis(scores.values, place, axis=1), -np.inf).astype(np.float32)
    return Scores(scores.answer, values, scores.labels, np.take_along_axis(scores.ids, place, axis=1))


def _nth(owner: Array) -> Array:
    """The place (from 0) of each row among those with its owner, which stand side by side."""
    if not len(owner):
        return owner
    first = np.flatnonzero(np.diff(owner, prepend=owner[0] - 1))
    return np.arange(len(owner)) - np.repeat(first, np.diff(np.append(first, len(owner))))


def _holds(text: str, items: pl.DataFrame) -> Array:
    # What is no number is empty: polars takes it for greater than every one.
    value = tried(text, items.with_columns(pl.selectors.float().fill_nan(None)))["value"]
    if value.dtype != pl.Boolean:
        raise SqlFault(f"this gives {value.dtype}, where a rule needs true or false", text, 0, len(text))
    value = value if len(value) == len(items) else value.extend_constant(value[0], len(items) - len(value))
    return value.fill_null(False).to_numpy().copy()
