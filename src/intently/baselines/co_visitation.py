"""Items that share baskets and customers with what the customer bought lately."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from scipy import sparse

from intently.baselines.catalogue import ItemScores, Pairs, id_array, id_series, item_codes, ranked
from intently.baselines.heldout import last_cutoffs, ndcg
from intently.baselines.popularity import learned_popularity
from intently.baselines.purchases import OwnItems, Purchases, decay
from intently.baselines.top_k import top_pairs
from intently.contract import Examples, Past, Ranking, Scores, Task
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array

OWN_WEIGHTS = (0.0, 0.3, 1.0, 3.0)
RECENT_ITEMS = 60


@dataclass(frozen=True)
class Neighbours:
    """Similar items: row j says that who bought `seed[j]` may want `other[j]`, by `similarity[j]` in (0, 1]."""

    ids: pl.Series
    seed: Array
    other: Array
    similarity: Array

    @classmethod
    def learn(cls, shop: Log, items: int = 5000, each: int = 50) -> Neighbours:
        """The `each` nearest of the most bought `items`, by the cosine of common baskets.

        A basket is what one customer bought at one time. Items that share few baskets are damped:
        cosine * common / (common + 5). Baskets of more than 60 items say little and are left out.
        """
        bought = shop.events.lazy().filter((pl.col(schema.TYPE) == schema.BUY) & pl.col(schema.ITEM).is_not_null())
        top = bought.group_by(schema.ITEM).len().sort(["len", schema.ITEM], descending=[True, False]).head(items)
        lines = bought.select(schema.USER, schema.TIME, schema.ITEM).unique()
        ids = top.select(schema.ITEM).collect().to_series()
        table = (
            lines.join(pl.LazyFrame({schema.ITEM: ids}).with_row_index("code"), on=schema.ITEM)
            .with_columns(pl.struct(schema.USER, schema.TIME).rank("dense").alias("basket") - 1)
            .filter(pl.len().over("basket") <= 60)
            .select("basket", "code")
            .collect()
        )
        size = len(ids)
        shape = (int(table["basket"].max() or 0) + 1, size)  # type: ignore[arg-type]
        cells = (table["basket"].to_numpy(), table["code"].to_numpy())
        baskets = sparse.csr_matrix((np.ones(len(table), dtype=np.float32), cells), shape=shape)
        common = (baskets.T @ baskets).tocoo()
        single = np.maximum(np.asarray(baskets.sum(axis=0)).ravel(), 1.0)
        keep = (common.row != common.col) & (common.data >= 2)
        row, other, count = common.row[keep].astype(np.int64), common.col[keep].astype(np.int64), common.data[keep]
        similarity = count / np.sqrt(single[row] * single[other]) * count / (count + 5)
        near, value = top_pairs(row, other, similarity, count, size, each)
        some = near >= 0
        return cls(ids, np.nonzero(some)[0], near[some], value[some].astype(np.float64))

    def matrix(self, items: pl.Series) -> sparse.csr_matrix:
        """Similarities over the codes of a catalogue, (items, items)."""
        code = item_codes(self.ids, items).astype(np.int64)
        row, column = code[self.seed], code[self.other]
        keep = (row >= 0) & (column >= 0)
        return sparse.csr_matrix((self.similarity[keep], (row[keep], column[keep])), shape=(len(items), len(items)))

    def arrays(self) -> dict[str, Array]:
        """Arrays to be saved."""
        table = {"seed": self.seed, "other": self.other, "similarity": self.similarity}
        return {"near.ids": id_array(self.ids)} | {f"near.{name}": values for name, values in table.items()}

    @classmethod
    def of(cls, arrays: dict[str, Array]) -> Neighbours:
        """The reverse of `arrays`."""
        return cls(id_series(arrays["near.ids"]), arrays["near.seed"], arrays["near.other"], arrays["near.similarity"])


def from_recent(
    example: Array,
    item: Array,
    recency: Array,
    similar: sparse.csr_matrix,
    n: int,
    latest: int = RECENT_ITEMS,
    half_life: float = 28.0,
) -> sparse.csr_matrix:
    """How near each item is to what the customer bought lately, (n, items).

    From distinct (example, item) pairs and the days since each was last bought: the sum of similarities
    to the `latest` of them, each weighted by its decayed recency.
    """
    row, column, value = nearness(example, item, recency, similar, n, latest, half_life)
    return sparse.csr_matrix((value, (row, column)), shape=(n, similar.shape[0]))


def nearness(
    example: Array,
    item: Array,
    recency: Array,
    similar: sparse.csr_matrix,
    n: int,
    latest: int = RECENT_ITEMS,
    half_life: float = 28.0,
) -> tuple[Array, Array, Array]:
    """What `from_recent` gives, as (example, item, value) in order: a matrix takes longer to make than to fill."""
    seed, age = top_pairs(example, item, -recency, np.zeros(len(item)), n, latest)
    some = seed >= 0
    row, seed, weight = np.nonzero(some)[0], seed[some], decay(-age[some], half_life)
    start, stop = similar.indptr[seed].astype(np.int64), similar.indptr[seed + 1].astype(np.int64)
    length = stop - start
    place = np.arange(length.sum()) + np.repeat(start - np.cumsum(length) + length, length)
    width = similar.shape[1]
    key = np.repeat(row, length) * width + similar.indices[place]
    cell, found = np.unique(key, return_inverse=True)
    value = np.bincount(found, np.repeat(weight, length) * similar.data[place], minlength=len(cell))
    return cell // width, cell % width, value.astype(np.float64)


@dataclass(frozen=True)
class CoVisitation:
    """Ranks items by how near they are to the customer's latest purchases, then what is popular.

    What the customer bought themselves counts `own_weight` times its decayed count on top (a share of the
    greatest score of that customer), chosen on the held-out last cut-offs; 0 leaves it to the neighbours.
    """

    name: str = "co_visitation"
    own_weight: float = 0.0
    near: Neighbours | None = None
    shop: ItemScores | None = None

    def answers(self, task: Task) -> bool:
        """Rankings of items for customers."""
        return isinstance(task.answer, Ranking) and task.key == schema.USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Choose the weight of own purchases with neighbours learned before it, then learn from all."""
        value = dict.fromkeys(OWN_WEIGHTS, 0.0)
        for at, some, before in last_cutoffs(examples, past, count=1):
            near = Neighbours.learn(past.shop(at))
            for weight in OWN_WEIGHTS:
                pairs = replace(self, own_weight=weight, near=near)._pairs(before)
                top, _ = top_pairs(pairs.example, pairs.item, pairs.score, pairs.tie, len(some), 10)
                value[weight] += ndcg(some, before, top)
        weight = max(OWN_WEIGHTS, key=lambda choice: value[choice])
        near = Neighbours.learn(past.shop(past.learned_until))
        return replace(self, own_weight=weight, near=near, shop=learned_popularity(examples, past))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Neighbours of the latest purchases; a stranger gets what is popular."""
        assert self.shop is not None, "fit first"
        shop = self.shop.on(past.items[schema.ITEM])
        return ranked(examples, past, self._pairs(past), shop, shop > 0)

    def _pairs(self, past: Past) -> Pairs:
        assert self.near is not None, "fit first"
        items = past.items[schema.ITEM]
        own = OwnItems.of(Purchases.of(past), len(items))
        learned = self.near
        near = past.of_items("near", lambda: learned.matrix(items), learned)
        table = from_recent(own.example, own.item, own.recency(), near, len(past))
        if self.own_weight > 0:
            counts = own.decayed(84.0)
            most = np.zeros(len(past))
            np.maximum.at(most, own.example, counts)
            top = table.max(axis=1).toarray().ravel()
            bonus = self.own_weight * np.maximum(top, 1e-6)[own.example] * counts / np.maximum(most[own.example], 1e-12)
            table = table + sparse.csr_matrix((bonus, (own.example, own.item)), shape=table.shape)
        found = table.tocoo()
        return Pairs(found.row.astype(np.int64), found.col.astype(np.int64), found.data, np.zeros(found.nnz))

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.near is not None and self.shop is not None, "fit first"
        arrays = self.shop.arrays("shop") | self.near.arrays()
        return arrays, {"name": self.name, "own_weight": self.own_weight}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> CoVisitation:
        """The reverse of `state`."""
        return cls(settings["name"], settings["own_weight"], Neighbours.of(arrays), ItemScores.of(arrays, "shop"))
