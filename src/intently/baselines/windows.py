"""Sums, counts and ages over windows of days, example by example; rows come oldest first within an example."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from intently.log.pack import Array

WINDOWS = (7, 14, 28, 56, 84, 168)
LABELS = (*(f"{days}d" for days in WINDOWS), "all")
# As ages are, so that none has to be made wider to be compared.
_EDGES = np.array(WINDOWS, dtype=np.float32)
_ROWS_AT_ONCE = 1_500_000
_CELLS_AT_ONCE = 4_000_000


def by_window(example: Array, age: Array, weight: Array | None, n: int) -> Array:
    """Sums of `weight` (or counts) per example over WINDOWS and all days, shape (n, 7)."""
    width = len(WINDOWS) + 1
    slot = example * width + np.searchsorted(_EDGES, age)
    return np.bincount(slot, weights=weight, minlength=n * width).reshape(n, width).cumsum(axis=1)


def distinct_by_window(example: Array, age: Array, code: Array, n: int) -> Array:
    """How many distinct codes (>= 0) each example has in each window, shape (n, 7)."""
    kept = np.flatnonzero(code >= 0)
    if not len(kept):
        return np.zeros((n, len(WINDOWS) + 1))
    key = example[kept] * (int(code.max()) + 1) + code[kept]
    # A stable sort keeps the oldest first within a key, so the last of each run is its newest.
    order = np.argsort(key, kind="stable")
    newest = kept[order[np.flatnonzero(np.append(np.diff(key[order]) != 0, True))]]
    return by_window(example[newest], age[newest], None, n)


def decayed(example: Array, age: Array, weight: Array, half_life: float, n: int) -> Array:
    """Sums of `weight` that halve every `half_life` days, shape (n,)."""
    return np.bincount(example, weights=weight * np.exp2(-age / half_life), minlength=n)


def ratio(over: Array, under: Array) -> Array:
    """The one divided by the other, NaN where there is nothing to divide by."""
    divided: Array = np.divide(over, under, out=np.full(np.shape(over), np.nan), where=under > 0)
    return divided


def chunks(lengths: Array, widest: int = 1) -> Iterator[Array]:
    """Consecutive row numbers, few enough at once that their events, and tables `widest` wide, fit in memory."""
    most = max(1, _CELLS_AT_ONCE // widest)
    batch = np.cumsum(lengths) // _ROWS_AT_ONCE
    for number in np.unique(batch):
        rows = np.flatnonzero(batch == number)
        yield from (rows[start : start + most] for start in range(0, len(rows), most))


def newest_age(example: Array, age: Array, n: int) -> Array:
    """Age of the last row of each example; rows come oldest first."""
    ages = np.full(n, np.nan)
    ages[example] = age
    return ages
