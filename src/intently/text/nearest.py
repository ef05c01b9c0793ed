"""Which texts read alike: the nearest of each by cosine, itself first."""

from __future__ import annotations

import numpy as np

Array = np.ndarray

_BLOCK = 1024


def nearest(vectors: Array, k: int) -> tuple[Array, Array]:
    """Numbers (texts, k) of the texts nearest to each, itself first, and their weights: squared cosines, 0 to 1."""
    import torch

    unit = torch.nn.functional.normalize(torch.from_numpy(np.ascontiguousarray(vectors)), dim=1)
    k = min(k, len(vectors))
    near, weight = np.empty((len(vectors), k), dtype=np.int64), np.empty((len(vectors), k))
    for begin in range(0, len(vectors), _BLOCK):
        block = unit[begin : begin + _BLOCK] @ unit.T
        # Itself first, whatever rounding says of the others.
        rows = torch.arange(len(block))
        block[rows, rows + begin] = 2.0
        best = block.topk(k, dim=1)
        near[begin : begin + _BLOCK] = best.indices.numpy()
        weight[begin : begin + _BLOCK] = best.values.clamp(0, 1).numpy() ** 2
    return near, weight
