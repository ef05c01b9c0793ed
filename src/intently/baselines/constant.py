"""The same answer for everybody: what any model must beat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl

from intently.baselines.catalogue import ItemScores, Pairs, ranked
from intently.baselines.popularity import popularity
from intently.contract import (
    QUANTILES,
    Amount,
    Examples,
    OneOf,
    Past,
    Ranking,
    Scores,
    ShareLabels,
    Shares,
    Task,
    YesNo,
)
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.pack import Array


@dataclass(frozen=True)
class Constant:
    """Base rate, label rates, mean and empirical quantiles, mean shares, or what is most bought.

    `values` is the one row of the answer; for a Ranking it is empty and `shop` counts purchases.
    """

    name: str = "constant"
    values: Array | None = None
    labels: tuple[str, ...] = ()
    shop: ItemScores | None = None

    def answers(self, task: Task) -> bool:
        """Every kind of question."""
        return True

    def fit(self, examples: Examples, past: Past) -> Self:
        """Average the truths, or count all purchases known at the end of the examples' windows."""
        if not len(examples):
            raise TooFewExamples(f"There is no example of {examples.task.name}.", mend="Choose more cut-offs.")
        labels: tuple[str, ...] = ()
        shop = None
        match examples.task.answer:
            case YesNo():
                values = np.array([float(examples.truth.cast(pl.Float64).mean())])  # type: ignore[arg-type]
            case OneOf(labels=labels):
                truth = examples.truth.cast(pl.String).to_numpy()
                values = np.array([float((truth == label).mean()) for label in labels])
            case Amount():
                amount = examples.truth.cast(pl.Float64).to_numpy()
                values = np.concatenate([[amount.mean()], np.quantile(amount, QUANTILES)])
            case Shares():
                known = ShareLabels.of(examples)
                labels, values = known.labels, known.encode(examples).mean(axis=0, dtype=np.float64)
            case Ranking():
                shop, values = popularity(past.shop(past.learned_until), None, customers=False), np.zeros(0)
        return replace(self, values=values, labels=labels, shop=shop)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The same row for each example."""
        assert self.values is not None, "fit first"
        if self.shop is not None:
            shop = self.shop.on(past.items[schema.ITEM])
            nobody = np.zeros(0, dtype=np.int64)
            return ranked(examples, past, Pairs(nobody, nobody, np.zeros(0), np.zeros(0)), shop, shop > 0)
        values = np.tile(self.values.astype(np.float32), (len(examples), 1))
        return Scores(examples.task.answer, values, labels=self.labels)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved."""
        assert self.values is not None, "fit first"
        arrays = {"values": self.values} | ({} if self.shop is None else self.shop.arrays("shop"))
        return arrays, {"name": self.name, "labels": list(self.labels)}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], settings: dict[str, Any]) -> Constant:
        """The reverse of `state`."""
        shop = ItemScores.of(arrays, "shop") if "shop.ids" in arrays else None
        return cls(settings["name"], arrays["values"], tuple(settings["labels"]), shop)
