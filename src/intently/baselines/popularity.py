"""What is most bought, with older purchases counting for less."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl

from intently.baselines.catalogue import ItemScores, Pairs, best_of, ranked
from intently.baselines.heldout import last_cutoffs, ndcg
from intently.baselines.purchases import shop_purchases
from intently.contract import Examples, Past, Ranking, Scores, Task
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array

HALF_LIVES: tuple[float | None, ...] = (7.0, 14.0, 28.0, 56.0, 112.0, None)


@dataclass(frozen=True)
class Popularity:
    """Ranks the whole shop alike for everybody.

    Counts customers (each by the latest purchase) or purchases, whichever ranks the held-out last
    cut-offs better, with a half-life chosen in the same way.
    """

    name: str = "popularity"
    counts: ItemScores | None = None

    def answers(self, task: Task) -> bool:
        """Rankings only."""
        return isinstance(task.answer, Ranking)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Choose what to count, then count all that is known at the end of the examples' windows."""
        return replace(self, counts=learned_popularity(examples, past))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The same ranking for each example."""
        assert self.counts is not None, "fit first"
        shop = self.counts.on(past.items[schema.ITEM])
        nobody = np.zeros(0, dtype=np.int64)
        return ranked(examples, past, Pairs(nobody, nobody, np.zeros(0), np.zeros(0)), shop, shop > 0)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.counts is not None, "fit first"
        return self.counts.arrays("shop"), {"name": self.name}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Popularity:
        """The reverse of `state`."""
        return cls(settings["name"], ItemScores.of(arrays, "shop"))


def popularity(shop: Log, half_life: float | None, customers: bool) -> ItemScores:
    """Decayed purchases of each item ever bought; of each customer only the latest, if `customers`."""
    weight = pl.lit(1.0) if half_life is None else (-pl.col("age") / half_life * np.log(2)).exp()
    bought = shop_purchases(shop).with_columns(weight.alias("weight"))
    if customers:
        bought = bought.group_by(schema.USER, schema.ITEM).agg(pl.col("weight").max())
    table = bought.group_by(schema.ITEM).agg(pl.col("weight").sum()).sort(schema.ITEM).collect()
    # Sums come in an order that threads decide; rounding keeps ties ties and fits identical.
    return ItemScores(table[schema.ITEM], table["weight"].round(9).to_numpy())


def learned_popularity(examples: Examples, past: Past) -> ItemScores:
    """Popularity at the end of the examples' windows, counted as ranks the held-out cut-offs best."""
    best: tuple[float, float | None, bool] = (-1.0, None, True)
    held_out = list(last_cutoffs(examples, past))
    for customers in (True, False):
        for half_life in HALF_LIVES:
            value = 0.0
            for at, some, before in held_out:
                items = before.items[schema.ITEM]
                order = best_of(
                    popularity(past.shop(at), half_life, customers).on(items), np.ones(len(items), bool), 10
                )
                value += ndcg(some, before, np.tile(order, (len(some), 1)))
            best = max(best, (value, half_life, customers), key=lambda choice: choice[0])
    counts = popularity(past.shop(past.learned_until), best[1], best[2])
    if not len(counts.ids):
        raise TooFewExamples(
            f"Nothing was bought before {past.learned_until:%Y-%m-%d}.",
            mend="Bring a log with purchases (event_type 'buy').",
        )
    return counts
