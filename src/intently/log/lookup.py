"""From ids to codes, for millions of ids at once."""

from __future__ import annotations

import numpy as np
import polars as pl

Array = np.ndarray

UNKNOWN = -1
_NOT_THERE = np.int32(UNKNOWN)


class Lookup:
    """The row of an id in a table of distinct ids, found by its hash and then compared.

    Built once a table: a join would index the table anew for every block of ids. Ids are text, whole
    numbers or categories; those asked for have the type of the table.
    """

    def __init__(self, table: pl.Series) -> None:
        self._table = _comparable(table)
        # A table of 0, 1, 2 and so on is its own codes.
        self._counts = bool(table.dtype == pl.Int64 and (table.to_numpy() == np.arange(len(table))).all())
        if self._counts:
            return
        hashes = self._table.hash(seed=0).to_numpy()
        order = np.argsort(hashes, kind="stable")
        # The last hash is a fence: a search that runs off the end stops there.
        self._hash = np.append(hashes[order], np.uint64(2**64 - 1))
        self._code = np.append(order.astype(np.int32), _NOT_THERE)
        # A hash's first bits say where to begin; about one id begins with the same bits.
        bits = max(1, len(table).bit_length())
        self._shift = np.uint64(64 - bits)
        self._first = np.searchsorted(hashes[order], np.arange(1 << bits, dtype=np.uint64) << self._shift)

    def codes(self, ids: pl.Series) -> Array:
        """The row of each id in the table, int32; -1 for null and for what is not there."""
        if self._counts:
            asked = ids.fill_null(UNKNOWN).to_numpy()
            there = (asked >= 0) & (asked < len(self._table))
            return np.where(there, asked, UNKNOWN).astype(np.int32)
        ids = _comparable(ids)
        hashes = ids.hash(seed=0).to_numpy()
        place = self._first[hashes >> self._shift]
        open_ = np.flatnonzero(self._hash[place] < hashes)
        while len(open_):
            place[open_] += 1
            open_ = open_[self._hash[place[open_]] < hashes[open_]]
        codes = np.where(self._hash[place] == hashes, self._code[place], _NOT_THERE)
        # Two ids may share a hash, so the ids themselves decide; then the next of that hash is tried.
        wrong = self._wrong(codes, ids)
        while len(wrong):
            place[wrong] = np.minimum(place[wrong] + 1, len(self._code) - 1)
            codes[wrong] = np.where(self._hash[place[wrong]] == hashes[wrong], self._code[place[wrong]], _NOT_THERE)
            wrong = wrong[self._wrong(codes[wrong], ids.gather(wrong))]
        return codes

    def _wrong(self, codes: Array, ids: pl.Series) -> Array:
        """Where a code stands for another id than the one asked for."""
        if len(self._table) == 0:
            return np.flatnonzero(codes != UNKNOWN)
        same = (self._table.gather(np.maximum(codes, 0)) == ids).fill_null(value=False).to_numpy()
        return np.flatnonzero(~same & (codes != UNKNOWN))


def _comparable(ids: pl.Series) -> pl.Series:
    """One chunk, and text for a category, whose numbers differ from table to table."""
    return (ids.cast(pl.String) if ids.dtype in (pl.Categorical, pl.Enum) else ids).rechunk()
