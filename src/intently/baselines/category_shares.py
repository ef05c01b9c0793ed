"""Items by how much of a customer's purchases their category makes up: an opponent for items nobody bought yet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl

from intently.baselines.catalogue import as_scores, bought_ids, id_array, id_series, item_codes, open_items
from intently.baselines.purchases import Purchases
from intently.baselines.top_k import NONE, top_k
from intently.contract import Examples, Past, Ranking, Scores, Task
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array, codes


@dataclass(frozen=True)
class CategoryShares:
    """Ranks by the customer's own share of the item's category, in a fixed random order inside a category.

    Own shares lean on the population's with the weight of `strength` purchases, so a stranger gets the
    greatest categories of all. Items without a category come last.
    """

    name: str = "category_shares"
    strength: float = 1.0
    seed: int = 0
    population: tuple[tuple[str, float], ...] = ()
    known: pl.Series | None = None

    def answers(self, task: Task) -> bool:
        """Rankings, for customers, of items that nobody has bought yet: among all items, others do far better."""
        return isinstance(task.answer, Ranking) and task.answer.unseen and task.key == schema.USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn the population's shares, and which items have been bought."""
        return self.learn(past.shop(past.learned_until), past.items)

    def learn(self, shop: Log, items: pl.DataFrame) -> Self:
        """The same from a shop's log."""
        known = bought_ids(shop)
        if not len(known):
            raise TooFewExamples("Nothing was bought.", mend="Bring a log with purchases (event_type 'buy').")
        bought = shop.events.filter(pl.col(schema.TYPE) == schema.BUY)[schema.ITEM].drop_nulls()
        category = _categories(items)[item_codes(bought, items[schema.ITEM])]
        named = category.drop_nulls().value_counts().sort(category.name)
        total = max(named["count"].sum(), 1)
        shares = tuple((name, count / total) for name, count in named.iter_rows())
        return replace(self, population=shares, known=known)

    def predict(self, examples: Examples, past: Past, k: int = 100) -> Scores:
        """The k best open items of each example."""
        assert self.known is not None, "fit first"
        items = past.items
        names = pl.Series([name for name, _ in self.population], dtype=pl.String)
        label = codes(_categories(items), names)
        own = self._shares(Purchases.of(past), label, len(examples))
        ids = items[schema.ITEM]
        known = np.zeros(len(ids), dtype=bool)
        code = item_codes(self.known, ids)
        known[code[code >= 0]] = True
        order = np.random.default_rng(self.seed).permutation(len(ids))
        found, values = np.full((len(examples), k), NONE, dtype=np.int64), np.full((len(examples), k), -np.inf)
        for rows, mask in open_items(examples, past, ids, known):
            found[rows], values[rows] = _best(own[rows], label, mask, order, k)
        return as_scores(examples, past, found, values)

    def _shares(self, bought: Purchases, label: Array, n: int) -> Array:
        """Smoothed own shares, (n, categories + 1); the last column is for items without a category."""
        width = len(self.population) + 1
        cell = bought.example * width + label[bought.item]
        counts = np.bincount(cell[label[bought.item] >= 0], minlength=n * width).reshape(n, width)
        mean = np.array([share for _, share in self.population] + [0.0])
        total = counts + self.strength * mean
        shares: Array = total / np.maximum(total.sum(axis=1, keepdims=True), 1e-12)
        return shares

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.known is not None, "fit first"
        numbers = {"strength": self.strength, "seed": self.seed}
        return {"known": id_array(self.known)}, {
            "name": self.name,
            "population": [list(pair) for pair in self.population],
            **numbers,
        }

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> CategoryShares:
        """The reverse of `state`."""
        population = tuple((name, share) for name, share in settings["population"])
        return cls(settings["name"], settings["strength"], settings["seed"], population, id_series(arrays["known"]))


def _categories(items: pl.DataFrame) -> pl.Series:
    if schema.CATEGORY not in items.columns:
        return pl.Series(schema.CATEGORY, [None] * len(items), dtype=pl.String)
    return items[schema.CATEGORY].cast(pl.String)


def _best(shares: Array, label: Array, mask: Array, order: Array, k: int) -> tuple[Array, Array]:
    """The k best open items of each row: item codes and shares, (rows, k)."""
    # Within a category only the first k can be reached, so the rest need not be scored.
    candidates = np.flatnonzero(mask)
    candidates = candidates[np.lexsort((order[candidates], label[candidates]))]
    group = label[candidates]
    place = np.arange(len(group)) - np.searchsorted(group, group)
    candidates = candidates[place < k]
    column, values = top_k(shares[:, label[candidates]], min(k, max(len(candidates), 1)), tie=-order[candidates])
    found = np.full((len(shares), k), NONE, dtype=np.int64)
    padded = np.full((len(shares), k), -np.inf)
    if len(candidates):
        found[:, : column.shape[1]] = np.where(column >= 0, candidates[column], NONE)
        padded[:, : column.shape[1]] = values
    return found, padded
