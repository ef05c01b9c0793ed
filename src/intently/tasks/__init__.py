"""The questions that come with Intently, one file each.

`BUILT_IN` are asked of every log. What not every log can tell (reviews, messages, ads, sessions) is in `NAMED`, and
is asked where it is named.
"""

from intently.contract import Task
from intently.tasks import (
    ad_response,
    demand,
    interest,
    next_event,
    next_item,
    purchase_intent,
    purchasing_power,
    sentiment,
    support,
)

BUILT_IN: tuple[Task, ...] = (
    purchase_intent.TASK,
    purchasing_power.TASK,
    interest.TASK,
    next_item.TASK,
    demand.TASK,
)

NAMED: tuple[Task, ...] = (
    next_event.TASK,
    sentiment.TASK,
    support.TASK,
    ad_response.TASK,
)

EVERY: tuple[Task, ...] = BUILT_IN + NAMED
