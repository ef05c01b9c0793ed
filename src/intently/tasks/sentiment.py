"""Is this review good or bad?"""

from datetime import timedelta

import polars as pl

from intently.contract import EachEvent, OneOf, Task
from intently.log.schema import ITEM, TEXT, TYPE

# The stars that the customer gives with the review, or is asked for later, about it; also as text: "n/a" is none.
_GIVEN = pl.col("rating").cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False).fill_nan(None)
_STARS = _GIVEN.filter((pl.col(TYPE) == "rating") & _GIVEN.is_not_null()).last()

TASK = Task(
    name="sentiment",
    asks=EachEvent("review", span=timedelta(days=7)),
    answer=OneOf(("negative", "neutral", "positive")),
    horizon=timedelta(days=14),
    # Null where no stars came: nobody knows, and the review is left out.
    truth=pl.when(_STARS < 3)
    .then(pl.lit("negative"))
    .when(_STARS > 3)
    .then(pl.lit("positive"))
    .when(_STARS == 3)
    .then(pl.lit("neutral")),
    absent=None,
    wording={"en": "Is this review negative, neutral or positive?", "zh": "这条评价是差评、中评还是好评?"},
    sees=(TEXT, ITEM),
    metrics=("accuracy", "macro_f1", "log_loss"),
)
