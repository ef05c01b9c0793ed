"""How item texts become vectors: a language model, frozen or tuned, and a whitening learned on the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from intently.log.pack import Array
from intently.text.language_model import PACKAGED, Progress, Run, embed, silent


@dataclass(frozen=True)
class Text:
    """How item texts become vectors: the language model's, whitened to fewer dimensions.

    `mean` (width,) and `whiten` (width, kept) are learned on the texts of the training catalogue.
    `adapt` is "frozen" or "lora"; `adapter` is the folder of the trained adapter, `exported` that of the language model
    as it was exported, which then reads.
    """

    model: str = PACKAGED
    keep: int = 128
    adapt: str = "frozen"
    adapter: Path | None = None
    exported: Path | None = None
    mean: Array = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    whiten: Array = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))

    def fit(self, vectors: Array) -> Text:
        """Learn the whitening of vectors (n, width)."""
        mean = vectors.mean(axis=0)
        _, spread, axes = np.linalg.svd((vectors - mean).astype(np.float64), full_matrices=False)
        kept = min(self.keep, len(spread))
        # Directions that carry next to nothing would be blown up to unit noise; the floor stops that.
        scale = np.maximum(spread[:kept], spread[0] * 0.02) / np.sqrt(len(vectors))
        return replace(self, mean=mean, whiten=(axes[:kept].T / scale).astype(np.float32))

    def read(self, texts: Sequence[str], progress: Progress = silent, run: Run = map) -> Array:
        """The language model's vectors of distinct texts, (n, width) float32, read in the threads of `run`."""
        return embed(texts, self.model, adapter=self.adapter, exported=self.exported, progress=progress, run=run)

    def apply(self, vectors: Array) -> Array:
        """Whitened vectors (n, kept), about unit variance a column, float32."""
        return ((vectors - self.mean) @ self.whiten).astype(np.float32)
