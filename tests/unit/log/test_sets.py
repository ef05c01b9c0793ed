"""Sets of whole numbers are what numpy makes of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from intently.log.sets import among, distinct

# Few values, so that many are alike, and the ends of what they may be.
WHOLE = st.one_of(st.integers(-3, 3), st.sampled_from([-(2**63), 2**63 - 1]))


@given(arrays(np.int64, st.integers(0, 20), elements=WHOLE))
def test_distinct_ones_are_ascending_and_each_there_once(numbers):
    assert distinct(numbers).tolist() == sorted(set(numbers.tolist()))


@given(
    arrays(np.int64, array_shapes(max_dims=2, max_side=6), elements=WHOLE),
    arrays(np.int64, st.integers(0, 20), elements=WHOLE),
)
def test_what_is_among_others(numbers, others):
    found = among(numbers, others)
    assert found.shape == numbers.shape
    there = set(others.tolist())
    assert found.ravel().tolist() == [number in there for number in numbers.ravel().tolist()]
