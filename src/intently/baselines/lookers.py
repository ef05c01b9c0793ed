"""What an item would sell if all who looked at it bought as they usually do: more to go by than rare purchases."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from intently.baselines.visits import is_browsed
from intently.contract import Past
from intently.log.pack import Array, codes
from intently.log.schema import AMOUNT, BUY, ITEM, PASSIVE, QUANTITY, RETURN, TIME, TYPE, USER

HALF_LIVES = (7.0, 14.0, 28.0, 56.0, 112.0)
# A looker is believed to buy like everybody until they have looked this often.
_BELIEVED = 20.0
_DAY = 86_400.0


def looked(past: Past, at: Any, items: pl.Series, *, units: bool) -> dict[str, Array]:
    """Amount a day of each item, (items,), foreseen from looks at it before `at`; nothing for a log without looks.

    A look counts what its customer buys a look (units or money), leaning on what all do. Looks are the commonest
    of the events that customers do about items. Sums that halve every few days, over the days they stand for.
    """
    if not is_browsed(past.event_types):
        return {}
    shop = past.shop(at)
    age = (pl.lit(at) - pl.col(TIME)).dt.total_seconds() / _DAY
    events = shop.events.lazy().filter(pl.col(ITEM).is_not_null()).with_columns(age.alias("age"))
    kinds = events.filter(~pl.col(TYPE).is_in([BUY, RETURN, *PASSIVE])).group_by(TYPE).len()
    kind = kinds.sort("len", TYPE, descending=True).head(1).collect()[TYPE]
    if kind.is_empty():
        return {}
    looks = events.filter(pl.col(TYPE) == kind[0])
    name = QUANTITY if units else AMOUNT
    value = pl.col(name).cast(pl.Float64).fill_null(0.0) if name in shop.events.columns else pl.lit(1.0)
    brought = events.filter(pl.col(TYPE) == BUY).group_by(USER).agg(value.sum().alias("brought"))
    habits = looks.group_by(USER).len("looks").join(brought, on=USER, how="left", nulls_equal=True)
    usual = pl.col("brought").fill_null(0.0)
    everybody = usual.sum() / pl.col("looks").sum()
    habit = (usual + _BELIEVED * everybody) / (pl.col("looks") + _BELIEVED)
    span = (shop.observed_until - shop.observed_from).total_seconds() / _DAY
    worth = [
        (pl.col("habit") * (pl.col("age") * (-np.log(2) / days)).exp()).sum().alias(str(days)) for days in HALF_LIVES
    ]
    table = (
        looks.join(habits.select(USER, habit.alias("habit")), on=USER, how="left", nulls_equal=True)
        .group_by(ITEM)
        .agg(worth)
        .collect()
    )
    code = codes(table[ITEM], items)
    known = code >= 0
    columns = {}
    for days in HALF_LIVES:
        total = np.bincount(code[known], table[str(days)].to_numpy()[known], minlength=len(items))
        columns[f"looked_half_{days:g}d"] = total / _days_of(days, span)
    return columns


def _days_of(half_life: float, span: float) -> float:
    """What a sum that halves every `half_life` days weighs, of so many days in all."""
    return float(half_life / np.log(2) * (1 - np.exp2(-span / half_life)))
