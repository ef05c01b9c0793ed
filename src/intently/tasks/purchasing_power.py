"""How much will this customer spend in the next 28 days?"""

from datetime import timedelta

import polars as pl

from intently.contract import Amount, Everyone, Task
from intently.log.schema import AMOUNT, BUY, RETURN, TYPE, USER

_PAID = pl.col(AMOUNT).filter(pl.col(TYPE) == BUY).sum()
_BACK = pl.col(AMOUNT).filter(pl.col(TYPE) == RETURN).abs().sum()

TASK = Task(
    name="purchasing_power",
    asks=Everyone(USER),
    answer=Amount(unit="money"),
    horizon=timedelta(days=28),
    # Net of what comes back in the same window (an order typed wrong and cancelled is no money), and never below 0.
    truth=(_PAID - _BACK).clip(lower_bound=0),
    absent=0.0,
    wording={"en": "How much will this customer spend in the next 28 days?", "zh": "该顾客未来 28 天会消费多少?"},
    metrics=("spearman", "norm_gini", "mae", "rmse", "pinball", "coverage_90", "total_ratio"),
    must_beat="lightgbm",
)
