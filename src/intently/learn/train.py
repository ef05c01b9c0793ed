"""From a log to a model that can be served: the reader, the stack, the baselines, and the choice among them.

Cut-offs are a week apart, counted back from `until`; every window used ends by `until`.

    |---- reader: windows end by reader_until ----|---- boosters read its columns ----| choice | until
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from intently.baselines import BOOSTED, PLAIN
from intently.baselines.features import windowed
from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.baselines.lightgbm_demand import LightGBMDemand
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.contract import (
    EachEvent,
    Everyone,
    Examples,
    OneOf,
    Past,
    Predictor,
    Ranking,
    Task,
    duration,
    together,
    weekly,
)
from intently.errors import ConfigError, TooFewExamples
from intently.evaluate.compare import Report
from intently.learn.active import kept_labels, truths
from intently.learn.adapt import ADAPTATIONS
from intently.learn.checkpoints import folder_of
from intently.learn.choose import WEEK, Choice, Trial, Tried, choice_cutoffs, chosen, last_cutoff
from intently.learn.fitted import FittedReader
from intently.learn.fresh import (
    Freshness,
    Lessons,
    Read,
    before_fine_tuning,
    begun,
    first_lessons,
    kept_fresh,
    refuse_short,
)
from intently.learn.item_columns import ItemColumns
from intently.learn.methods import method_of
from intently.learn.presets import Preset, plan_of
from intently.learn.rolling import Rolling
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_plan import TextPlan, plain
from intently.learn.text_reader import TextReader
from intently.learn.texts import Text
from intently.learn.track import Tracker
from intently.learn.trained import OPPONENT, STACK, Trained
from intently.learn.workers import side_by_side
from intently.log import schema
from intently.log.log import Log
from intently.text.language_model import PACKAGED, Progress, silent
from intently.text.story import Teller
from intently.text.verbalise import item_texts

FEWEST_CUSTOMERS = 50

Booster = LightGBMCustomer | LightGBMShares | LightGBMRanking | LightGBMDemand


def train(
    log: Log,
    until: datetime,
    tasks: Sequence[Task],
    *,
    preset: str = "fast",
    model: str = PACKAGED,
    adapt: str = "frozen",
    method: str = "full",
    text: TextPlan | None = None,
    labels: Mapping[str, Examples] | None = None,
    before: bool = False,
    threads: int | None = None,
    seed: int = 0,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    tracker: Tracker | None = None,
) -> Trained:
    """Train on what was known before `until`, and choose what to serve on the last whole windows before it.

    `text` says how the language model learns questions about events, and `labels` are answers to them that the log does
    not have, by task. With `before`, the reader without fine-tuning is
    kept beside the rest, for the report.
    Raises TooFewExamples where there is too little to learn from.
    """
    plan = plan_of(preset)
    if adapt not in ADAPTATIONS:
        raise ConfigError(f"There is no way {adapt!r} to adapt.", mend=f"Choose one of {', '.join(ADAPTATIONS)}.")
    method_of(method)
    text = text or TextPlan()
    text.check([task for task in tasks if isinstance(task.asks, EachEvent)], method)
    threads = threads or plan.recipe.threads
    # The reader shares the machine with the boosters that do not wait for it.
    recipe = replace(plan.recipe, seed=seed, threads=max(1, threads // 2))
    known, tasks = log.before(until), tuple(tasks)
    given = labels or {}
    data = {task.name: examples_until(task, known, until, plan, given.get(task.name)) for task in tasks}
    times = choice_cutoffs(tasks, until)
    choices = {task.name: Choice.of(task, times, known, given.get(task.name)) for task in tasks}
    of_customers = tuple(task for task in tasks if task.key == schema.USER)
    readable, first = begun(of_customers, known, times[0], until - plan.reader_weeks * WEEK)
    if checkpoints is not None:
        # An interrupted training is gone on with only where it is the same training.
        questions = [task.written or task.name for task in tasks]
        checkpoints = folder_of(checkpoints, known.checksum(), until, questions, plan, recipe, model, adapt)
    fresh = Freshness(first, until, plan.refresh_weeks, plan.reader_step)
    asked = _Asked(tasks, choices, data, plan, seed)

    lessons: tuple[Lessons, Lessons] = ({}, {})
    if readable:
        refuse_short(known, fresh)
        lessons = first_lessons(known, readable, fresh)
    everyone = asked.customers([past for some in lessons for _, past in some.values()])

    with side_by_side(threads) as workers:
        heard = workers.heard(progress)
        # Made before anything is trained: what cannot be is refused at once.
        usual = TextReader(model=model, method=method, progress=heard, tracker=tracker)
        worded = asked.in_words(usual, text, known)
        if everyone is not None:
            # Once for all tasks and for the reader, whose cut-offs overlap.
            workers.pool.submit(windowed, everyone[1])
        reading: Future[Read] | None = None
        items = Text(model=model, adapt=adapt)
        if readable and adapt == "frozen":
            # The reader waits for them, and half of the rest for the reader: by all threads, before anything is begun.
            items.read(item_texts(known.catalogue)[0], heard, run=workers.pool.map)
        if readable:
            reading = workers.pool.submit(
                kept_fresh, known, readable, recipe, items, fresh, lessons, checkpoints, heard, tracker
            )
        started = [workers.pool.submit(trial.run) for trial in asked.without_reader(readable)]
        read = None if reading is None else reading.result()
        if read is not None and everyone is not None:
            parts = read.rolling.parts(*everyone)
            for _ in workers.pool.map(lambda part: part[0].read(part[2]), parts):
                progress("reading every past", 1.0)
            untuned: Future[FittedReader] | None = None
            if before:
                whitened = read.rolling.newest.text
                untuned = workers.pool.submit(before_fine_tuning, readable, recipe, whitened, lessons, heard)
            started += [workers.pool.submit(trial.run) for trial in asked.with_reader(read)]
            if untuned is not None:
                started += [workers.pool.submit(trial.run) for trial in asked.reader(untuned.result())]
        tried = _finished(started, progress)
        # One after the other, and by itself: training a language model draws from the one generator there is.
        for trial in worded:
            one = workers.pool.submit(trial.run).result()
            tried.append(replace(one, fitted=plain(one.fitted)))
        mine = {task.name: [one for one in tried if one.trial.choice.task is task] for task in tasks}
        settled = dict(zip(mine, workers.pool.map(chosen, tasks, mine.values()), strict=True))
    return Trained(
        until,
        tasks,
        None if read is None else read.rolling,
        None if read is None else read.columns,
        {name: one.predictors for name, one in settled.items()},
        {name: one.served for name, one in settled.items()},
        {name: one.baseline for name, one in settled.items()},
        Report().join(*(one.report for one in settled.values())),
        labels={task.name: kept_labels(given[task.name]) for task in tasks if task.name in given},
    )


@dataclass(frozen=True)
class _Asked:
    """What is asked of every candidate."""

    tasks: tuple[Task, ...]
    choices: Mapping[str, Choice]
    data: Mapping[str, tuple[Examples, Past]]
    plan: Preset
    seed: int

    def customers(self, more: Sequence[Past]) -> tuple[Examples, Past] | None:
        """Every question about customers, whatever the task, and those of `more`, each (customer, at) once."""
        names = [task.name for task in self.tasks if task.key == schema.USER]
        parts = [part for name in names for part in (self.data[name], self.choices[name].fit, self.choices[name].judge)]
        return together([*(past for _, past in parts), *more])[:2] if parts else None

    def without_reader(self, readable: Sequence[Task]) -> list[Trial]:
        """Baselines, and the boosters that read nothing; what waits for a reader of `readable` is left for later."""
        return _heaviest_first(
            self._trial(task, made)
            for task in self.tasks
            for made in (*(kind() for kind in PLAIN), *self._boosters(task))
            if made.answers(task) and not (task in readable and isinstance(made, LightGBMRanking))
        )

    def with_reader(self, read: Read) -> list[Trial]:
        """The reader itself, and the boosters that read its columns or rank what it proposes."""
        items = ItemColumns(read.rolling.newest)
        found: list[Trial] = []
        # Of customers, those that the reader answers: for others its columns begin too late.
        asked = (one for one in self.tasks if isinstance(one.asks, Everyone))
        for task in (one for one in asked if one.key != schema.USER or read.rolling.answers(one)):
            for alone in self._boosters(task):
                match alone:
                    case LightGBMRanking():
                        # The same pairs for both: the reader proposes, only the stack may read its columns.
                        alike = replace(alone, candidates=read.columns)
                        found.append(self._trial(task, alike))
                        found.append(self._trial(task, replace(alike, name=STACK, reading=read.columns)))
                    case LightGBMDemand():
                        found.append(self._trial(task, replace(alone, name=STACK, reading=items)))
                    case LightGBMCustomer():
                        found.append(self._trial(task, replace(alone, name=STACK, reading=read.columns)))
                    case LightGBMShares():
                        found.append(self._trial(task, replace(alone, name=STACK, reading=read.columns)))
        return _heaviest_first([*found, *self.reader(read.rolling)])

    def reader(self, reader: FittedReader | Rolling) -> list[Trial]:
        """A reader, for every task that it answers."""
        return [self._trial(task, reader) for task in self.tasks if reader.answers(task)]

    def in_words(self, usual: TextReader, text: TextPlan, known: Log) -> list[Trial]:
        """The language model itself, for questions about events: what was written is read as words."""
        found = []
        for task in self.tasks:
            if isinstance(task.asks, EachEvent) and usual.answers(task):
                mine = in_words(usual, task, self.plan, self.seed, text)
                found.append(self._trial(task, text.candidate(mine, known, self.data[task.name][0])))
        return found

    def _boosters(self, task: Task) -> list[Booster]:
        # A thread each: two threads on one booster are worth less than two boosters.
        made = (kind(name=OPPONENT, threads=1, seed=self.seed, **self.plan.sizes.get(kind, {})) for kind in BOOSTED)
        return [booster for booster in made if booster.answers(task)]

    def _trial(self, task: Task, candidate: Predictor) -> Trial:
        return Trial(candidate.name, candidate, self.choices[task.name], self.data[task.name])


def in_words(reader: TextReader, task: Task, plan: Preset, seed: int, text: TextPlan) -> TextReader:
    """A text reader as training has it for a question about events."""
    # The newest lines alone do not say how often somebody buys: see docs/decisions/025. Which label a text has is told
    # by the text: on a toy shop's messages its writer's past made .87 right .45.
    teller = Teller(last=0) if isinstance(task.answer, OneOf) else Teller(rates=True)
    recipe = TextRecipe(epochs=plan.recipe.epochs, seed=seed)
    return text.reader(replace(reader, recipe=recipe, teller=teller))


def _heaviest_first(trials: Iterator[Trial] | list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: trial.lightness)


def _finished(started: Sequence[Future[Tried]], progress: Progress) -> list[Tried]:
    """All results, the lightest first, so that a report begins with the plainest."""
    for number, done in enumerate(as_completed(started)):
        done.result()
        progress("fitting and choosing", (number + 1) / len(started))
    return sorted((one.result() for one in started), key=lambda one: -one.trial.lightness)


def examples_until(
    task: Task, known: Log, until: datetime, plan: Preset, given: Examples | None = None
) -> tuple[Examples, Past]:
    """What a task is trained on. Raises TooFewExamples where that is too little, or one class only."""
    last = last_cutoff(task, until)
    count = plan.item_weeks if task.key == schema.ITEM else plan.weeks
    first = max(known.observed_from + 4 * WEEK, last - (count - 1) * WEEK)
    if first > last:
        raise TooFewExamples(
            f"{task.name} looks {duration(task.horizon)} ahead, but only "
            f"{(until - known.observed_from).days} days are known before {until:%Y-%m-%d}.",
            mend="Bring a longer log or choose a later --until.",
        )
    examples = truths(task, known, weekly(first, last), given)
    asked = examples.asked.n_unique()
    if asked < FEWEST_CUSTOMERS:
        who = {schema.USER: "customers", schema.ITEM: "items"}.get(task.key, "events")
        raise TooFewExamples(
            f"{task.name} has {asked} {who} to learn from; it takes {FEWEST_CUSTOMERS}.",
            mend="Bring more of the log, or leave the task out with --tasks.",
        )
    if not isinstance(task.answer, Ranking) and examples.truth.n_unique() < 2:
        raise TooFewExamples(
            f"The truth of {task.name} is the same for all {len(examples)} examples.",
            mend="Nothing can be learned from one class: bring a longer log, or leave the task out with --tasks.",
        )
    return examples, Past(known, examples)
