"""A customer buys again what they have bought often and lately."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from intently.baselines.catalogue import ItemScores, Pairs, ranked
from intently.baselines.heldout import last_cutoffs, ndcg
from intently.baselines.popularity import learned_popularity
from intently.baselines.purchases import OwnItems, Purchases
from intently.baselines.top_k import top_pairs
from intently.contract import Examples, Past, Ranking, Scores, Task
from intently.log import schema
from intently.log.pack import Array

HALF_LIVES: tuple[float | None, ...] = (7.0, 14.0, 28.0, 42.0, 56.0, 84.0, 112.0, 168.0, 336.0, None)


@dataclass(frozen=True)
class RepeatPurchase:
    """The customer's own items by exponentially decayed counts, ties by recency, then what is popular.

    `half_life` is in days (None: plain counts), chosen on the held-out last cut-offs.
    """

    name: str = "repeat_purchase"
    half_life: float | None = None
    shop: ItemScores | None = None

    def answers(self, task: Task) -> bool:
        """Rankings of items for customers."""
        return isinstance(task.answer, Ranking) and task.key == schema.USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Choose the half-life; learn what is popular."""
        value = dict.fromkeys(HALF_LIVES, 0.0)
        for _, some, before in last_cutoffs(examples, past):
            own = OwnItems.of(Purchases.of(before), len(before.items))
            recency = -own.recency()
            for half_life in HALF_LIVES:
                top, _ = top_pairs(own.example, own.item, own.decayed(half_life), recency, len(some), 10)
                value[half_life] += ndcg(some, before, top)
        half_life = max(HALF_LIVES, key=lambda choice: value[choice])
        return replace(self, half_life=half_life, shop=learned_popularity(examples, past))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The own items first; a stranger gets what is popular."""
        assert self.shop is not None, "fit first"
        items = past.items[schema.ITEM]
        own = OwnItems.of(Purchases.of(past), len(items))
        # An old purchase decays to nothing, but never below what was not bought at all.
        score = np.maximum(own.decayed(self.half_life), 1e-12)
        shop = self.shop.on(items)
        return ranked(examples, past, Pairs(own.example, own.item, score, -own.recency()), shop, shop > 0)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.shop is not None, "fit first"
        return self.shop.arrays("shop"), {"name": self.name, "half_life": self.half_life}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> RepeatPurchase:
        """The reverse of `state`."""
        return cls(settings["name"], settings["half_life"], ItemScores.of(arrays, "shop"))
