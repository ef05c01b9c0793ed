"""The best of a whole catalogue, against sorting all of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intently.learn.whole_catalogue import Memories, WholeCatalogue


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 64, 65, 1000, 9000]), st.integers(1, 100))
def test_the_best_are_those_of_sorting_everything(seed, items, k) -> None:
    rng = np.random.default_rng(seed)
    n, width = 7, 8
    queries, vectors = (rng.normal(size=(rows, width)).astype(np.float32) for rows in (n, items))
    bias = rng.normal(size=items).astype(np.float32)
    cell = np.sort(rng.choice(n * items, min(10, n * items), replace=False))
    memory = Memories(cell // items, cell % items, rng.normal(0, 5, len(cell)).astype(np.float32))
    logits = (queries @ vectors.T + bias).astype(np.float64)
    logits[memory.row, memory.item] += memory.more
    catalogue = WholeCatalogue.of(vectors, bias)
    (top, score), total = catalogue.best(queries, memory, 2, 6, k), catalogue.log_totals(queries, memory, 2, 6)
    best = np.argsort(-logits[2:6], axis=1)[:, :k]
    assert np.array_equal(top, best)
    assert score == pytest.approx(np.take_along_axis(logits[2:6], best, axis=1), abs=1e-4)
    assert total == pytest.approx(np.log(np.exp(logits[2:6]).sum(axis=1)), abs=1e-4)


def test_a_catalogue_without_an_item_has_no_best() -> None:
    none = Memories(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    catalogue = WholeCatalogue.of(np.zeros((0, 8), dtype=np.float32), np.zeros(0, dtype=np.float32))
    queries = np.ones((3, 8), dtype=np.float32)
    top, score = catalogue.best(queries, none, 0, 3, 100)
    assert top.shape == score.shape == (3, 0)
    assert np.isneginf(catalogue.log_totals(queries, none, 0, 3)).all()
