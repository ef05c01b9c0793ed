"""Which items will this customer buy in the next seven days?"""

from datetime import timedelta

import polars as pl

from intently.contract import Everyone, Ranking, Task
from intently.log.schema import BUY, ITEM, TYPE, USER

_BOUGHT = pl.col(ITEM).filter((pl.col(TYPE) == BUY) & pl.col(ITEM).is_not_null())

TASK = Task(
    name="next_item",
    asks=Everyone(USER),
    answer=Ranking(of=ITEM),
    horizon=timedelta(days=7),
    # A list of distinct ids; null where nothing is bought: there is no ranking to judge.
    truth=pl.when(_BOUGHT.len() > 0).then(_BOUGHT.unique().sort().implode()),
    absent=None,
    wording={
        "en": "Which items will this customer buy in the next 7 days?",
        "zh": "该顾客未来 7 天会买哪些商品?",
    },
    metrics=("ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10", "coverage", "diversity"),
    must_beat="repeat_purchase",
)
