"""The best items of a whole catalogue, exactly: the ranking that sorting every score in double precision gives.

A fast pass in single precision, a block of items at a time, keeps only the best score of each group of items. What it
rounds has a bound (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), so the groups that can hold
one of the best k are known for certain; those alone are scored again in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from intently.errors import ConfigError

Array = np.ndarray

# Items are scored a block at a time, so that a block's scores stay in the processor's cache.
_BLOCK = 16_384
_GROUPS = 512
_PER_GROUP = _BLOCK // _GROUPS
# So many numbers of scores are held at once, at most: more customers are asked in turns.
_AT_ONCE = 256
_ULP = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Catalogue:
    """Items to be ranked: `vectors` (items, width) and `bias` (items,), float32; a score is a product plus the bias.

    `longest` is the length of the longest vector, `largest_bias` the largest bias; both bound what rounding can do.
    """

    vectors: Array
    bias: Array
    longest: float = field(init=False, default=0.0)
    largest_bias: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.bias.shape != self.vectors.shape[:1]:
            raise ConfigError(
                f"Vectors of shape {self.vectors.shape} do not go with biases of shape {self.bias.shape}.",
                mend="Give (items, width) vectors and (items,) biases.",
            )
        vectors = np.ascontiguousarray(self.vectors, dtype=np.float32)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "bias", np.ascontiguousarray(self.bias, dtype=np.float32))
        finite = self.bias[np.isfinite(self.bias)]
        object.__setattr__(self, "longest", float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).max(initial=0.0))))
        object.__setattr__(self, "largest_bias", float(np.abs(finite).max(initial=0.0)))

    def __len__(self) -> int:
        return len(self.vectors)

    def top(self, queries: Array, k: int, bias: Array | None = None) -> tuple[Array, Array]:
        """Codes (n, k) and scores (n, k) of the best items of each query (n, width), best first, equals by code.

        `bias` (items,) stands for the catalogue's own; minus infinity leaves an item out. Where fewer than k items
        are left, the rest is -1 with a score of minus infinity.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        bias = self.bias if bias is None else np.ascontiguousarray(bias, dtype=np.float32)
        k_there = min(k, len(self))
        code = np.full((len(queries), k), -1, dtype=np.int64)
        score = np.full((len(queries), k), -np.inf, dtype=np.float64)
        if not k_there:
            return code, score
        for begin in range(0, len(queries), _AT_ONCE):
            some = queries[begin : begin + _AT_ONCE]
            best = self._best_of_groups(some, bias)
            for row, query in enumerate(some):
                items = self._candidates(best[row], query, k_there, bias)
                exact = self.vectors[items].astype(np.float64) @ query.astype(np.float64) + bias[items]
                order = np.lexsort((items, -exact))[:k_there]
                order = order[exact[order] > -np.inf]
                code[begin + row, : len(order)], score[begin + row, : len(order)] = items[order], exact[order]
        return code, score

    def _best_of_groups(self, queries: Array, bias: Array) -> Array:
        """The best score in single precision of each group of items, (queries, groups)."""
        blocks = -(-len(self) // _BLOCK)
        best = np.full((len(queries), blocks * _GROUPS), -np.inf, dtype=np.float32)
        scores = np.empty((len(queries), _BLOCK), dtype=np.float32)
        for block in range(blocks):
            begin = block * _BLOCK
            items = self.vectors[begin : begin + _BLOCK]
            filled = scores if len(items) == _BLOCK else np.empty((len(queries), len(items)), dtype=np.float32)
            np.matmul(queries, items.T, out=filled)
            filled += bias[begin : begin + _BLOCK]
            if len(items) < _BLOCK:
                scores[:, : len(items)], scores[:, len(items) :] = filled, -np.inf
            # Group g of a block holds every _GROUPS-th item of it from g on.
            place = slice(block * _GROUPS, (block + 1) * _GROUPS)
            scores.reshape(len(queries), _PER_GROUP, _GROUPS).max(axis=1, out=best[:, place])
        return best

    def _candidates(self, best: Array, query: Array, k: int, bias: Array) -> Array:
        """The codes of every item that may be among the best k."""
        # At least k items score no less than the k-th best group does, so what can be among the best k is no
        # further below it than twice what rounding can do.
        groups = min(k, len(best))
        threshold = np.partition(best, len(best) - groups)[len(best) - groups] if groups == k else -np.inf
        length = float(np.sqrt((query.astype(np.float64) ** 2).sum()))
        reach = length * self.longest
        slack = 2 * (len(query) + 2) * _ULP * (reach + self._largest(bias))
        kept = np.flatnonzero(best >= threshold - slack) if np.isfinite(threshold) else np.flatnonzero(best > -np.inf)
        first = kept // _GROUPS * _BLOCK + kept % _GROUPS
        items = (first[:, None] + np.arange(_PER_GROUP) * _GROUPS).reshape(-1)
        items = items[items < len(self)]
        return items[self.vectors[items] @ query + bias[items] >= threshold - slack]

    def _largest(self, bias: Array) -> float:
        return self.largest_bias if bias is self.bias else float(np.abs(bias[np.isfinite(bias)]).max(initial=0.0))
