"""The level of money today: what a young log's training windows cannot tell.

Spend so far grows with the log, and who is known changes: on a log of half a year, 90-day windows, a factor learned on
the training windows foresaw 1.55 times what came. What was spent in the last horizon needs no such factor.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np

from intently.baselines.mean_56_days import recent
from intently.contract import Examples, Past
from intently.log.pack import Array


def level(examples: Examples, past: Past, answer: Callable[[Examples, Past], Array]) -> float:
    """The factor that gives the amounts (n,) of `answer` the shop's total, as of the end of the examples' windows.

    The total is what everyone known spent in the last horizon, times how windows compared with the horizon before
    them. That ratio is learned from cut-offs before which a whole horizon was observed, with one window more that
    changed nothing: few windows are one season, not a rule. 1 where nobody spent anything of late.
    """
    task = examples.task
    until = past.learned_until
    shop = past.shop(until)
    asked = task.questions(shop, until)
    if not len(asked):
        return 1.0
    today = Past(shop, asked)
    days = task.horizon / timedelta(days=1)
    total, answered = float(recent(task, today, days).sum()), float(answer(asked, today).sum())
    return total * _change(examples, past, days) / answered if total > 0 and answered > 0 else 1.0


def _change(examples: Examples, past: Past, days: float) -> float:
    """How the truths of windows compare with the money of the horizon before them, drawn towards 1."""
    begin, end = examples.cutoffs[0], examples.cutoffs[-1]
    shop = past.shop(begin)
    unseen = timedelta(days=days) - (shop.observed_until - shop.observed_from)
    whole = np.flatnonzero((examples.at >= begin + unseen).to_numpy())
    if not len(whole):
        return 1.0
    some = examples.take(whole)
    truth = some.truth.cast(float).to_numpy().sum()
    before = recent(examples.task, past.take(whole), days).sum()
    windows = 1 + (end - some.cutoffs[0]) / timedelta(days=days)
    return float((truth + before / windows) / (before + before / windows)) if before > 0 else 1.0
