"""What will this customer's purchases of the next 28 days be made of, by category?"""

from datetime import timedelta

import polars as pl

from intently.contract import Everyone, Shares, Task
from intently.log.schema import BUY, CATEGORY, TYPE, USER

_BOUGHT = pl.col(CATEGORY).filter((pl.col(TYPE) == BUY) & pl.col(CATEGORY).is_not_null())

TASK = Task(
    name="interest",
    asks=Everyone(USER),
    answer=Shares(of=CATEGORY),
    horizon=timedelta(days=28),
    # A list of (weight, label) in alphabetic order; null where nothing is bought, and then left out.
    truth=pl.when(_BOUGHT.len() > 0).then(_BOUGHT.sort().rle().struct.rename_fields(["weight", "label"]).implode()),
    absent=None,
    wording={
        "en": "Which categories will this customer buy from in the next 28 days?",
        "zh": "该顾客未来 28 天会买哪些品类?",
    },
    metrics=("jensen_shannon", "top_share"),
    must_beat="own_shares",
)
