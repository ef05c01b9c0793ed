"""The best of a catalogue for each row, against the plainest way to find them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from intently.baselines.catalogue import Pairs, _filled

ITEMS, ROWS = 7, 4
SCORES = st.sampled_from([-0.5, 0.0, 0.25, 2.0])


@given(
    st.dictionaries(st.tuples(st.integers(0, ROWS - 1), st.integers(0, ITEMS - 1)), SCORES),
    st.lists(st.integers(0, ITEMS - 1), unique=True),
    st.integers(1, 6),
)
def test_rows_with_too_few_pairs_are_filled_up_and_no_item_comes_twice(scored, filling, k):
    keys = sorted(scored)
    example, item = np.array([*keys, (0, 0)]).T[:, : len(keys)]
    pairs = Pairs(example, item, np.array([scored[key] for key in keys]), np.zeros(len(keys)))
    codes, values = _filled(pairs, np.array(filling, dtype=np.int64), ITEMS, ROWS, k)
    for row in range(ROWS):
        best = sorted((-score, one) for (of, one), score in scored.items() if of == row)
        mine = [(one, -score) for score, one in best]
        mine += [(one, -1.0 - place) for place, one in enumerate(filling) if (row, one) not in scored]
        mine = (mine + [(-1, -np.inf)] * k)[:k]
        assert list(zip(codes[row].tolist(), values[row].tolist(), strict=True)) == mine
