"""What customers bought, from their past: purchase rows, and distinct (example, item) pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from intently.contract import Past, Rows
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array


@dataclass(frozen=True)
class Purchases:
    """Purchase rows of examples, in order of example and time; `moment` numbers baskets, `age` is in days."""

    example: Array
    item: Array
    age: Array
    moment: Array
    quantity: Array
    amount: Array

    @classmethod
    def of(cls, past: Past) -> Purchases:
        """All purchases in the past of its examples."""
        return cls.from_rows(past.rows(), past.event_types)

    @classmethod
    def from_rows(cls, rows: Rows, event_types: tuple[str, ...]) -> Purchases:
        """The purchases among rows of a past."""
        buy = event_types.index(schema.BUY) if schema.BUY in event_types else -1
        return cls.kept(rows, np.flatnonzero((rows.event_type == buy) & (rows.item >= 0)))

    @classmethod
    def kept(cls, rows: Rows, keep: Array) -> Purchases:
        """Some rows of a past, all about items, as if they were purchases."""
        return cls(
            rows.example[keep],
            rows.item[keep].astype(np.int64),
            np.maximum(rows.age[keep].astype(np.float64), 0.0),
            rows.moment[keep],
            rows.quantity[keep],
            rows.amount[keep],
        )


@dataclass(frozen=True)
class OwnItems:
    """Distinct (example, item) pairs, sorted, and for each purchase row the pair it belongs to."""

    example: Array
    item: Array
    pair: Array
    age: Array

    @classmethod
    def of(cls, bought: Purchases, items: int) -> OwnItems:
        """The pairs of purchase rows, from a catalogue of so many items."""
        key, pair = np.unique(bought.example * items + bought.item, return_inverse=True)
        return cls(key // items, key % items, pair, bought.age)

    def decayed(self, half_life: float | None) -> Array:
        """Purchases of each pair, each counting for 2 ** -(age / half_life); plainly, without one."""
        return np.bincount(self.pair, decay(self.age, half_life), minlength=len(self.item)).astype(np.float64)

    def recency(self) -> Array:
        """Days since the last purchase of each pair."""
        age = np.full(len(self.item), np.inf)
        np.minimum.at(age, self.pair, self.age)
        return age


def decay(age: Array, half_life: float | None) -> Array:
    """2 ** -(age / half_life), or ones."""
    weight: Array = np.ones(len(age)) if half_life is None else np.exp2(-np.asarray(age, dtype=np.float64) / half_life)
    return weight


def shop_purchases(shop: Log) -> pl.LazyFrame:
    """All purchases of a shop: user_id, item_id and `age` in days before the end of what it has seen."""
    if schema.ITEM not in shop.events.columns:
        return pl.LazyFrame(schema={schema.USER: pl.String, schema.ITEM: pl.String, "age": pl.Float64})
    age = (shop.observed_until - pl.col(schema.TIME)).dt.total_seconds() / 86_400
    buys = shop.events.lazy().filter((pl.col(schema.TYPE) == schema.BUY) & pl.col(schema.ITEM).is_not_null())
    return buys.select(schema.USER, schema.ITEM, age.clip(lower_bound=0).alias("age"))
