"""The best items of a catalogue that is too large to score whole: nearly all of them, in a fraction of the time.

An inverted file of faiss: items are put into lists by their nearest centre, and a query reads only the lists whose
centres promise most. How many (`probes`) trades time for what is missed; the items found are scored exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from intently.errors import ConfigError
from intently.ranking.top import Array, Catalogue

INSTALL = 'pip install "intently[ann]"'

# As faiss advises: lists in proportion to the root of the items, and enough items a list to find centres from.
_LISTS_PER_ROOT = 4
_TRAINED_PER_LIST = 64
_FEWEST = 40
# faiss reads compressed vectors sixteen numbers at a time, or one at a time where the width is no multiple of that.
_TOGETHER = 16
# So many more than asked for are taken from the compressed lists, and scored again exactly.
_SPARE = 2


@dataclass(frozen=True, eq=False)
class Index:
    """An index of a catalogue. `probes` of its `lists` are read for a query unless told otherwise.

    96 of the 4,000 lists of a million items find .973 to .998 of the best hundred (bench/ranking.py); fewer do for a
    smaller catalogue.
    """

    catalogue: Catalogue
    lists: int
    probes: int
    built: Any

    @classmethod
    def of(cls, catalogue: Catalogue, probes: int = 96, seed: int = 0) -> Index:
        """Build an index: tens of seconds for a million items.

        Raises ConfigError where faiss is not installed or the items are too few to need one.
        """
        faiss = _faiss()
        lists = int(_LISTS_PER_ROOT * len(catalogue) ** 0.5)
        if len(catalogue) < _FEWEST * lists:
            raise ConfigError(
                f"{len(catalogue):,} items are too few for an index.",
                mend="Rank them exactly with ranking.Catalogue; that is as fast.",
            )
        table = _widened(catalogue.vectors, catalogue.bias)
        built = faiss.index_factory(table.shape[1], f"IVF{lists},SQfp16", faiss.METRIC_INNER_PRODUCT)
        built.cp.seed = seed
        built.cp.niter = 8
        sample = np.random.default_rng(seed).choice(len(table), min(len(table), _TRAINED_PER_LIST * lists), False)
        built.train(table[np.sort(sample)])
        built.add(table)
        return cls(catalogue, lists, probes, built)

    def top(self, queries: Array, k: int, probes: int | None = None) -> tuple[Array, Array]:
        """Codes (n, k) and exact scores (n, k) of items found, best first; -1 and minus infinity where too few are."""
        faiss = _faiss()
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        asked = _widened(queries, np.ones(len(queries), dtype=np.float32))
        settings = faiss.SearchParametersIVF(nprobe=min(probes or self.probes, self.lists))
        _, found = self.built.search(asked, min(_SPARE * k, len(self.catalogue)), params=settings)
        score = np.einsum("nkd,nd->nk", self.catalogue.vectors[found], queries) + self.catalogue.bias[found]
        score = np.where(found >= 0, score, -np.inf)
        order = np.argsort(-score, axis=1, kind="stable")[:, :k]
        code, score = np.take_along_axis(found, order, axis=1), np.take_along_axis(score, order, axis=1)
        missing = k - code.shape[1]
        if missing > 0:
            code = np.pad(code, ((0, 0), (0, missing)), constant_values=-1)
            score = np.pad(score, ((0, 0), (0, missing)), constant_values=-np.inf)
        return code, score


def _widened(vectors: Array, last: Array) -> Array:
    """The bias as one more dimension, by which every query asks with 1, and zeros up to a width that is read fast."""
    n, width = vectors.shape
    table = np.zeros((n, -(-(width + 1) // _TOGETHER) * _TOGETHER), dtype=np.float32)
    table[:, :width], table[:, width] = vectors, last
    return table


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError("An index needs faiss, which is not installed.", mend=f"Install it: {INSTALL}") from error
    return faiss
