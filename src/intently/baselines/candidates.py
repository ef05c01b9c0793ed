"""Which items of a whole catalogue are worth ranking for a customer, and what the shop has learned to say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import sparse

from intently.baselines.catalogue import TOP, best_of, item_codes, open_items, unseen
from intently.baselines.category_shares import CategoryShares
from intently.baselines.co_visitation import Neighbours, nearness
from intently.baselines.pair_features import ITEM_COLUMNS, ItemTable, OwnTable
from intently.baselines.top_k import top_pairs
from intently.contract import Examples, Past, Ranking
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array
from intently.log.sets import distinct


@dataclass(frozen=True)
class Sources:
    """How many candidates each source gives to a customer; `category` only where answers are unseen items."""

    own: int = 100
    looked: int = 50
    popular: int = 20
    near: int = 10
    category: int = 100
    reading: int = 50


@dataclass(frozen=True)
class Shop:
    """What is learned of the shop at one time: its items, their neighbours, its categories."""

    table: ItemTable
    near: Neighbours
    category: CategoryShares

    @classmethod
    def learn(cls, shop: Log, items: pl.DataFrame, near: Neighbours | None, seed: int) -> Shop:
        """All three from a log; `near` may have been learned before."""
        return cls(
            ItemTable.learn(shop), near or Neighbours.learn(shop, each=20), CategoryShares(seed=seed).learn(shop, items)
        )

    def shelved(self, past: Past) -> Shelved:
        """What is learned here by the item codes of a past, made once for a catalogue."""
        return past.of_items("shop", lambda: Shelved.of(self, past.items[schema.ITEM]), self)


@dataclass(frozen=True)
class Shelved:
    """What a shop has learned, by item code: `table` (items, ITEM_COLUMNS), neighbours, what is popular and known.

    `popular` is customers of the last 28 days (of 84 days where equal), `greatest` the codes of its first hundred,
    `known` whether anybody had bought an item.
    """

    table: Array
    near: sparse.csr_matrix
    popular: Array
    greatest: Array
    known: Array

    @classmethod
    def of(cls, shop: Shop, items: pl.Series) -> Shelved:
        """Everything on the codes of a catalogue."""
        table = shop.table.on(items)
        month, quarter = (
            table[:, ITEM_COLUMNS.index(f"item_customers_{days}")].astype(np.float64) for days in (28, 84)
        )
        known = np.zeros(len(items), dtype=bool)
        code = item_codes(shop.table.ids, items)
        known[code[code >= 0]] = True
        popular = month + 1e-3 * quarter
        greatest = best_of(popular, np.ones(len(items), dtype=bool), TOP)
        return cls(table, shop.near.matrix(items), popular, greatest, known)


def candidates(
    examples: Examples,
    past: Past,
    own: OwnTable,
    shop: Shop,
    sources: Sources,
    further: Array | None,
    looked: OwnTable | None = None,
) -> tuple[Array, Array]:
    """Distinct (example, item code) pairs in order; `further` are item codes (n, any), -1 for none.

    `own` are pairs bought and `looked` pairs looked at.
    """
    assert isinstance(examples.task.answer, Ranking)
    items, n, shelved = past.items[schema.ITEM], len(examples), shop.shelved(past)
    keys = [own.key[own.best(sources.own)], _near(own, shelved.near, n, sources.near)]
    if looked is not None:
        keys.append(looked.key[looked.best(sources.looked)])
    if further is not None:
        keys.append(_keys(further, len(items)))
    if examples.task.answer.unseen:
        ids = shop.category.predict(examples, past, sources.category).ids
        assert ids is not None
        code = item_codes(pl.Series(ids.reshape(-1).tolist(), dtype=items.dtype), items)
        keys.append(_keys(code.reshape(n, -1), len(items)))
    key = np.concatenate(keys)
    kept = []
    for rows, mask in open_items(examples, past, items, shelved.known):
        inside = np.zeros(n, dtype=bool)
        inside[rows] = True
        kept.append(key[inside[key // len(items)] & mask[key % len(items)]])
        whole = not unseen(examples) and sources.popular <= TOP
        popular = shelved.greatest[: sources.popular] if whole else best_of(shelved.popular, mask, sources.popular)
        kept.append((rows[:, None] * len(items) + popular).ravel())
    key = distinct(np.concatenate(kept))
    return key // len(items), key % len(items)


def _keys(item: Array, items: int) -> Array:
    key = np.arange(len(item))[:, None] * items + item
    return key[item >= 0]


def _near(own: OwnTable, similar: sparse.csr_matrix, n: int, k: int) -> Array:
    """The items nearest to each customer's latest that they have not bought, as keys."""
    row, item, value = nearness(own.example, own.item, own.nth_last_age(1), similar, n, latest=25)
    new = own.find(row * own.items + item) < 0
    near, _ = top_pairs(row[new], item[new], value[new], np.zeros(new.sum()), n, k)
    return _keys(near, own.items)
