"""Sessions as words, step by step: what a customer did so far, and at each step what they did next.

No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from intently.log import schema
from intently.log.log import Log
from intently.text.story import said
from intently.text.verbalise import item_texts
from intently.text.wording import wording_of

Array = np.ndarray

# What follows the last step of a session.
NONE = "none"
# Where there is no session_id, a session ends where nothing was done for so long.
GAP = timedelta(minutes=30)


@dataclass(frozen=True)
class Session:
    """Steps of one visit, oldest first, with the `words` of each; `before` tells what its customer did until then.

    `kind` are the steps' event types, `then` what came after each (NONE after the last), `row` their rows in
    `log.events`.
    """

    before: str
    words: tuple[str, ...]
    kind: tuple[str, ...]
    then: tuple[str, ...]
    row: tuple[int, ...]

    @property
    def text(self) -> str:
        """All that is told of it."""
        return self.before + "".join(self.words)


def sessions(log: Log, begin: datetime, end: datetime, language: str = "en") -> list[Session]:
    """The sessions that began in `[begin, end)` and were over before `end`, in the order of their beginning.

    Each begins with how often its customer did what before it, in tenths of what they do most. What became known late
    is left out: at its time nobody knew. Facts about other events are no steps.
    """
    rows = log.events.with_row_index("_row").filter(pl.col(schema.TIME) < end, pl.col(schema.USER).is_not_null())
    if schema.ARRIVED in rows.columns:
        rows = rows.filter(pl.col(schema.ARRIVED).is_null() | (pl.col(schema.ARRIVED) <= pl.col(schema.TIME)))
    if schema.ABOUT in rows.columns:
        rows = rows.filter(pl.col(schema.ABOUT).is_null())
    kinds = sorted(rows[schema.TYPE].cast(pl.String).unique().to_list())
    so_far = ((pl.col(schema.TYPE) == kind).cast(pl.Int64).cum_sum().shift(1, fill_value=0) for kind in kinds)
    before = [count.over(schema.USER).alias(f"_n{place}") for place, count in enumerate(so_far)]
    rows = rows.sort(schema.USER, schema.TIME, "_row").with_columns(*before)
    # Of two windows of a browser the events of one come between those of the other.
    own = [schema.SESSION] if schema.SESSION in rows.columns else []
    rows = rows.sort(schema.USER, *own, schema.TIME, "_row").with_columns(_number(rows.columns).alias("_session"))
    span = rows.group_by("_session").agg(
        pl.col(schema.TIME).min().alias("_first"), pl.col(schema.TIME).max().alias("_last")
    )
    mine = span.filter(pl.col("_first") >= begin, pl.col("_last") + GAP < end)
    rows = rows.join(mine, on="_session", how="semi", maintain_order="left")
    names = _names(log)
    found = []
    for part in rows.partition_by("_session", maintain_order=True):
        counts = {kind: part[f"_n{place}"][0] for place, kind in enumerate(kinds)}
        found.append((part[schema.TIME][0], _session(part, counts, names, language)))
    return [session for _, session in sorted(found, key=lambda pair: (pair[0], pair[1].row))]


def _number(columns: Sequence[str]) -> pl.Expr:
    """A number for each session of rows sorted by customer, the session's own id where there is one, and time."""
    new = pl.col(schema.USER) != pl.col(schema.USER).shift()
    if schema.SESSION in columns:
        own = pl.col(schema.SESSION)
        new = new | own.ne_missing(own.shift())
        gap = own.is_null() & (pl.col(schema.TIME).diff() > GAP)
    else:
        gap = pl.col(schema.TIME).diff() > GAP
    return (new | gap).fill_null(value=True).cum_sum()


def _names(log: Log) -> dict[object, str]:
    texts, number = item_texts(log.items)
    return dict(zip(log.items[schema.ITEM].to_list(), (texts[place] for place in number), strict=True))


def _session(rows: pl.DataFrame, counts: dict[str, int], names: dict[object, str], language: str) -> Session:
    wording = wording_of(language)
    kinds = rows[schema.TYPE].cast(pl.String).to_list()
    items = rows[schema.ITEM].to_list() if schema.ITEM in rows.columns else [None] * len(rows)
    texts = rows[schema.TEXT].to_list() if schema.TEXT in rows.columns else [None] * len(rows)
    most = max(counts.values(), default=0)
    tenths = [f"{round(10 * count / most)} {kind}" for kind, count in counts.items() if count] if most else []
    before = wording.so_far.format(counts=wording.comma.join(tenths) or wording.nothing)
    words: list[str] = []
    for kind, item, text in zip(kinds, items, texts, strict=True):
        parts = [names.get(item, ""), wording.quote.format(text=said(text)) if text else ""]
        what = " ".join(part for part in parts if part) or wording.something
        phrase = wording.event.get(kind, wording.other).format(what=what, kind=kind)
        words.append(wording.comma + phrase if words else phrase)
    return Session(before, tuple(words), tuple(kinds), (*kinds[1:], NONE), tuple(rows["_row"].to_list()))
