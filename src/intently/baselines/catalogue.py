"""Item ids and codes of a ranking: which items may be answered, and codes made into Scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from intently.baselines.top_k import NONE, top_pairs
from intently.contract import Examples, Past, Ranking, Scores
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array, codes

TOP = 100


@dataclass(frozen=True)
class Pairs:
    """Scored items of examples: equally long arrays; a greater `tie` comes first among equal scores."""

    example: Array
    item: Array
    score: Array
    tie: Array


@dataclass(frozen=True)
class ItemScores:
    """A number for each of some items, kept by item id so that it outlives the codes of one log."""

    ids: pl.Series
    score: Array

    def on(self, items: pl.Series) -> Array:
        """The score of each of `items`, 0 where it is not known, float64."""
        code = item_codes(self.ids, items)
        found = np.zeros(len(items))
        found[code[code >= 0]] = self.score[code >= 0]
        return found

    def arrays(self, prefix: str) -> dict[str, Array]:
        """Arrays to be saved."""
        return {f"{prefix}.ids": id_array(self.ids), f"{prefix}.score": self.score}

    @classmethod
    def of(cls, arrays: dict[str, Array], prefix: str) -> ItemScores:
        """The reverse of `arrays`."""
        return cls(id_series(arrays[f"{prefix}.ids"]), arrays[f"{prefix}.score"])


def id_array(ids: pl.Series) -> Array:
    """Ids as an array that can be saved without pickle: whole numbers or fixed-width text."""
    return ids.to_numpy() if ids.dtype.is_integer() else ids.cast(pl.String).to_numpy().astype(str)


def id_series(ids: Array) -> pl.Series:
    """The reverse of `id_array`."""
    return pl.Series(schema.ITEM, ids.tolist(), dtype=pl.Int64 if ids.dtype.kind in "iu" else pl.String)


def item_codes(ids: pl.Series, items: pl.Series) -> Array:
    """The code of each id in the catalogue `items`, -1 where it is not there."""
    return codes(ids if ids.dtype == items.dtype else ids.cast(items.dtype, strict=False), items)


def truth_pairs(examples: Examples, items: pl.Series) -> tuple[Array, Array]:
    """Truths of a Ranking as (example, item code) pairs; ids outside the catalogue have code -1."""
    truth = examples.truth
    row = np.repeat(np.arange(len(truth)), truth.list.len().to_numpy())
    named = truth.filter(truth.list.len() > 0).list.explode()
    return row, item_codes(named, items).astype(np.int64)


def bought_ids(shop: Log) -> pl.Series:
    """Ids of all items that anybody has bought in a shop's log."""
    if schema.ITEM not in shop.events.columns:
        return pl.Series(schema.ITEM, [], dtype=pl.String)
    buys = shop.events.lazy().filter((pl.col(schema.TYPE) == schema.BUY) & pl.col(schema.ITEM).is_not_null())
    return buys.select(pl.col(schema.ITEM).unique().sort()).collect().to_series()


def open_items(examples: Examples, past: Past, items: pl.Series, known: Array) -> Iterator[tuple[Array, Array]]:
    """Groups of examples with the items that may be answered: (row numbers, mask over the catalogue).

    Any item, unless the answer is `unseen`: then only those that nobody had bought before `at`, as far
    as the past of that time and `known` (a mask of those bought by the end of training) say.
    """
    answer = examples.task.answer
    assert isinstance(answer, Ranking)
    if not answer.unseen:
        yield np.arange(len(examples)), np.ones(len(items), dtype=bool)
        return
    for at in examples.cutoffs:
        mask = ~known
        mask[item_codes(bought_ids(past.shop(at)), items)] = False
        yield np.flatnonzero((examples.at == at).to_numpy()), mask


def ranked(
    examples: Examples,
    past: Past,
    pairs: Pairs,
    shop: Array,
    known: Array,
    k: int = TOP,
    greatest: Array | None = None,
) -> Scores:
    """The k best of each example's pairs, filled up by the greatest of `shop` (one score an item).

    Pairs score above -1; what is filled up scores -1, -2, and so on. Rows that have fewer than k open items end
    with scores of -inf and ids that are no item's. `greatest` are the codes that `best_of` gives of the whole `shop`,
    k or more, where they are known: to look for them anew takes as long as all the rest for one customer.
    """
    items = past.items[schema.ITEM]
    n = len(examples)
    codes_, values = np.full((n, k), NONE, dtype=np.int64), np.full((n, k), -np.inf)
    for rows, mask in open_items(examples, past, items, known):
        place = np.full(n, NONE)
        place[rows] = np.arange(len(rows))
        keep = (place[pairs.example] >= 0) & mask[pairs.item]
        part = Pairs(place[pairs.example[keep]], pairs.item[keep], pairs.score[keep], pairs.tie[keep])
        whole = greatest is not None and not unseen(examples)
        filling = greatest[:k] if greatest is not None and whole else best_of(shop, mask, k)
        codes_[rows], values[rows] = _filled(part, filling, len(shop), len(rows), k)
    return as_scores(examples, past, codes_, values)


def unseen(examples: Examples) -> bool:
    """Whether only items may be answered that nobody has bought before."""
    return isinstance(examples.task.answer, Ranking) and examples.task.answer.unseen


def as_scores(examples: Examples, past: Past, item: Array, values: Array) -> Scores:
    """Item codes (n, k), -1 for none, as the Scores of a Ranking."""
    ids = past.of_items("ids and none", lambda: _ids_and_none(past.items[schema.ITEM]))
    return Scores(examples.task.answer, values.astype(np.float32), ids=ids[item])


def _ids_and_none(items: pl.Series) -> Array:
    """The ids of a catalogue and one more, which code -1 picks and which is no item's."""
    if items.dtype.is_integer():
        ids = items.to_numpy()
        return np.append(ids, np.array([np.iinfo(ids.dtype).max], dtype=ids.dtype))
    return np.append(items.cast(pl.String).to_numpy().astype(object), "")


def best_of(shop: Array, mask: Array, k: int) -> Array:
    """Codes of the k greatest of `shop` where `mask` holds; ties in catalogue order."""
    open_ = np.flatnonzero(mask)
    values = shop[open_]
    if len(open_) > k > 0:
        # Only what is at least as great as the k-th: a catalogue is long, and k is short.
        keep = values >= np.partition(values, len(values) - k)[len(values) - k]
        open_, values = open_[keep], values[keep]
    best: Array = open_[np.argsort(-values, kind="stable")][:k]
    return best


def _filled(pairs: Pairs, filling: Array, items: int, n: int, k: int) -> tuple[Array, Array]:
    # Whoever has k pairs needs no more: what fills up comes below them all.
    short = np.flatnonzero(np.bincount(pairs.example, minlength=n) < k)
    number, step = np.full(n, NONE), np.full(items, NONE)
    number[short], step[filling] = np.arange(len(short)), np.arange(len(filling))
    mine, place = number[pairs.example], step[pairs.item]
    both = (mine >= 0) & (place >= 0)
    new = np.ones((len(short), len(filling)), dtype=bool)
    new[mine[both], place[both]] = False
    row, place = np.nonzero(new)
    score = np.concatenate([pairs.score, -1.0 - place])
    tie = np.concatenate([pairs.tie, np.zeros(len(row))])
    rows, codes_ = np.concatenate([pairs.example, short[row]]), np.concatenate([pairs.item, filling[place]])
    return top_pairs(rows, codes_, score, tie, n, k)
