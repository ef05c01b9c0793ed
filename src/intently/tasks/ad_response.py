"""Will this customer respond to this ad or mailing?"""

from datetime import timedelta

import polars as pl

from intently.contract import EachEvent, Task, YesNo
from intently.log.schema import ITEM, TEXT, TYPE

TASK = Task(
    name="ad_response",
    asks=EachEvent("impression", span=timedelta(days=7)),
    answer=YesNo(),
    horizon=timedelta(days=28),
    # A click about this very showing; one about another, or about none, tells nothing of it.
    truth=(pl.col(TYPE) == "click").any(),
    absent=False,
    wording={"en": "Will they respond to this ad within 28 days?", "zh": "他们会在 28 天内响应这条广告吗?"},
    sees=(TEXT, ITEM),
    metrics=("auroc", "log_loss", "auprc", "brier", "ece"),
    must_beat="lightgbm",
)
