"""The core types: a Task asks, a Predictor answers, and time is cut here.

With the log's own cuts (`Order.stop_before`, `Log.before` and `between`) this is the only code that compares
an event's time with a cut-off; everyone else reads `age`.
"""

from intently.contract.answers import OTHER, QUANTILES, Amount, Answer, OneOf, Ranking, Shares, YesNo
from intently.contract.past import Histories, Past, Rows, together
from intently.contract.scores import Predictor, Scores, ShareLabels, share_matrix
from intently.contract.task import AT, TRUTH, EachEvent, Everyone, Examples, Task, duration, pooled, weekly

__all__ = [
    "AT",
    "OTHER",
    "QUANTILES",
    "TRUTH",
    "Amount",
    "Answer",
    "EachEvent",
    "Everyone",
    "Examples",
    "Histories",
    "OneOf",
    "Past",
    "Predictor",
    "Ranking",
    "Rows",
    "Scores",
    "ShareLabels",
    "Shares",
    "Task",
    "YesNo",
    "duration",
    "pooled",
    "share_matrix",
    "together",
    "weekly",
]
