"""What is known of a (customer, item) pair before it is ranked: features of candidate pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from intently.baselines.catalogue import id_array, id_series, item_codes
from intently.baselines.purchases import Purchases, decay, shop_purchases
from intently.contract import Past
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array, codes
from intently.log.sets import distinct

# Days after which a purchase counts half as much, where a customer's own best items are sought.
HALF_LIFE = 84.0
HALF_LIVES = (7.0, 28.0, 84.0, 336.0)
WINDOWS = (7, 28, 84)
ITEM_COLUMNS = (*(f"item_customers_{days}" for days in WINDOWS), "item_trend", "item_purchases_per_customer")


@dataclass(frozen=True)
class ItemTable:
    """What the shop knew of each item bought so far: `values` (items, ITEM_COLUMNS), float32, by item id."""

    ids: pl.Series
    values: Array

    @classmethod
    def learn(cls, shop: Log) -> ItemTable:
        """Customers who bought each item of late, its trend, and how often a buyer buys it."""
        pairs = shop_purchases(shop).group_by(schema.USER, schema.ITEM).agg(pl.len(), pl.col("age").min())
        customers = [(pl.col("age") <= days).sum().alias(f"item_customers_{days}") for days in WINDOWS]
        grouped = pairs.group_by(schema.ITEM).agg(*customers, (pl.col("len").sum() / pl.len()).alias(ITEM_COLUMNS[-1]))
        trend = (pl.col("item_customers_28") + 1) / (pl.col("item_customers_84") / 3 + 1)
        table = grouped.with_columns(trend.alias("item_trend")).sort(schema.ITEM).collect()
        return cls(table[schema.ITEM], table.select(ITEM_COLUMNS).to_numpy().astype(np.float32))

    def on(self, items: pl.Series) -> Array:
        """The values of each item of a catalogue, 0 where nothing is known, (items, ITEM_COLUMNS)."""
        found = np.zeros((len(items), len(ITEM_COLUMNS)), dtype=np.float32)
        code = item_codes(self.ids, items)
        found[code[code >= 0]] = self.values[code >= 0]
        return found

    def arrays(self) -> dict[str, Array]:
        """Arrays to be saved."""
        return {"table.ids": id_array(self.ids), "table.values": self.values}

    @classmethod
    def of(cls, arrays: dict[str, Array]) -> ItemTable:
        """The reverse of `arrays`."""
        return cls(id_series(arrays["table.ids"]), arrays["table.values"])


@dataclass(frozen=True)
class OwnTable:
    """Distinct (example, item) pairs of purchases, sorted by `key` = example * items + item.

    Purchase rows are in `order`, by pair and time; pair j has the rows `order[start[j]:start[j + 1]]`.
    """

    key: Array
    order: Array
    start: Array
    bought: Purchases
    examples: int
    items: int

    @classmethod
    def of(cls, past: Past, items: int) -> OwnTable:
        """The pairs of a past, from a catalogue of so many items."""
        return cls.from_rows(Purchases.of(past), len(past), items)

    @classmethod
    def from_rows(cls, bought: Purchases, examples: int, items: int) -> OwnTable:
        """The pairs of rows of so many examples."""
        cell = bought.example * items + bought.item
        order = np.argsort(cell, kind="stable")
        cell = cell[order]
        first = np.flatnonzero(np.diff(cell, prepend=-1))
        return cls(cell[first], order, np.append(first, len(cell)), bought, examples, items)

    @property
    def example(self) -> Array:
        """The example of each pair."""
        return self.key // self.items

    @property
    def item(self) -> Array:
        """The item code of each pair."""
        return self.key % self.items

    @property
    def count(self) -> Array:
        """Purchases of each pair."""
        return np.diff(self.start)

    def total(self, weight: Array) -> Array:
        """Sums over the purchases of each pair."""
        # One sum a pair: a running sum over all of them would round by what others bought.
        pair = np.repeat(np.arange(len(self.key)), self.count)
        return np.bincount(pair, weight[self.order], minlength=len(self.key)).astype(np.float64)

    def nth_last_age(self, n: int) -> Array:
        """Age of the n-th last purchase of each pair (1 is the last), NaN where there are fewer."""
        age = np.full(len(self.key), np.nan)
        some = self.count >= n
        age[some] = self.bought.age[self.order[self.start[1:][some] - n]]
        return age

    @cached_property
    def lately(self) -> Array:
        """Purchases of each pair, each counting half as much after HALF_LIFE days."""
        return self.total(decay(self.bought.age, HALF_LIFE))

    def best(self, k: int) -> Array:
        """The numbers of the k pairs of each example that were bought most lately, best first."""
        order, place = self._ranked
        chosen: Array = order[place < k]
        return chosen

    @cached_property
    def _ranked(self) -> tuple[Array, Array]:
        """All pairs, best first within their example, and the place of each."""
        example = self.example
        order = np.lexsort((-self.lately, example))
        return order, np.arange(len(order)) - np.searchsorted(example, example[order])

    def find(self, key: Array) -> Array:
        """The number of the pair with each key, -1 where the customer has not bought the item."""
        if not len(self.key):
            return np.full(len(key), -1)
        place = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[place] == key, place, -1)


def pair_features(
    own: OwnTable, past: Past, table: Array, example: Array, item: Array
) -> tuple[Array, tuple[str, ...]]:
    """Features of candidate pairs, (pairs, features) float32 with NaN where there is no history.

    `table` holds the shop's columns by item code (ItemTable.on).
    """
    pair = own.find(example * own.items + item)
    customer = _customer_columns(own)
    parts = {name: _gather(values, pair) for name, values in _own_columns(own, customer, distinct(pair)).items()}
    parts |= {name: values[example] for name, values in customer.items()}
    parts |= {name: table[item, column] for column, name in enumerate(ITEM_COLUMNS)}
    parts |= _category_columns(own, past, example, item)
    return np.stack([values.astype(np.float32) for values in parts.values()], axis=1), tuple(parts)


def _gather(values: Array, pair: Array) -> Array:
    return np.append(values, np.nan)[pair]


def _own_columns(own: OwnTable, customer: dict[str, Array], needed: Array) -> dict[str, Array]:
    """What the customer did with the item, by pair."""
    age, count, example = own.bought.age, own.count, own.example
    columns = {f"own_decayed_{half_life:.0f}": own.total(decay(age, half_life)) for half_life in HALF_LIVES}
    last, previous, first = own.nth_last_age(1), own.nth_last_age(2), age[own.order[own.start[:-1]]]
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(count > 1, (first - last) / (count - 1), np.nan)
        return columns | {
            "own_count": count.astype(np.float64),
            "own_recency": last,
            "own_first_age": first,
            "own_mean_gap": gap,
            "own_last_gap": previous - last,
            "own_third_age": own.nth_last_age(3),
            "own_recency_per_gap": last / np.maximum(gap, 0.5),
            "own_share_of_baskets": columns["own_decayed_84"] / customer["baskets_84"][example],
            "own_share_of_recent_baskets": columns["own_decayed_28"]
            / np.maximum(customer["baskets_28"][example], 1e-6),
            "own_in_last_basket": (last - customer["recency"][example] < 1e-4).astype(np.float64),
            "own_baskets_since": last / customer["mean_gap"][example],
            "own_mean_quantity": own.total(own.bought.quantity) / count,
            "own_mean_amount": own.total(own.bought.amount) / count,
        }


def _customer_columns(own: OwnTable) -> dict[str, Array]:
    """How active the customer is, by example."""
    bought, n = own.bought, own.examples
    new = np.ones(len(bought.age), dtype=bool)
    new[1:] = bought.moment[1:] != bought.moment[:-1]
    example, age = bought.example[new], bought.age[new]
    baskets = np.bincount(example, minlength=n).astype(np.float64)
    recency, first = np.full(n, np.nan), np.full(n, np.nan)
    # Rows are in order of time, so the last assignment to an example is its newest.
    recency[example] = age
    first[example[::-1]] = age[::-1]
    lines = np.bincount(bought.example, minlength=n)
    distinct = np.bincount(own.example, minlength=n)
    decayed = {f"baskets_{days:.0f}": np.bincount(example, decay(age, days), minlength=n) for days in (7.0, 28.0, 84.0)}
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(baskets > 1, (first - recency) / np.maximum(baskets - 1, 1), np.nan)
        return decayed | {
            "baskets": baskets,
            "recency": recency,
            "mean_gap": np.maximum(gap, 0.2),
            "lines_per_basket": lines / baskets,
            "distinct_items": distinct.astype(np.float64),
            "lines_per_item": lines / distinct,
        }


def _category_columns(own: OwnTable, past: Past, example: Array, item: Array) -> dict[str, Array]:
    """What the customer buys of the item's category, decayed with a half-life of 84 days."""
    if schema.CATEGORY not in past.items.columns:
        return {}
    label = past.of_items("categories", lambda: _categories(past.items))
    width = int(label.max(initial=0)) + 1
    bought = own.bought
    weight = decay(bought.age, 84.0)
    cell = bought.example * width + label[bought.item]
    counts = np.bincount(cell, weight, minlength=own.examples * width)
    last = np.full(own.examples * width, np.nan)
    last[cell] = bought.age
    total = np.bincount(bought.example, weight, minlength=own.examples)
    asked = example * width + label[item]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "category_decayed": counts[asked],
            "category_share": counts[asked] / total[example],
            "category_recency": last[asked],
        }


def _categories(items: pl.DataFrame) -> Array:
    named = items[schema.CATEGORY].cast(pl.String).fill_null("")
    return codes(named, named.unique().sort()).astype(np.int64)
