"""The level of amounts today: what a young log's training windows cannot tell.

Spend so far grows with the log, and who is known changes: on a log of half a year, 90-day windows, a factor learned on
the training windows foresaw 1.55 times what came. What came in the last horizon needs no such factor.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from intently.contract import Examples, Past, Task
from intently.log.log import Log
from intently.log.pack import Array


def level(examples: Examples, past: Past, answer: Callable[[Examples, Past], Array]) -> float | None:
    """The factor that gives the amounts (n,) of `answer` the shop's total, as of the end of the examples' windows.

    The total is what was true of everyone known over the last horizon, times how windows compared with the horizon
    before them. That ratio is learned from cut-offs before which a whole horizon was observed, with one window more
    that changed nothing: few windows are one season, not a rule. None where nothing came of late.

    Where a question has no answer for those to whom nothing happens, looking back finds only whom something happened
    to: the total is then that of the examples.
    """
    task, shop = examples.task, past.shop(past.learned_until)
    if task.absent is None:
        return _ratio(_total(examples), float(answer(examples.hide(), past).sum()))
    today = task.looking_back(shop, past.learned_until)
    if not len(today):
        return None
    answered = float(answer(today.hide(), Past(shop, today.hide())).sum())
    return _ratio(_total(today) * _change(examples, task, shop), answered)


def _ratio(total: float, answered: float) -> float | None:
    return total / answered if total > 0 and answered > 0 else None


def _change(examples: Examples, task: Task, shop: Log) -> float:
    """How the truths of windows compare with those of the horizon before them, drawn towards 1.

    Of cut-offs a horizon apart, the newest first: those between see the same rows once more.
    """
    truth = before = 0.0
    cutoffs: list[datetime] = []
    for at in reversed(examples.cutoffs):
        apart = not cutoffs or at + task.horizon <= cutoffs[-1]
        if apart and at - task.horizon >= shop.observed_from:
            cutoffs.append(at)
            truth += _total(examples.take((examples.at == at).to_numpy().nonzero()[0]))
            before += _total(task.looking_back(shop, at))
    if not cutoffs or before <= 0:
        return 1.0
    one = before / len(cutoffs)
    return (truth + one) / (before + one)


def _total(examples: Examples) -> float:
    return float(examples.truth.cast(float).sum())
