"""The best k of each row, with ties broken by a second key, for dense rows and for (row, item) pairs."""

from __future__ import annotations

import numpy as np

from intently.log.pack import Array

NONE = -1


def top_k(scores: Array, k: int, tie: Array | None = None, block: int = 256) -> tuple[Array, Array]:
    """Columns and values of the k best of each row of `scores` (n, items), best first: two arrays (n, k).

    Equal scores are ordered by `tie` (n, items) or (items,), the greater first, and then by column.
    Scores of -inf are no candidates: where fewer than k are left, columns are -1 and values -inf.
    """
    n, items = scores.shape
    columns = np.full((n, k), NONE, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=np.float64)
    for first in range(0, n, block):
        part = scores[first : first + block]
        row, column = np.nonzero((part >= _threshold(part, min(k, items))) & (part > -np.inf))
        second = np.zeros(len(row))
        if tie is not None:
            second = tie[column] if tie.ndim == 1 else tie[first + row, column]
        found = top_pairs(row, column, part[row, column], second, len(part), k)
        columns[first : first + block], values[first : first + block] = found
    return columns, values


def top_pairs(row: Array, item: Array, score: Array, tie: Array, n: int, k: int) -> tuple[Array, Array]:
    """The k best items of each of n rows, from pairs (row, item, score, tie): two arrays (n, k).

    Ties by the greater `tie`, then the smaller item. -1 and -inf fill rows with fewer than k pairs.
    """
    columns = np.full((n, k), NONE, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=np.float64)
    order = _best_first(row, item, score, tie)
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    keep = rank < k
    columns[row[keep], rank[keep]] = item[order][keep]
    values[row[keep], rank[keep]] = score[order][keep]
    return columns, values


def _best_first(row: Array, item: Array, score: Array, tie: Array) -> Array:
    """The order of pairs by row, score, tie and item; each key costs a sort, so those that change nothing are left."""
    keys = [-score, row.astype(np.uint16) if row.max(initial=0) < 2**16 else row]
    if tie.any():
        keys.insert(0, -tie)
    same = row[1:] == row[:-1]
    if not ((row[1:] > row[:-1]) | (same & (item[1:] >= item[:-1]))).all():
        keys.insert(0, item)
    return np.lexsort(keys)


def _threshold(part: Array, k: int) -> Array:
    """The k-th greatest value of each row, (rows, 1)."""
    threshold: Array = np.partition(part, part.shape[1] - k, axis=1)[:, part.shape[1] - k, None]
    return threshold
