"""An index of a catalogue: nearly all of the exact ranking, with exact scores."""

import sys

import numpy as np
import pytest

from intently.errors import ConfigError
from intently.ranking.index import Index
from intently.ranking.top import Catalogue


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((150, 16))
    vectors = centres[rng.integers(0, 150, 30_000)] + 0.5 * rng.standard_normal((30_000, 16))
    return Catalogue(vectors.astype(np.float32), rng.standard_normal(30_000).astype(np.float32))


def recall(index: Index, queries, probes: int) -> float:
    exact, _ = index.catalogue.top(queries, 20)
    found, _ = index.top(queries, 20, probes)
    return float(np.mean([len(np.intersect1d(a, b)) / 20 for a, b in zip(found, exact, strict=True)]))


def test_more_probes_find_more_until_nothing_is_missed(catalogue):
    index = Index.of(catalogue)
    queries = catalogue.vectors[:40] + 0.3
    few, some, every = (recall(index, queries, probes) for probes in (1, 16, index.lists))
    assert few < 0.9
    assert 0.8 < some <= every
    assert every > 0.995
    code, score = index.top(queries, 20)
    exact = np.einsum("nkd,nd->nk", catalogue.vectors[code], queries) + catalogue.bias[code]
    np.testing.assert_allclose(score, exact, rtol=1e-5)
    assert (np.diff(score, axis=1) <= 0).all()


def test_what_faiss_reads_has_a_width_it_reads_fast(catalogue):
    # 16 numbers and the bias are 17: read one number at a time, which takes four times as long.
    assert Index.of(catalogue).built.d == 32


def test_where_too_few_are_found_the_rest_is_empty(catalogue):
    code, score = Index.of(catalogue).top(catalogue.vectors[:2], 2000, probes=1)
    assert (code[:, -1] == -1).all()
    assert np.isneginf(score[:, -1]).all()


def test_a_small_catalogue_needs_no_index():
    small = Catalogue(np.eye(8, dtype=np.float32), np.zeros(8, np.float32))
    with pytest.raises(ConfigError, match="too few for an index"):
        Index.of(small)


def test_without_faiss_the_pip_line_is_said(catalogue, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r'pip install "intently\[ann\]"'):
        Index.of(catalogue)
