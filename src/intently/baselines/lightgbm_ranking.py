"""Re-ranks a customer's likely items with gradient-boosted trees over features of (customer, item) pairs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol, Self

import lightgbm
import numpy as np

from intently.baselines.candidates import Shop, Sources, candidates
from intently.baselines.catalogue import TOP, Pairs, ranked, truth_pairs
from intently.baselines.category_shares import CategoryShares
from intently.baselines.co_visitation import Neighbours
from intently.baselines.features import aligned
from intently.baselines.pair_features import ItemTable, OwnTable, pair_features
from intently.baselines.pair_looks import look_features, looked_table
from intently.baselines.visits import is_browsed
from intently.contract import Examples, Past, Ranking, Scores, Task
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.pack import Array
from intently.log.sets import among

BLOCK = 4096
_LEAST_BLOCK = 256


class PairReading(Protocol):
    """What a language model says of customers and items; item codes are in the order of `past.items`."""

    def top(self, examples: Examples, past: Past, k: int) -> Array:
        """The k items it would rank first, codes (n, k), -1 for none."""
        ...

    def pairs(
        self, examples: Examples, past: Past, example_index: Array, item_code: Array
    ) -> tuple[Array, tuple[str, ...]]:
        """Further columns of each pair, (pairs, columns) float, NaN allowed, and their names."""
        ...


@dataclass(frozen=True)
class _Block:
    """Candidate pairs of one set of examples: `features` (pairs, columns), sorted by example."""

    example: Array
    item: Array
    features: Array
    columns: tuple[str, ...]
    own: OwnTable


@dataclass(frozen=True)
class LightGBMRanking:
    """Ranks candidates (own items, popular ones, neighbours of the latest) by the chance that they are bought.

    With `reading` its columns join the features and its best items the candidates. `candidates` gives
    its best items alone: with it, the opponent without a reading ranks the very same pairs. What the
    shop sells is learned at fit, so a prediction needs no more than the customer's past. The objective
    is log-loss, which makes scores chances; LambdaRank is worth .001 NDCG@10 and takes twice as long.
    """

    name: str = "lightgbm"
    reading: PairReading | None = None
    threads: int = 2
    seed: int = 0
    candidates: PairReading | None = None
    weeks: int = 8
    at_most: int = 1200
    trees: int = 100
    leaves: int = 31
    sources: Sources = field(default_factory=Sources)
    shop: Shop | None = None
    model: str = ""
    columns: tuple[str, ...] = ()

    def answers(self, task: Task) -> bool:
        """Rankings of items for customers."""
        return isinstance(task.answer, Ranking) and task.key == schema.USER

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn from the last cut-offs, each with the shop as it stood then."""
        unlearned = replace(self, columns=())
        cutoffs = examples.cutoffs[-self.weeks :]
        near = Neighbours.learn(past.shop(cutoffs[0]), each=20)
        blocks, truths = [], []
        for at in cutoffs:
            block, truth = unlearned._training(examples, past, at, near)
            blocks.append(block)
            truths.append(truth)
        truth = np.concatenate(truths)
        if not truth.any():
            raise TooFewExamples(
                f"Nobody bought a likely item after the last {len(cutoffs)} cut-offs.", mend="Bring a longer log."
            )
        return replace(
            self,
            shop=Shop.learn(past.shop(past.learned_until), past.items, None, self.seed),
            model=self._train(blocks, truth),
            columns=blocks[0].columns,
        )

    def _training(self, examples: Examples, past: Past, at: datetime, near: Neighbours) -> tuple[_Block, Array]:
        rows = np.flatnonzero((examples.at == at).to_numpy())
        if len(rows) > self.at_most:
            rows = np.sort(np.random.default_rng(self.seed).choice(rows, self.at_most, replace=False))
        some, before = examples.take(rows), past.take(rows)
        shop = Shop.learn(past.shop(at), past.items, near, self.seed)
        block = self._block(some.hide(), before, shop)
        row, item = truth_pairs(some, before.items[schema.ITEM])
        return block, among(block.example * block.own.items + block.item, row * block.own.items + item)

    def _block(self, examples: Examples, past: Past, shop: Shop) -> _Block:
        own = OwnTable.of(past, len(past.items))
        source = self.candidates or self.reading
        further = None if source is None else source.top(examples, past, self.sources.reading)
        looked = looked_table(past, own.items) if is_browsed(past.event_types) else None
        example, item = candidates(examples, past, own, shop, self.sources, further, looked)
        features, names = pair_features(own, past, shop.shelved(past).table, example, item)
        if looked is not None:
            more, more_names = look_features(looked, past, example, item)
            features, names = np.concatenate([features, more], axis=1), (*names, *more_names)
        if self.reading is not None:
            more, more_names = self.reading.pairs(examples, past, example, item)
            features, names = np.concatenate([features, more.astype(np.float32)], axis=1), (*names, *more_names)
        if self.columns:
            # A log may have types of event that the one learned from had not, or not have them any more.
            features, names = aligned(features, names, self.columns), self.columns
        return _Block(example, item, features, names, own)

    def _train(self, blocks: Sequence[_Block], truth: Array) -> str:
        columns = [f"c{number}" for number in range(len(blocks[0].columns))]
        features = np.concatenate([block.features for block in blocks])
        data = lightgbm.Dataset(features, truth.astype(np.float32), feature_name=columns)
        settings = {
            "objective": "binary",
            "learning_rate": 0.08,
            "num_leaves": self.leaves,
            "min_data_in_leaf": min(200, max(1, len(truth) // 100)),
            "feature_fraction": 0.6,
            "lambda_l2": 5.0,
            "num_threads": self.threads,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        return str(lightgbm.train(settings, data, self.trees).model_to_string())

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The best hundred: ranked candidates, then further own items, then what is popular."""
        assert self.shop is not None, "fit first"
        booster = self._booster
        # Making the pairs costs more than scoring them, so the threads share out the customers.
        size = min(BLOCK, max(-(-len(examples) // self.threads), _LEAST_BLOCK))
        blocks = [np.arange(first, min(first + size, len(examples))) for first in range(0, len(examples), size)]
        if len(blocks) == 1:
            # To start threads takes longer than to rank for one customer.
            return self._predict(booster, examples, past)
        with ThreadPoolExecutor(self.threads) as pool:
            parts = list(pool.map(lambda rows: self._predict(booster, examples.take(rows), past.take(rows)), blocks))
        values = np.concatenate([part.values for part in parts])
        return Scores(examples.task.answer, values, ids=np.concatenate([part.ids for part in parts]))

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.model)

    def _predict(self, booster: lightgbm.Booster, examples: Examples, past: Past) -> Scores:
        assert self.shop is not None
        block = self._block(examples.hide(), past, self.shop)
        score = np.asarray(booster.predict(block.features, num_threads=1))
        own = block.own
        rest = own.best(TOP)
        rest = rest[~among(own.key[rest], block.example * own.items + block.item)]
        pairs = Pairs(
            np.concatenate([block.example, own.example[rest]]),
            np.concatenate([block.item, own.item[rest]]),
            # Own items that are no candidates come below all chances, in order of decayed counts.
            np.concatenate([score, -1 / (1 + own.lately[rest])]),
            np.zeros(len(score) + len(rest)),
        )
        shelved = self.shop.shelved(past)
        return ranked(examples, past, pairs, shelved.popular, shelved.known, greatest=shelved.greatest)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays and settings to be saved; a reading is not among them and is handed to `from_state`."""
        assert self.shop is not None, "fit first"
        names = ("name", "threads", "seed", "weeks", "at_most", "trees", "leaves", "model")
        arrays, category = self.shop.category.state()
        arrays = arrays | self.shop.table.arrays() | self.shop.near.arrays()
        more = {"columns": list(self.columns), "sources": vars(self.sources), "category": category}
        return arrays, {name: getattr(self, name) for name in names} | more

    @classmethod
    def from_state(
        cls,
        arrays: dict[str, Array],
        settings: dict[str, Any],
        reading: PairReading | None = None,
        candidates: PairReading | None = None,
    ) -> LightGBMRanking:
        """The reverse of `state`."""
        settings = dict(settings)
        category = CategoryShares.from_state(arrays, settings.pop("category"))
        shop = Shop(ItemTable.of(arrays), Neighbours.of(arrays), category)
        columns, sources = tuple(settings.pop("columns")), Sources(**settings.pop("sources"))
        return cls(reading=reading, candidates=candidates, shop=shop, columns=columns, sources=sources, **settings)
