"""What does reading item texts buy? Ids only, frozen text only, text and a learned part, and LoRA.

    INTENTLY_DATA=... .venv/bin/python bench/item_text.py [--shop online_retail] [--seeds 0 1 2] [--lora]
    .venv/bin/python bench/item_text.py --shop complete_journey [--seeds 0] [--lora]

One reader each (learn/next_item.py), alike but for what it is told of items. On Online Retail it learns from purchases
before 2011-07-01, July's baskets say when to stop, and every basket of August and September is asked for: which items
in it has this customer not bought before? On Complete Journey (where an item's text is its kind, its size and its place
in the shop) it learns from what came before 2017-10-01 for three epochs, and every fourth household's October is asked
for. The whole catalogue is ranked, what the customer bought before left out. Beside all items: those with at most five
events in training, and, among items never sold until then, against popularity within category. Intervals are 95 %,
customers resampled whole.
Writes bench/results/item_text.json or item_text_complete_journey.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import AT, Examples, Past
from intently.learn.adapt import Lora, lora, pairs_of
from intently.learn.next_item import About
from intently.learn.presets import ORDER_PRESETS
from intently.learn.texts import Text
from intently.log import complete_journey, schema
from intently.log.log import Log
from intently.log.pack import codes
from intently.metrics.ranking import Relevant, ndcg_at_10, recall_at_100
from intently.tasks.next_item import TASK
from intently.text.arrays import ragged, sequences
from intently.text.language_model import embed
from intently.text.verbalise import item_texts

RESULTS = Path(__file__).parent / "results"
RARE = 5
REPLICATES = 1000


@dataclass(frozen=True)
class Shop:
    """When its log is learned from, until when baskets say when to stop, and until when they are asked for.

    Of customers every `every`-th is asked; `category` is an item's; `recipe` what differs from the preset's.
    """

    learned_until: datetime
    asked_from: datetime
    asked_until: datetime
    category: pl.Expr
    preset: str
    recipe: Mapping[str, int]
    every: int = 1
    longest: int = 200
    shape: Mapping[str, int] = field(default_factory=dict)
    results: str = "item_text.json"


SHOPS = {
    "online_retail": Shop(
        datetime(2011, 7, 1, tzinfo=UTC),
        datetime(2011, 8, 1, tzinfo=UTC),
        datetime(2012, 1, 1, tzinfo=UTC),
        pl.col(schema.TITLE).str.split(" ").list.last(),
        "best",
        {"histories_per_step": 32, "pretrain_epochs": 12, "patience": 3},
    ),
    "complete_journey": Shop(
        datetime(2017, 10, 1, tzinfo=UTC),
        datetime(2017, 10, 1, tzinfo=UTC),
        datetime(2017, 11, 1, tzinfo=UTC),
        pl.col(schema.CATEGORY),
        "fast",
        {"histories_per_step": 16},
        every=4,
        longest=100,
        results="item_text_complete_journey.json",
    ),
}


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--shop", choices=list(SHOPS), default="online_retail")
    told.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    told.add_argument("--lora", action="store_true")
    told.add_argument("--pairs", type=int, default=12_800, help="How many pairs of items LoRA reads.")
    told.add_argument("--threads", type=int, default=2)
    told.add_argument("--validation", action="store_true", help="Ask what says when to stop; write nothing.")
    asked = told.parse_args()
    shop = SHOPS[asked.shop]
    if asked.shop == "online_retail":
        file = Path(os.environ.get("INTENTLY_DATA", "")) / "online_retail.parquet"
        if not file.is_file():
            print("INTENTLY_DATA does not say where online_retail.parquet lies: nothing is run.")
            return
        log = read(file)
    else:
        log = complete_journey.read()
    known, between = log.before(shop.learned_until), log.between(shop.learned_until, shop.asked_from)
    start, stop = (shop.asked_from, shop.asked_until)
    if asked.validation:
        if not len(between):
            told.error("Nothing says when to stop on this shop: leave --validation out.")
        start, stop = (shop.learned_until, shop.asked_from)
    train = sequences(Past(known, everyone(known.events, shop.learned_until)))
    held_out = None
    if len(between):
        held_out = sequences(Past(log.before(shop.asked_from), everyone(between, shop.asked_from)))
    examples, truth = baskets(log, start, stop, shop.every)
    histories = sequences(Past(log, examples))
    texts, number = item_texts(log.catalogue)
    vectors = [embed(texts)]
    if asked.lora:
        plan = Lora(pairs=asked.pairs)
        pairs = pairs_of(train, np.append(number, 0), plan.pairs, np.random.default_rng(0))
        begun = time.process_time()
        vectors.append(embed(texts, adapter=lora(Text().model, texts, pairs, plan)))
        print("LoRA", time.process_time() - begun, "CPU-s", flush=True)
    whitened = [Text().fit(some).apply(some)[number] for some in vectors]
    ways = {
        "ids only": (About(), 0.0),
        "frozen text only": (About(text=whitened[0], own_from=None), 0.0),
        "text and a learned part": (About(text=whitened[0], own_from=RARE + 1), 0.3),
    }
    if asked.lora:
        ways["text tuned by LoRA and a learned part"] = (About(text=whitened[1], own_from=RARE + 1), 0.3)
    count = np.bincount(train.item, minlength=len(log.catalogue))
    judge = Judge(truth, histories, count, examples.asked, log.catalogue.with_columns(shop.category.alias("category")))
    rows = {name: [] for name in ways}
    costs = {}
    for name, (about, dropout) in ways.items():
        for seed in asked.seeds:
            preset = ORDER_PRESETS[shop.preset]
            recipe = replace(preset.recipe, seed=seed, threads=asked.threads, **shop.recipe)
            reader = replace(
                preset, recipe=recipe, longest=shop.longest, shape={**preset.shape, "item_dropout": dropout}
            )
            begun = time.process_time()
            fitted = reader.fit(train, len(log.catalogue), held_out, about)
            costs.setdefault(name, []).append(time.process_time() - begun)
            rows[name].append(judge.rows(fitted))
            print(name, seed, costs[name][-1], np.round(fitted.curve, 4), flush=True)
            print({part: float(np.nanmean(one)) for part, one in rows[name][-1].items()}, flush=True)
    rows["popularity"] = [judge.popularity()]
    found = {
        "date": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "command": "bench/item_text.py " + " ".join(sys.argv[1:]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {asked.threads} threads used",
        "baskets": len(examples),
        "customers": int(examples.asked.n_unique()),
        "items": len(log.catalogue),
        "rare_items": int(((count > 0) & (count <= RARE)).sum()),
        "never_sold_items": int((count == 0).sum()),
        "cpu_seconds": costs,
        **judge.told({name: mean(some) for name, some in rows.items()}),
    }
    print(json.dumps(found, indent=1))
    if not asked.validation:
        (RESULTS / shop.results).write_text(json.dumps(found, indent=1) + "\n")


def mean(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The mean over seeds of each row."""
    return {part: np.mean([one[part] for one in rows], axis=0) for part in rows[0]}


def read(file: Path) -> Log:
    """Purchases of known customers, at the minute of their invoice; each item by its most usual description."""
    bought = pl.read_parquet(file).filter(
        pl.col("CustomerID").is_not_null() & ~pl.col("InvoiceNo").str.starts_with("C") & (pl.col("Quantity") > 0)
    )
    events = bought.select(
        pl.col("CustomerID").alias(schema.USER),
        pl.col("StockCode").alias(schema.ITEM),
        pl.lit(schema.BUY).alias(schema.TYPE),
        pl.col("InvoiceDate").dt.replace_time_zone("UTC").cast(schema.CLOCK).alias(schema.TIME),
        pl.col("Quantity").cast(pl.Float64).alias(schema.QUANTITY),
        (pl.col("Quantity") * pl.col("UnitPrice")).alias(schema.AMOUNT),
    )
    said = bought.group_by("StockCode", "Description").len().sort("len", "Description", descending=[True, False])
    items = said.group_by("StockCode", maintain_order=True).first().sort("StockCode")
    items = items.select(
        pl.col("StockCode").alias(schema.ITEM),
        pl.col("Description").fill_null("").str.to_lowercase().str.strip_chars().alias(schema.TITLE),
    )
    return Log.of(events, items)


def everyone(events: pl.DataFrame, at: datetime) -> Examples:
    """Every customer of some events, asked at one time."""
    users = events.select(schema.USER).unique().sort(schema.USER)
    return Examples(TASK, users.with_columns(pl.lit(at).cast(schema.CLOCK).alias(AT)))


def baskets(log: Log, start: datetime, stop: datetime, every: int) -> tuple[Examples, pl.Series]:
    """Every basket in [start, stop) of every so-manieth customer who bought before it, and its items."""
    bought = log.events.filter(pl.col(schema.TYPE) == schema.BUY).drop_nulls(schema.ITEM)
    users = bought[schema.USER].unique().sort().gather_every(every)
    rows = (
        bought.filter(pl.col(schema.USER).is_in(users.implode()))
        .group_by(schema.USER, schema.TIME)
        .agg(pl.col(schema.ITEM).unique().sort())
    )
    rows = rows.sort(schema.USER, schema.TIME).filter(pl.int_range(pl.len()).over(schema.USER) > 0)
    rows = rows.filter((pl.col(schema.TIME) >= start) & (pl.col(schema.TIME) < stop))
    return Examples(TASK, rows.select(schema.USER, pl.col(schema.TIME).alias(AT))), rows[schema.ITEM]


class Judge:
    """Judges readers on the same baskets: all new items, rare ones, and those never sold among themselves."""

    def __init__(
        self, truth: pl.Series, histories, count: np.ndarray, customer: pl.Series, items: pl.DataFrame
    ) -> None:
        self.histories, self.count, self.items = histories, count, items
        self.customer = codes(customer, customer.unique())
        offsets = np.concatenate([[0], np.cumsum(truth.list.len().to_numpy().astype(np.int64))])
        item = codes(truth.explode(), items[schema.ITEM]).astype(np.int64)
        row = np.repeat(np.arange(len(truth)), np.diff(offsets))
        first = histories.moment_start[histories.history]
        line, owner = ragged(histories.line_start[first], histories.line_start[first + histories.visible])
        new = ~np.isin(row * len(items) + item, owner * len(items) + histories.item[line])
        self.truths = {
            "all": self._relevant(row[new], item[new]),
            "rare": self._relevant(*(part[new & (count[item] > 0) & (count[item] <= RARE)] for part in (row, item))),
            "never_sold": self._relevant(*(part[new & (count[item] == 0)] for part in (row, item))),
        }

    def _relevant(self, row: np.ndarray, item: np.ndarray) -> Relevant:
        counts = np.bincount(row, minlength=len(self.customer))
        return Relevant(np.concatenate([[0], np.cumsum(counts)]), item, len(self.items))

    def rows(self, fitted) -> dict[str, np.ndarray]:
        """NDCG@10 and recall@100 of each basket; NaN where there is nothing to find."""
        code, _ = fitted.top(self.histories, 100)
        vectors, bias = fitted.items()
        unsold = np.flatnonzero(self.count == 0)
        logits = fitted.queries(self.histories) @ vectors[unsold].T + bias[unsold]
        return self._judged(code, unsold[np.argsort(-logits, axis=1, kind="stable")[:, :100]])

    def popularity(self) -> dict[str, np.ndarray]:
        """The most bought for everybody; among items never sold, those of the most bought categories."""
        sold = self.items.with_columns(pl.Series("count", self.count)).select(pl.col("count").sum().over("category"))
        unsold = np.flatnonzero(self.count == 0)
        within = unsold[np.argsort(-sold["count"].to_numpy()[unsold], kind="stable")[:100]]
        first = self.histories.moment_start[self.histories.history]
        bought = self.histories.line_start[first], self.histories.line_start[first + self.histories.visible]
        ranked = np.argsort(-self.count, kind="stable")
        code = np.empty((len(self.customer), 100), dtype=np.int64)
        for row, (begin, end) in enumerate(zip(*bought, strict=True)):
            code[row] = ranked[~np.isin(ranked, self.histories.item[begin:end])][:100]
        return self._judged(code, np.tile(within, (len(code), 1)))

    def _judged(self, code: np.ndarray, unsold: np.ndarray) -> dict[str, np.ndarray]:
        found = {}
        for part, truth in self.truths.items():
            ranked = unsold if part == "never_sold" else code
            for metric in (ndcg_at_10, recall_at_100):
                values = metric(truth, ranked)
                found[f"{part} {metric.__name__}"] = np.where(truth.counts > 0, values, np.nan)
        return found

    def told(self, rows: dict[str, dict[str, np.ndarray]]) -> dict:
        """Means with intervals, and differences and ratios to ids only (among items never sold: to popularity)."""
        rng = np.random.default_rng(0)
        customers = int(self.customer.max()) + 1
        drawn = np.stack(
            [np.bincount(rng.integers(0, customers, customers), minlength=customers) for _ in range(REPLICATES)]
        )
        figures: dict[str, dict] = {}
        for part in next(iter(rows.values())):
            means, points = {}, {}
            for name, one in rows.items():
                there = np.isfinite(one[part])
                total = np.bincount(self.customer[there], weights=one[part][there], minlength=customers)
                many = np.bincount(self.customer[there], minlength=customers)
                means[name], points[name] = (drawn @ total) / (drawn @ many), total.sum() / many.sum()
            against = "popularity" if part.startswith("never") else "ids only"
            figures[part] = {
                name: {
                    "value": float(points[name]),
                    "interval": interval(means[name]),
                    f"minus {against}": interval(means[name] - means[against]),
                    f"over {against}": float(points[name] / points[against]) if points[against] else None,
                    f"over {against}, interval": interval(means[name] / np.maximum(means[against], 1e-9)),
                }
                for name in rows
            }
            figures[part]["baskets"] = int(np.isfinite(next(iter(rows.values()))[part]).sum())
        return {"figures": figures}


def interval(values: np.ndarray) -> list[float]:
    return [float(one) for one in np.quantile(values, (0.025, 0.975))]


if __name__ == "__main__":
    main()
