import numpy as np
import polars as pl
import pytest

from intently.log.lookup import Lookup


@pytest.mark.parametrize(
    "table",
    [
        pl.Series(["b", "a", "ü", "雨伞", ""]),
        pl.Series([5, -3, 0, 2**40]),
        pl.Series(["b", "a"], dtype=pl.Categorical),
        pl.Series([f"c{number:07}" for number in range(5000)]),
    ],
)
def test_codes_are_rows_of_the_table(table):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(table), 200)
    assert Lookup(table).codes(table.gather(rows)).tolist() == rows.tolist()


def test_what_is_not_there_and_what_is_empty_is_minus_one():
    codes = Lookup(pl.Series(["a", "b"])).codes(pl.Series(["b", None, "z", "a"]))
    assert codes.tolist() == [1, -1, -1, 0]
    assert codes.dtype == np.int32


def test_an_empty_table_knows_nobody():
    assert Lookup(pl.Series([], dtype=pl.String)).codes(pl.Series(["a", None])).tolist() == [-1, -1]
    assert Lookup(pl.Series(["a"])).codes(pl.Series([], dtype=pl.String)).tolist() == []


def test_ids_that_share_a_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(pl.Series, "hash", lambda self, seed=0: pl.Series([7] * len(self), dtype=pl.UInt64))
    assert Lookup(pl.Series(["a", "b", "c"])).codes(pl.Series(["c", "z", "a", None, "b"])).tolist() == [2, -1, 0, -1, 1]


def test_a_table_that_counts_from_nought_is_its_own_codes():
    lookup = Lookup(pl.Series([0, 1, 2]))
    assert lookup.codes(pl.Series([2, 0, 3, -1, None, 1])).tolist() == [2, 0, -1, -1, -1, 1]
