"""How many units of this item will be needed in the next 14 days?"""

from datetime import timedelta

import polars as pl

from intently.contract import Amount, Everyone, Task
from intently.log.schema import BUY, ITEM, QUANTITY, TYPE

TASK = Task(
    name="demand",
    # Items sold in units; what is sold by volume (fuel) has no quantity.
    asks=Everyone(ITEM, among=((pl.col(TYPE) == BUY) & pl.col(QUANTITY).is_not_null()).any()),
    answer=Amount(unit="units"),
    horizon=timedelta(days=14),
    truth=pl.col(QUANTITY).filter(pl.col(TYPE) == BUY).sum(),
    absent=0.0,
    wording={
        "en": "How many units of this item will be needed in the next 14 days?",
        "zh": "该商品未来 14 天需要多少件?",
    },
    metrics=("pinball", "wape", "mae", "total_ratio", "coverage_90"),
    must_beat="mean_56_days",
)
