"""The questions that come with Intently, one file each."""

from intently.contract import Task
from intently.tasks import demand, interest, next_item, purchase_intent, purchasing_power

BUILT_IN: tuple[Task, ...] = (
    purchase_intent.TASK,
    purchasing_power.TASK,
    interest.TASK,
    next_item.TASK,
    demand.TASK,
)
