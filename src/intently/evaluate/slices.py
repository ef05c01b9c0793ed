"""Groups of examples worth a look of their own, as boolean arrays (n,)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from intently.contract import TRUTH, Examples, Past, Ranking
from intently.log import schema
from intently.log.pack import Array

SHORT = 5
# Newest rows that are looked at first; only who shows too few moments in them is read whole.
_NEWEST = 256


def standard(examples: Examples, past: Past, trained_on: Iterable[object]) -> dict[str, Array]:
    """Those never seen in training, short histories and, for a ranking of items, cold items."""
    found = {"unseen": unseen(examples, trained_on), "short": short(examples, past)}
    if isinstance(examples.task.answer, Ranking) and examples.task.answer.of == schema.ITEM:
        found["cold_items"] = cold(examples, past)
    return found


def unseen(examples: Examples, trained_on: Iterable[object]) -> Array:
    """Customers (or items, where items are asked) that are not among the ids seen in training."""
    household = examples.household
    known = pl.Series(list(trained_on), dtype=household.dtype)
    return (~household.is_in(known.implode())).to_numpy()


def short(examples: Examples, past: Past, moments: int = SHORT) -> Array:
    """Histories of at most `moments` moments; events with one timestamp (a basket) are one moment."""
    found = _moments(past, last=_NEWEST)
    doubtful = np.flatnonzero((found <= moments) & (past.lengths > _NEWEST))
    if len(doubtful):
        found[doubtful] = _moments(past.take(doubtful))
    assert len(found) == len(examples)
    return np.asarray(found <= moments)


def cold(examples: Examples, past: Past) -> Array:
    """Those whose truth names an item that nobody had had to do with before `at`."""
    found = np.zeros(len(examples), dtype=bool)
    for at in examples.cutoffs:
        known = past.shop(at).events[schema.ITEM].drop_nulls().unique().implode()
        new = pl.col(TRUTH).list.eval(~pl.element().is_in(known)).list.any()
        rows = (examples.at == at).to_numpy()
        found[rows] = examples.frame.filter(rows).select(new.fill_null(False)).to_series().to_numpy()
    return found


def _moments(past: Past, last: int | None = None) -> Array:
    rows = past.rows(last)
    _, first = np.unique(rows.moment, return_index=True)
    return np.bincount(rows.example[first], minlength=len(past))
