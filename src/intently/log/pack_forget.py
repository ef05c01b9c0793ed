"""Forgetting customers in a pack on disk: it is written anew without their rows, and put in place whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import polars as pl

from intently.log import schema
from intently.log.pack import MANIFEST, UNKNOWN, Array, Order, Pack, beside, manifest, recover
from intently.log.packed import ITEMS, USERS


def forget_in_pack(folder: Path, users: Sequence[str]) -> int:
    """Remove customers from a pack: their rows in both orders, their ids, what is said of them; gives the rows removed.

    A process that is ended in the middle leaves the old pack or the new one, which whoever opens it next puts in its
    place. Raises DataError where there is no pack.
    """
    # A link to a pack is not the pack.
    folder = folder.resolve()
    about = manifest(folder)
    pack = Pack.load(folder)
    gone = pack.user_ids.cast(pl.String).is_in(list(users)).to_numpy()
    if not gone.any():
        return 0
    new_code = np.where(gone, UNKNOWN, np.cumsum(~gone) - 1).astype(np.int32)
    kept_by_user = ~gone[pack.by_user.user]
    lost = np.sort(np.asarray(pack.by_user.row)[~kept_by_user])
    known = np.asarray(pack.by_item.user) != UNKNOWN
    kept_by_item = ~(known & gone[np.maximum(pack.by_item.user, 0)])
    left = Pack(
        pack.user_ids.filter(pl.Series(~gone)),
        pack.item_ids,
        pack.event_types,
        _without(pack.by_user, kept_by_user, new_code, lost, ~gone),
        _without(pack.by_item, kept_by_item, new_code, lost, None),
    )
    part, old = beside(folder)
    shutil.rmtree(part, ignore_errors=True)
    left.save(part)
    if (folder / ITEMS).is_file():
        shutil.copy(folder / ITEMS, part / ITEMS)
        customers = pl.read_parquet(folder / USERS)
        customers.filter(~pl.col(schema.USER).cast(pl.String).is_in(list(users))).write_parquet(part / USERS)
    if "events" in about:
        about["events"] -= len(lost)
    (part / MANIFEST).write_text(json.dumps(about) + "\n")
    folder.rename(old)
    recover(folder)
    return len(lost)


def _without(order: Order, kept: Array, new_code: Array, lost: Array, keys: Array | None) -> Order:
    """An order without some rows; `keys` says which keys stay (all, without it)."""
    counts = np.add.reduceat(np.append(kept, False), order.offsets[:-1]) if len(order.offsets) > 1 else np.zeros(0)
    # An empty key gets its neighbour's first row from reduceat.
    counts = np.where(np.diff(order.offsets) > 0, counts, 0)
    counts = counts if keys is None else counts[keys]
    rows = np.asarray(order.row)[kept]
    user = np.asarray(order.user)[kept]
    plain = {
        one.name: np.asarray(getattr(order, one.name))[kept]
        for one in fields(order)
        if one.name not in ("offsets", "user", "row", "extra")
    }
    return Order(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        user=np.where(user == UNKNOWN, UNKNOWN, new_code[np.maximum(user, 0)]).astype(np.int32),
        row=(rows - np.searchsorted(lost, rows)).astype(rows.dtype),
        extra={name: np.asarray(values)[kept] for name, values in order.extra.items()},
        **plain,
    )
