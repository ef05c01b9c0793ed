"""Training a reader and keeping it fresh: fitted once, then taken further on newer windows until the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from intently.baselines.level import level
from intently.contract import Amount, Everyone, Examples, Past, Task, weekly
from intently.errors import TooFewExamples
from intently.learn.calibrate import Calibration, factor
from intently.learn.choose import WEEK, last_cutoff, whole_weeks
from intently.learn.fitted import FittedReader
from intently.learn.reader import SequenceReader, calibrated
from intently.learn.recipe import Recipe
from intently.learn.rolling import Rolling
from intently.learn.stack import ReaderColumns
from intently.learn.texts import Text
from intently.learn.track import Tracker
from intently.learn.trained import BEFORE
from intently.log.log import Log
from intently.text.language_model import Progress

# The newest windows of a refreshing: with 14 of them the reader was worse (log loss .5015 against .4997).
_FRESH_WEEKS = 6
_UNSEEN_WEEKS = 3
_YEAR = 52 * WEEK
# Windows no longer than this every reader learns from; a longer one only where the log has so many weeks before it.
_SHORT, _WEEKS_BEFORE = 4 * WEEK, 8 * WEEK


@dataclass(frozen=True)
class Freshness:
    """When readers are fitted: on windows that end by `first`, then every `weeks` until `until`.

    `step` is the weeks between the first reader's cut-offs.
    """

    first: datetime
    until: datetime
    weeks: int
    step: int


Lessons = dict[str, tuple[Examples, Past]]


@dataclass(frozen=True)
class Read:
    """A reader kept fresh, and its columns."""

    rolling: Rolling
    columns: ReaderColumns


def begun(
    tasks: tuple[Task, ...], known: Log, judged_from: datetime, latest: datetime
) -> tuple[tuple[Task, ...], datetime]:
    """Which questions about customers a reader learns, and when its first windows end, `latest` at the latest.

    What is judged from `judged_from` on must be new to the first reader and to the columns that a booster is fitted
    on: two of the longest windows lie between. A question for whose windows the log is too short is left to the others.
    """
    while True:
        longest = max((whole_weeks(task) for task in tasks), default=WEEK)
        first = min(latest, judged_from - 2 * longest)
        if longest <= _SHORT or first - longest >= known.observed_from + _WEEKS_BEFORE:
            return tasks, first
        tasks = tuple(task for task in tasks if whole_weeks(task) < longest)


def refuse_short(known: Log, fresh: Freshness) -> None:
    """Raises TooFewExamples where six weeks or less come before the first reader's end."""
    if fresh.first <= known.observed_from + 6 * WEEK:
        raise TooFewExamples(
            f"Only {(known.observed_until - known.observed_from).days} days are known.",
            mend="Fine-tuning takes about half a year of log; bring more of it.",
        )


def first_lessons(known: Log, tasks: tuple[Task, ...], fresh: Freshness) -> tuple[Lessons, Lessons]:
    """What the first reader learns from, and the windows after it, by which it is stopped."""
    train, held_out = {}, {}
    for task in tasks:
        cutoffs = weekly(known.observed_from + 4 * WEEK, last_cutoff(task, fresh.first))[:: -fresh.step]
        train[task.name] = _windows(known, fresh.first, task, cutoffs)
        held_out[task.name] = _windows(known, fresh.first + task.horizon, task, [fresh.first])
    return train, held_out


def kept_fresh(
    known: Log,
    tasks: tuple[Task, ...],
    recipe: Recipe,
    text: Text,
    fresh: Freshness,
    lessons: tuple[Lessons, Lessons],
    checkpoints: Path | None,
    progress: Progress,
    tracker: Tracker | None = None,
) -> Read:
    """Fine-tune a reader on its first lessons (`first_lessons`), and take it further."""
    train, held_out = lessons
    made = SequenceReader(tasks, recipe, text, tracker=tracker)
    reader = made.fit(train, held_out, checkpoints=checkpoints, progress=progress)
    stages = [(fresh.first, reader)]
    further = replace(made, recipe=replace(recipe, pretrain_epochs=0, epochs=1, learning_rate=recipe.learning_rate / 3))
    while stages[-1][0] < fresh.until:
        since = min(stages[-1][0] + timedelta(weeks=fresh.weeks), fresh.until)
        newest, unseen = {}, {}
        for task in tasks:
            last = last_cutoff(task, since)
            newest[task.name] = _windows(known, since, task, weekly(last - (_FRESH_WEEKS - 1) * WEEK, last))
            unseen[task.name] = _windows(known, since, task, weekly(last - (_UNSEEN_WEEKS - 1) * WEEK, last))
        # Calibrated by how the reader before did on windows that it had not seen; but what amounts come to in all is
        # another with every refreshing, and for that the last horizon is asked.
        fitted = further.fit(newest, start=stages[-1][1], progress=_named(progress, since))
        told = calibrated(stages[-1][1].uncalibrated(), unseen)
        stages.append((since, replace(fitted, calibration=levelled(fitted.uncalibrated(), told, known, since))))
    rolling = Rolling(tuple(stages))
    return Read(rolling, ReaderColumns.of(rolling, held_out[tasks[0].name][1]))


def before_fine_tuning(
    tasks: tuple[Task, ...], recipe: Recipe, text: Text, lessons: tuple[Lessons, Lessons], progress: Progress
) -> FittedReader:
    """The first reader's heads trained alike on a reader that has learned nothing: what fine-tuning is judged by."""
    still = replace(recipe, train_reader=False, epochs=max(2, recipe.epochs // 2))
    made = SequenceReader(tasks, still, text, name=BEFORE)
    return made.fit(*lessons, progress=lambda _, done: progress("heads alone, to compare", done))


def levelled(
    reader: FittedReader, told: Mapping[str, Calibration], known: Log, since: datetime
) -> Mapping[str, Calibration]:
    """The same calibration with the factors of amounts that give an uncalibrated reader the level of `since`.

    Left alone is who asks only some (what made them such is no sign of what they go on doing), or has no answer where
    nothing happens.
    """
    found = dict(told)
    for task in (one for one in reader.tasks if _has_level(one) and one.name in told and told[one.name].numbers):
        last, apart = last_cutoff(task, since), whole_weeks(task) // WEEK
        first = max(known.observed_from + task.horizon, last - _YEAR)
        lessons, past = _windows(known, since, task, weekly(min(first, last), last)[::-apart])
        today = level(lessons, past, lambda asked, now: reader.predict(asked, now).values[:, 0])
        if today is not None:
            found[task.name] = replace(told[task.name], numbers={"factor": factor(today, 1.0)})
    # It has read another log's pasts, which nobody asks for again.
    reader.forget_pasts()
    return found


def _has_level(task: Task) -> bool:
    everybody = isinstance(task.asks, Everyone) and task.asks.among is None
    return isinstance(task.answer, Amount) and everybody and task.absent is not None


def _windows(known: Log, until: datetime, task: Task, cutoffs: Sequence[datetime]) -> tuple[Examples, Past]:
    """Examples whose windows end by `until`, with their past."""
    examples = task.examples(known.before(until), cutoffs)
    return examples, Past(known, examples)


def _named(progress: Progress, since: datetime) -> Progress:
    return lambda _, fraction: progress(f"keeping the reader fresh, {since:%Y-%m-%d}", fraction)
