"""Will this customer buy in the next seven days?"""

from datetime import timedelta

import polars as pl

from intently.contract import Everyone, Task, YesNo
from intently.log.schema import BUY, TYPE, USER

TASK = Task(
    name="purchase_intent",
    asks=Everyone(USER),
    answer=YesNo(),
    horizon=timedelta(days=7),
    truth=(pl.col(TYPE) == BUY).any(),
    absent=False,
    wording={"en": "Will this customer buy in the next 7 days?", "zh": "该顾客未来 7 天内会购买吗?"},
    metrics=("log_loss", "auroc", "auprc", "brier", "ece"),
    must_beat="lightgbm",
)
