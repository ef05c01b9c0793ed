"""Every item of a catalogue scored for many customers, and the best of them: exact, in blocks of customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from intently.log.pack import Array

# Items looked at together when the best are sought, and customers: what is sought through stays near the processor.
_CHUNK, _ROWS = 64, 16


@dataclass(frozen=True)
class Memories:
    """What is added to single logits: of customer `row`, sorted, and item code `item`, `more`."""

    row: Array
    item: Array
    more: Array


@dataclass(frozen=True)
class WholeCatalogue:
    """Item vectors (width, items) and biases (items,), filled up to whole chunks with items that nobody gets."""

    vectors: Array
    bias: Array
    items: int

    @classmethod
    def of(cls, vectors: Array, bias: Array) -> Self:
        """From arrays as `FittedReader.item_vectors` gives them."""
        items = len(bias)
        filled = -(-items // _CHUNK) * _CHUNK
        # A row for each number of a vector: the product takes two thirds of the time.
        padded = np.zeros((vectors.shape[1], filled), dtype=np.float32)
        padded[:, :items] = vectors.T
        level = np.full(filled, -np.inf, dtype=np.float32)
        level[:items] = bias
        return cls(padded, level, items)

    def logits(self, queries: Array, memory: Memories, begin: int, end: int) -> Array:
        """Logits of the rows `begin` to `end` of `queries` (n, width), (rows, filled)."""
        logits = queries[begin:end] @ self.vectors  # (rows, filled)
        logits += self.bias
        mine = slice(*np.searchsorted(memory.row, [begin, end]))
        np.add.at(logits, (memory.row[mine] - begin, memory.item[mine]), memory.more[mine])
        return logits

    def best(self, queries: Array, memory: Memories, begin: int, end: int, k: int) -> tuple[Array, Array]:
        """Codes and logits of the k best items, best first, (rows, k) both."""
        logits, k = self.logits(queries, memory, begin, end), min(k, self.items)
        found = [best_columns(logits[row : row + _ROWS], k) for row in range(0, max(len(logits), 1), _ROWS)]
        return np.concatenate([code for code, _ in found]), np.concatenate([value for _, value in found])

    def log_totals(self, queries: Array, memory: Memories, begin: int, end: int) -> Array:
        """The log of the softmax's sum over all items, (rows,)."""
        logits = self.logits(queries, memory, begin, end)
        if not self.items:
            return np.full(len(logits), -np.inf, dtype=np.float32)
        peak = logits.max(axis=1, keepdims=True)
        np.exp(np.subtract(logits, peak, out=logits), out=logits)
        return np.asarray(np.log(logits.sum(axis=1)) + peak[:, 0])


def best_columns(values: Array, k: int) -> tuple[Array, Array]:
    """Numbers and values of the k greatest of each row, greatest first, (rows, k) both; columns are whole chunks."""
    rows, columns = values.shape
    if k == 0:
        return np.zeros((rows, 0), dtype=np.int64), values[:, :0]
    chunks = columns // _CHUNK
    inside, place = values, None
    if chunks > k:
        # The k greatest lie in the k chunks whose greatest is greatest; a chunk is every so-manieth column.
        peak = values.reshape(rows, _CHUNK, chunks).max(axis=1)
        chosen = np.argpartition(peak, -k, axis=1)[:, -k:]
        place = (chosen[:, :, np.newaxis] + np.arange(_CHUNK) * chunks).reshape(rows, -1)  # (rows, k * chunk)
        inside = np.take_along_axis(values, place, axis=1)
    top = np.argpartition(inside, -k, axis=1)[:, -k:]
    best = np.take_along_axis(inside, top, axis=1)
    order = np.argsort(-best, axis=1, kind="stable")
    top, best = np.take_along_axis(top, order, axis=1), np.take_along_axis(best, order, axis=1)
    return (top if place is None else np.take_along_axis(place, top, axis=1)), best
