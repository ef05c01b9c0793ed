"""What does this message to support want?"""

from datetime import timedelta

import polars as pl

from intently.contract import EachEvent, OneOf, Task
from intently.log.schema import TEXT, TYPE

# What is none of these: handed to a person rather than guessed at.
OUT_OF_SCOPE = "out_of_scope"
INTENTS = (
    *("where_is_order", "return_item", "refund", "change_address", "payment_problem", "product_question", "discount"),
    OUT_OF_SCOPE,
)
_TAG = pl.col("tag").cast(pl.String).filter((pl.col(TYPE) == "tag") & pl.col("tag").is_not_null()).last()

TASK = Task(
    name="support",
    asks=EachEvent("support", span=timedelta(days=7)),
    answer=OneOf(INTENTS),
    horizon=timedelta(days=7),
    # The tag that an agent gives the message; a tag of another name is out of scope. Null, and left out, without one.
    truth=pl.when(_TAG.is_in(INTENTS)).then(_TAG).when(_TAG.is_not_null()).then(pl.lit(OUT_OF_SCOPE)),
    absent=None,
    wording={"en": "What does this support message want?", "zh": "这条客服消息想要什么?"},
    sees=(TEXT,),
    metrics=("accuracy", "macro_f1", "log_loss"),
)
