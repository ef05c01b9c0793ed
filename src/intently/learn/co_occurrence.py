"""Where words stand before a model learns: by what stands beside them, counted.

Positive pointwise mutual information of neighbours, cut to a few dimensions by a singular value decomposition (Levy and
Goldberg 2014). Seconds for millions of tokens; a model that begins so has the words that are used alike beside each
other from its first step.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import sparse

from intently.log.pack import Array

# The spread of a model's word vectors to begin with, as BERT has it.
_SPREAD = 0.02
# Rare neighbours count for more than they are: their share is that of a softened count.
_SOFTENED = 0.75
_ROUNDS, _MORE = 3, 16


def counted_vectors(
    rows: Iterable[list[int]], words: int, width: int, *, marks: frozenset[int], window: int = 4, seed: int = 0
) -> Array:
    """A vector for each word, (words, width) float32, from texts as token numbers.

    Neighbours are those up to `window` places away, the nearer the more. `marks` are no words. A word that is never
    met, and dimensions beyond what the counts have, are drawn by lot.
    """
    rng = np.random.default_rng(seed)
    found = rng.normal(0.0, _SPREAD, (words, width)).astype(np.float32)
    informed = _informed(_neighbours(rows, words, marks, window))
    met = np.flatnonzero(np.diff(informed.indptr))
    size = min(width, len(met) - 1)
    if size < 1:
        return found
    left, strength = _main_directions(informed, size, rng)
    vectors = left[met] * np.sqrt(strength)
    found[met, :size] = vectors * (_SPREAD / vectors.std())
    return found


def _neighbours(rows: Iterable[list[int]], words: int, marks: frozenset[int], window: int) -> sparse.csr_matrix:
    """How often each word stands near each other one, (words, words), both ways."""
    flat = np.concatenate([np.array([*row, *[-1] * window], dtype=np.int64) for row in rows])
    flat[np.isin(flat, list(marks))] = -1
    total = sparse.csr_matrix((words, words))
    for apart in range(1, window + 1):
        first, second = flat[:-apart], flat[apart:]
        both = (first >= 0) & (second >= 0)
        pairs = (np.full(int(both.sum()), 1 / apart), (first[both], second[both]))
        total = total + sparse.coo_matrix(pairs, shape=(words, words)).tocsr()
    return (total + total.T).tocsr()


def _informed(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Positive pointwise mutual information of a word and its neighbour."""
    cells = counts.tocoo()
    often = np.asarray(counts.sum(axis=1)).ravel()
    softened = often**_SOFTENED
    softened /= max(softened.sum(), 1e-12)
    value = np.log(cells.data / (often[cells.row] * softened[cells.col]))
    kept = value > 0
    return sparse.csr_matrix((value[kept], (cells.row[kept], cells.col[kept])), shape=counts.shape)


def _main_directions(matrix: sparse.csr_matrix, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Left singular vectors (n, size) and values (size,), by random projection (Halko et al. 2011)."""
    basis = rng.normal(size=(matrix.shape[1], min(size + _MORE, matrix.shape[1])))
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(matrix.T @ np.linalg.qr(matrix @ basis)[0])[0]
    left, strength, _ = np.linalg.svd(matrix @ basis, full_matrices=False)
    return left[:, :size], strength[:size]
