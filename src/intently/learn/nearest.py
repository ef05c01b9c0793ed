"""Which texts read alike: the nearest of each by cosine, itself first."""

from __future__ import annotations

import numpy as np

from intently.learn.whole_catalogue import Memories, WholeCatalogue
from intently.log.pack import Array

_BLOCK = 512


def nearest(vectors: Array, k: int) -> tuple[Array, Array]:
    """Numbers (texts, k) of the texts nearest to each, itself first, and their weights: squared cosines, 0 to 1."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    texts = len(unit)
    # Itself first, whatever rounding says of the others.
    itself = Memories(np.arange(texts), np.arange(texts), np.full(texts, 2.0, dtype=np.float32))
    every = WholeCatalogue.of(unit, np.zeros(texts, dtype=np.float32))
    parts = [every.best(unit, itself, begin, begin + _BLOCK, k) for begin in range(0, texts, _BLOCK)]
    near, cosine = (np.concatenate(column) for column in zip(*parts, strict=True))
    return near.astype(np.int64), np.clip(cosine, 0, 1).astype(np.float64) ** 2
