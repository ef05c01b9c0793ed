"""How much will this customer spend in the next 28 days?"""

from datetime import timedelta

import polars as pl

from intently.contract import Amount, Everyone, Task
from intently.log.schema import AMOUNT, BUY, TYPE, USER

TASK = Task(
    name="purchasing_power",
    asks=Everyone(USER),
    answer=Amount(unit="money"),
    horizon=timedelta(days=28),
    truth=pl.col(AMOUNT).filter(pl.col(TYPE) == BUY).sum(),
    absent=0.0,
    wording={"en": "How much will this customer spend in the next 28 days?", "zh": "该顾客未来 28 天会消费多少?"},
    metrics=("spearman", "norm_gini", "mae", "rmse", "pinball", "coverage_90", "total_ratio"),
    must_beat="lightgbm",
)
