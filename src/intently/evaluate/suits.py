"""Will it work on my shop? Each task asked of a log: works, weak or cannot, with the numbers and the mend.

"cannot" is what training refuses; "weak" is trained, but do not expect it to beat the plain baselines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from intently.contract import Amount, Examples, OneOf, Past, Ranking, Shares, Task, YesNo, weekly
from intently.errors import ConfigError, TooFewExamples
from intently.log import schema
from intently.log.log import Log

Outcome = Literal["works", "weak", "cannot"]

# What training refuses: fewer asked ones tell nothing of people who are not among them, and the reader's
# windows (14 weeks for the boosters, 6 to learn from) have to fit before `until`.
FEWEST_ASKED = 50
FEWEST_WEEKS = 20
# A past of four weeks before the first cut-off.
PAST_WEEKS = 4
# The standard error of an AUROC of .75 is at most .43 / sqrt(positives) (Hanley and McNeil 1982): .03 at 200.
ENOUGH_OF_A_CLASS = 200
ENOUGH_ASKED = 500
# Thirty weeks of cut-offs as the fast preset reads them, four before, four ahead.
ENOUGH_WEEKS = 38
# Above it most are asked within four weeks of their first event: a past of a few rows.
NEW_SHARE, NEW_DAYS = 0.7, 28
# Ten items are shown: from fewer than five times as many there is little to choose.
ENOUGH_ITEMS = 50
# One in a hundred asked ones who carry half of the whole: the mean is theirs, not the others'.
TOP, TOP_SHARE = 0.01, 0.5
# The newest weekly cut-offs that are looked at for the numbers.
CUTOFFS = 4

# ... and those that training reads (its fast preset), where the newest do not show enough.
READ_WEEKS, READ_ITEM_WEEKS = 30, 10

_WEEK = timedelta(days=7)
_Reasons = list[tuple[str, str]]


@dataclass(frozen=True)
class Verdict:
    """Whether one task works on a log, and by what numbers. `reasons` pairs each problem with its mend."""

    task: str
    outcome: Outcome
    numbers: dict[str, float]
    reasons: tuple[tuple[str, str], ...]


def suits(log: Log, tasks: Iterable[Task], until: datetime | None = None) -> tuple[Verdict, ...]:
    """A verdict for each task on what was known before `until` (UTC; the end of the log without it)."""
    at = min(until or log.observed_until, log.observed_until)
    before = log.before(at)
    return tuple(_verdict(task, before) for task in tasks)


def _verdict(task: Task, log: Log) -> Verdict:
    weeks = max(0.0, (log.observed_until - log.observed_from) / _WEEK)
    numbers: dict[str, float] = {"weeks": round(weeks, 1)}
    stops, weak = _history(task, weeks)
    ahead = _ahead(task)
    last = log.observed_until - ahead * _WEEK
    first = log.observed_from + PAST_WEEKS * _WEEK
    numbers["whole_windows"] = max(0, (last - first) // _WEEK + 1)
    try:
        examples = _newest(task, log, first, last)
    except (ConfigError, TooFewExamples) as error:
        why = () if stops and isinstance(error, TooFewExamples) else ((error.problem.rstrip("."), error.mend),)
        return Verdict(task.name, "cannot", numbers, (*stops, *why))
    asked = examples.asked.n_unique()
    numbers |= {"asked": asked, "left_out": examples.left_out, "examples": len(examples)}
    if asked < FEWEST_ASKED:
        stops.append((f"{asked} {_who(task)} to learn from", f"It takes {FEWEST_ASKED}: bring more of the log."))
    elif asked < ENOUGH_ASKED:
        mend = f"From {ENOUGH_ASKED} on, differences stand out from chance."
        weak.append((f"{asked} {_who(task)} to learn from", mend))
    if len(examples):
        found, stop, thin = _spread(task, examples)
        new, strange = _new(task, examples, log)
        numbers |= found | new
        stops, weak = stops + stop, weak + thin + strange
    outcome: Outcome = "cannot" if stops else "weak" if weak else "works"
    return Verdict(task.name, outcome, numbers, (*stops, *weak))


def _history(task: Task, weeks: float) -> tuple[_Reasons, _Reasons]:
    """Whether the log is long enough: what stops a training, what makes it weak."""
    if not weeks:
        return [("nothing is known before --until", "Give a later date.")], []
    problem = f"only {weeks:.0f} weeks are known"
    if task.key == schema.USER:
        if weeks <= FEWEST_WEEKS:
            return [(problem, f"Fine-tuning takes more than {FEWEST_WEEKS} weeks: bring a longer log.")], []
        if weeks < ENOUGH_WEEKS:
            return [], [(problem, f"From {ENOUGH_WEEKS} weeks on, training reads as many windows as it can use.")]
    elif weeks < PAST_WEEKS + _ahead(task):
        return [(problem, f"It takes {PAST_WEEKS + _ahead(task)}: bring a longer log.")], []
    return [], []


def _newest(task: Task, log: Log, first: datetime, last: datetime) -> Examples:
    """Examples of the newest cut-offs; of as many as training reads, where few do not show enough."""
    most = READ_WEEKS if task.key == schema.USER else READ_ITEM_WEEKS
    for count in (CUTOFFS, most):
        examples = task.examples(log, weekly(max(first, last - (count - 1) * _WEEK), last))
        single = not isinstance(task.answer, Ranking) and examples.truth.n_unique() < 2
        if examples.asked.n_unique() >= FEWEST_ASKED and not single:
            break
    return examples


def _ahead(task: Task) -> int:
    """The horizon in whole weeks."""
    return -(-task.horizon // _WEEK)


def _who(task: Task) -> str:
    return {schema.USER: "customers", schema.ITEM: "items"}.get(task.key, "events")


def _spread(task: Task, examples: Examples) -> tuple[dict[str, float], _Reasons, _Reasons]:
    """What the truths look like: numbers, what stops a training, what makes it weak."""
    if not isinstance(task.answer, Ranking) and examples.truth.n_unique() < 2:
        mend = "Nothing can be learned from one class: bring a longer log, or leave the task out with --tasks."
        return {"classes": 1}, [("the truth is the same for all", mend)], []
    match task.answer:
        case YesNo() | OneOf():
            return _classes(examples)
        case Amount():
            return _amounts(examples)
        case Ranking():
            return _rankings(examples)
        case Shares():
            labels = examples.truth.list.explode().struct.field("label").drop_nulls().n_unique()
            few = [("there is one label only", "Bring finer labels: there is nothing to share out.")]
            return {"labels": labels}, [], few if labels < 2 else []


def _classes(examples: Examples) -> tuple[dict[str, float], _Reasons, _Reasons]:
    frame = pl.DataFrame({"who": examples.asked, "truth": examples.truth.cast(pl.String)})
    counts = frame.group_by("truth").agg(pl.col("who").n_unique()).sort("who", "truth")
    numbers: dict[str, float] = {f"class {name}": n for name, n in counts.iter_rows()}
    name, rarest = counts.row(0)
    few = (
        f"only {rarest} asked ones are ever {name!r}",
        f"It takes {ENOUGH_OF_A_CLASS} of each class to tell models apart.",
    )
    return numbers, [], [few] if rarest < ENOUGH_OF_A_CLASS else []


def _amounts(examples: Examples) -> tuple[dict[str, float], _Reasons, _Reasons]:
    amount = np.sort(examples.truth.cast(pl.Float64).to_numpy())
    some = examples.asked.filter(examples.truth.cast(pl.Float64) > 0).n_unique()
    total = float(amount.sum())
    top = float(amount[-max(1, int(TOP * len(amount))) :].sum()) / total if total > 0 else 0.0
    numbers: dict[str, float] = {
        "nonzero": some,
        "zero_share": round(float((amount == 0).mean()), 4),
        "top_share": round(top, 4),
    }
    weak: _Reasons = []
    if some < ENOUGH_OF_A_CLASS:
        weak.append((f"only {some} asked ones have any amount", f"It takes {ENOUGH_OF_A_CLASS}: bring a longer log."))
    if top > TOP_SHARE and len(amount) >= 1 / TOP:
        weak.append(
            (
                f"one in a hundred carries {top:.0%} of the whole",
                "Look for wholesale orders or slips; model them apart.",
            )
        )
    return numbers, [], weak


def _rankings(examples: Examples) -> tuple[dict[str, float], _Reasons, _Reasons]:
    items, buyers = examples.truth.list.explode().drop_nulls().n_unique(), examples.asked.n_unique()
    weak: _Reasons = []
    if items < ENOUGH_ITEMS:
        weak.append((f"only {items} different items are bought", f"With under {ENOUGH_ITEMS} there is little to rank."))
    if buyers < ENOUGH_OF_A_CLASS:
        weak.append(
            (f"only {buyers} asked ones bought anything", f"It takes {ENOUGH_OF_A_CLASS} to tell rankings apart.")
        )
    return {"items": items, "buyers": buyers}, [], weak


def _new(task: Task, examples: Examples, log: Log) -> tuple[dict[str, float], _Reasons]:
    """The share of the asked of whom nothing is known from before the last four weeks."""
    past = Past(log, examples)
    new = float((past.count(NEW_DAYS) == past.lengths).mean())
    told: _Reasons = []
    if new > NEW_SHARE:
        problem = f"{new:.0%} of the {_who(task)} are new within {NEW_DAYS} days"
        told = [(problem, "Bring a longer log; join sessions with customers where they log in.")]
    return {"new_share": round(new, 4)}, told
