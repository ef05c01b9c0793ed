"""What will this customer do next: view, search, put in the cart, buy, or nothing for a week?"""

from datetime import timedelta

import polars as pl

from intently.contract import Everyone, OneOf, Task
from intently.log.schema import BUY, RETURN, TIME, TYPE, USER

NONE = "none"
# What a customer does; what is shown to them or said of them later is not theirs.
ACTS = ("view", "search", "cart", "remove", BUY, RETURN)
_ACT = pl.col(TYPE).cast(pl.String)
_DONE = _ACT.is_in(ACTS)

TASK = Task(
    name="next_event",
    asks=Everyone(USER),
    answer=OneOf((*ACTS, NONE), absent=NONE),
    horizon=timedelta(days=7),
    # Events of one timestamp are a set: the first by name stands for it.
    truth=_ACT.filter(_DONE).sort_by(pl.col(TIME).filter(_DONE), _ACT.filter(_DONE)).first().fill_null(NONE),
    absent=NONE,
    wording={"en": "What will this customer do next within 7 days?", "zh": "该顾客未来 7 天内接下来会做什么?"},
    metrics=("macro_f1", "accuracy", "log_loss"),
)
