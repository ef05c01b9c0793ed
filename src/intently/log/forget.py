"""Forgetting a customer: their rows, and all that speaks of them, leave a log."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from intently.log import schema
from intently.log.log import Log


def forget(log: Log, user: object) -> Log:
    """The log without a customer: their events, what is `about` these, their nameless visits, their row in users.

    A nameless visit is theirs if they are seen in the same session. The observed span stays, and a customer who is
    not there changes nothing. Models that were trained before have still learned from them.
    """
    events = log.events.with_row_index("_row")
    who = pl.col(schema.USER).cast(pl.String)
    gone = {str(user)}
    if schema.SESSION in events.columns:
        sessions = events.filter(who == str(user))[schema.SESSION].drop_nulls().cast(pl.String)
        # Where nobody is known, the session stands in the place of the customer.
        nameless = events.filter(who == pl.col(schema.SESSION).cast(pl.String))[schema.USER].cast(pl.String)
        gone |= set(sessions) & set(nameless)
    rows = events.filter(who.is_in(gone))
    while schema.ABOUT in events.columns and schema.EVENT in events.columns:
        ids = rows[schema.EVENT].drop_nulls().cast(pl.String).unique()
        spoken = events.filter(pl.col(schema.ABOUT).cast(pl.String).is_in(ids.implode()))
        more = spoken.join(rows, on="_row", how="anti")
        if more.is_empty():
            break
        rows = pl.concat([rows, more])
    kept = events.join(rows, on="_row", how="anti", maintain_order="left").drop("_row")
    return replace(log, events=kept, users=log.users.filter(~who.is_in(gone)))
