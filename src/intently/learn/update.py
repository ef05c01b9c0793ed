"""A bundle taken further with the new months: each question that a text reader answers, and what that cost it.

A quarter of the customers is only judged: their events teach neither the reader nor the replay. The reader has once
learned from what it is judged by of the time before, which makes it look the better before: what it is said to have
forgotten is rather too much than too little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from intently.contract import AT, Examples, Past, Predictor, Task, pooled, weekly
from intently.errors import BundleError, ConfigError, TooFewExamples, gathered
from intently.learn.active import found_labels, kept_labels, truths, used
from intently.learn.blend import Blend
from intently.learn.choose import WEEK, last_cutoff
from intently.learn.continual import Forgetting, Update, forgetting, updated
from intently.learn.ensemble import folds
from intently.learn.text_reader import TextReader
from intently.learn.track import Tracker
from intently.learn.trained import Trained
from intently.log.log import Log
from intently.text.language_model import Progress, silent

# Weeks before the bundle's end that are replayed and judged, and the fewest events that tell a difference.
_OLD_WEEKS = 40
_FEWEST = 20
_JUDGED = 4


@dataclass(frozen=True)
class Renewal:
    """A question's text reader taken further: on how many new events, and what was forgotten and gained.

    `labels` says what became of those given by hand (`active.used`).
    """

    task: str
    way: str
    since: datetime
    until: datetime
    learned: int
    report: Forgetting
    labels: Mapping[str, int] = field(default_factory=dict)

    def fault(self, at_most: float) -> str | None:
        """Why it may not be served, in one sentence; None where it may."""
        name, report, told = self.task, self.report, self.report.measured()
        if any(math.isnan(value) for value in told.values()):
            return f"{name} cannot be judged by its {report.metric}: all events kept from it have one answer"
        if report.forgot > at_most:
            return (
                f"{name} forgets {report.forgot:.4f} of its {report.metric} on earlier events "
                f"({told['old_before']:.4f} to {told['old_after']:.4f}), more than {at_most:g}"
            )
        if report.gained <= 0:
            return (
                f"{name} gains nothing on new events: its {report.metric} was {told['new_before']:.4f} "
                f"and is {told['new_after']:.4f}"
            )
        return None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        told = {"task": self.task, "way": self.way, "since": self.since.isoformat(), "until": self.until.isoformat()}
        report = {"metric": self.report.metric, **self.report.measured()}
        moved = {"forgot": self.report.forgot, "gained": self.report.gained}
        labels = {"labels": dict(self.labels)} if self.labels else {}
        return told | {"learned": self.learned} | report | moved | labels


def renewed(
    trained: Trained,
    log: Log,
    until: datetime,
    *,
    names: Sequence[str] | None = None,
    labels: Mapping[str, Examples] | None = None,
    update: Update | None = None,
    at_most: float = 0.02,
    threads: int = 1,
    progress: Progress = silent,
    tracker: Tracker | None = None,
) -> tuple[Trained, list[Renewal]]:
    """Take the text readers of a bundle further on what became known since its end, up to `until`.

    What else answers their questions is fitted again on all of it. `labels` are more answers by hand, by task, beside
    those of the bundle; labels of events that the log no longer has are let go. Raises BundleError where one forgets
    more than `at_most` of its first metric or gains nothing, and TooFewExamples where there is too little that is new.
    """
    update = update or Update()
    readers = _readers(trained, names)
    wrong = sorted(set(labels or ()) - set(readers))
    if wrong:
        raise ConfigError(
            f"The labels are of {', '.join(wrong)}, where no text reader is taken further: none would learn from them.",
            mend=f"Give labels of {', '.join(readers)}, or train anew with these.",
        )
    begun = {name: learned_until(trained, name) for name in readers}
    if (latest := max(begun.values())) >= until:
        raise ConfigError(
            f"The bundle knows what happened before {latest:%Y-%m-%d}, and {until:%Y-%m-%d} is not later.",
            mend="Give a later --until.",
        )
    known = log.before(until)
    had = {name: found_labels(one, trained.task(name), known) for name, one in trained.labels.items()}
    given = had | {name: _joined(had.get(name), one) for name, one in (labels or {}).items()}
    predictors, done = dict(trained.predictors), list[Renewal]()
    for name, reader in readers.items():
        task = trained.task(name)
        old, new = _examples(task, known, begun[name], until, had.get(name), given.get(name))
        judged = folds(pooled([old, new]), _JUDGED) == 0
        of_old, of_new = judged[: len(old)], judged[len(old) :]
        _enough(task, len(new), int(of_old.sum()), int(of_new.sum()), begun[name])
        before = replace(
            reader, recipe=replace(reader.recipe, threads=threads), progress=_named(progress, name), tracker=tracker
        )
        after = updated(before, new.where(~of_new), old.where(~of_old), known, update)
        after = replace(after, recipe=reader.recipe, progress=silent)
        report = forgetting(before, after, old.where(of_old), new.where(of_new), known)
        became = used(given[name], known, pooled([old, new])) if name in given else {}
        done.append(Renewal(name, update.way, begun[name], until, int((~of_new).sum()), report, became))
        predictors[name] = _again(trained.predictors[name], after, pooled([old, new]), known)
    faults = [fault for fault in (one.fault(at_most) for one in done) if fault is not None]
    if faults:
        raise BundleError(
            f"The update is not promoted: {gathered(faults)}.",
            mend="Serve the bundle as it is, update it another --way, allow more with --most-forgotten, or train anew.",
        )
    told = (*trained.updates, *(one.to_json() for one in done))
    kept = {name: kept_labels(one) for name, one in given.items()}
    return replace(trained, until=max(until, trained.until), predictors=predictors, updates=told, labels=kept), done


def learned_until(trained: Trained, name: str) -> datetime:
    """Until when a question's reader has learned: not the bundle's end where other questions alone were updated."""
    mine = [one["until"] for one in trained.updates if one["task"] == name]
    if mine:
        return datetime.fromisoformat(mine[-1])
    return datetime.fromisoformat(trained.updates[0]["since"]) if trained.updates else trained.until


def _readers(trained: Trained, names: Sequence[str] | None) -> dict[str, TextReader]:
    """The text reader of each question that has one, or of those named."""
    found = {
        task: one for task, mine in trained.predictors.items() for one in mine.values() if isinstance(one, TextReader)
    }
    wrong = sorted(set(names or ()) - set(found))
    if wrong or not found:
        raise ConfigError(
            f"No text reader answers {', '.join(wrong) or 'any question of this bundle'}: it cannot be taken further.",
            mend=f"Choose from {', '.join(found)}." if found else "Train anew with a later --until.",
        )
    return {name: found[name] for name in names or found}


def _joined(had: Examples | None, more: Examples) -> Examples:
    """Labels by hand with further ones, which win."""
    if had is None:
        return more
    return pooled([had.where(~had.asked.is_in(more.asked.implode()).to_numpy()), more])


def _examples(
    task: Task, known: Log, since: datetime, until: datetime, had: Examples | None = None, given: Examples | None = None
) -> tuple[Examples, Examples]:
    """What could be learned from before the bundle's end, and what became known after it.

    Of what is `given` by hand, all that the bundle had not is new, whenever it was written.
    """
    last = last_cutoff(task, since)
    first = max(known.observed_from, last - (_OLD_WEEKS - 1) * WEEK)
    mine = None if had is None or given is None else given.where(given.asked.is_in(had.asked.implode()).to_numpy())
    old = truths(task, known.before(since), weekly(first, last), mine)
    # Counted back from the end, the first of the new weeks may begin before the last of the old ones.
    new = truths(task, known, weekly(last - WEEK, last_cutoff(task, until)), given)
    if given is not None:
        # What the bundle had may be of the days before the first of the old weeks.
        told = pl.concat([old.asked, new.asked, *([] if had is None else [had.asked])])
        late = given.where(pl.col(AT).is_between(first, last) & ~pl.col(task.key).is_in(told.implode()))
        new = replace(new, frame=pl.concat([late.frame.select(new.frame.columns), new.frame]))
    return old, new.where(~new.asked.is_in(old.asked.implode()).to_numpy())


def _enough(task: Task, new: int, old_judged: int, new_judged: int, since: datetime) -> None:
    """Raise TooFewExamples where there are too few of before or of after `since`; of these, the rest is learned."""
    if old_judged < _FEWEST:
        raise TooFewExamples(
            f"{task.name} has {old_judged} events with an answer to judge by what is forgotten, of the time before "
            f"{since:%Y-%m-%d}; {_FEWEST} are needed, and later ones do not add to them.",
            mend="Train anew with a later --until, or leave the task out with --tasks.",
        )
    if min(new_judged, new - new_judged) < _FEWEST:
        raise TooFewExamples(
            f"{task.name} has {new} new events with an answer, too few to learn from some and judge by others.",
            mend="Update it when there is more, or leave the task out with --tasks.",
        )


def _again(mine: Mapping[str, Predictor], after: TextReader, examples: Examples, known: Log) -> dict[str, Predictor]:
    """The reader taken further, the others fitted on everything that is known now, and what blends them of these."""
    past, found = Past(known, examples), dict[str, Predictor]()
    # A blend comes after its parts.
    for name, one in mine.items():
        if isinstance(one, TextReader):
            found[name] = after
        elif isinstance(one, Blend):
            parts = {part: found[part] for part in one.boosters}
            found[name] = replace(
                one, boosters=parts, reader=after if isinstance(one.reader, TextReader) else one.reader
            )
        else:
            found[name] = one.fit(examples, past)
    return found


def _named(progress: Progress, task: str) -> Progress:
    return silent if progress is silent else lambda what, done: progress(f"{task}: {what}", done)
