"""From a log to a model that can be served: the reader, the stack, the baselines, and the choice among them.

Cut-offs are a week apart, counted back from `until`; every window used ends by `until`.

    |---- reader: windows end by reader_until ----|---- boosters read its columns ----| choice | until
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from intently import metrics
from intently.baselines import BOOSTED, PLAIN
from intently.baselines.lightgbm_demand import LightGBMDemand
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.contract import Examples, Past, Predictor, Ranking, Scores, Task, weekly
from intently.errors import ConfigError, TooFewExamples
from intently.evaluate.compare import Report, compare, encode
from intently.learn.adapt import ADAPTATIONS
from intently.learn.blend import WEIGHTS, Blend, mixed
from intently.learn.finetune import Recipe
from intently.learn.item_columns import ItemColumns
from intently.learn.reader import FittedReader, SequenceReader, Text
from intently.learn.rolling import Rolling
from intently.learn.stack import ReaderColumns
from intently.log import schema
from intently.log.log import Log
from intently.text.language_model import PACKAGED, Progress, silent

FEWEST_CUSTOMERS = 50
STACK = "stack"
BLEND = "blend"
OPPONENT = "lightgbm"
READER = "reader"
BEFORE = "reader_before"

WEEK = timedelta(days=7)
_FRESH_WEEKS = 6
# The newest cut-offs are enough to tell candidates apart, and a third of the work.
_CHOICE_WEEKS = 7


@dataclass(frozen=True)
class Preset:
    """How much work a training may take.

    `weeks` of cut-offs for boosters, `reader_weeks` between the end of the first reader's windows and
    `until`, `refresh_weeks` from one refreshing of the reader to the next, `reader_step` weeks between the
    reader's cut-offs, `item_weeks` of cut-offs for questions about items, `sizes` what a kind of booster is
    made with.
    """

    recipe: Recipe
    weeks: int = 40
    reader_weeks: int = 14
    refresh_weeks: int = 7
    reader_step: int = 1
    item_weeks: int = 10
    sizes: Mapping[type, Mapping[str, int]] = field(default_factory=dict)


_FAST = {LightGBMShares: {"weeks": 8, "at_most": 300}, LightGBMRanking: {"weeks": 6, "at_most": 900}}

PRESETS: Mapping[str, Preset] = {
    "fast": Preset(Recipe(pretrain_epochs=1, epochs=4), weeks=30, reader_step=2, sizes=_FAST),
    "balanced": Preset(Recipe(pretrain_epochs=2, epochs=10)),
    "best": Preset(Recipe(pretrain_epochs=4, epochs=20, learning_rate=1e-3, patience=3), item_weeks=16),
}


def plan_of(preset: str) -> Preset:
    """The preset of that name. Raises ConfigError where there is none."""
    if preset not in PRESETS:
        raise ConfigError(f"There is no preset {preset!r}.", mend=f"Choose one of {', '.join(PRESETS)}.")
    return PRESETS[preset]


@dataclass(frozen=True)
class Trained:
    """A trained model: per task every predictor by name, which of them is served, and why.

    `choice` is the report on the validation cut-offs by which `served` and `baseline` were chosen.
    `fallback` says of tasks that are served by a simple predictor why no model was trained for them.
    """

    until: datetime
    tasks: tuple[Task, ...]
    reader: Rolling | None
    reading: ReaderColumns | None
    predictors: Mapping[str, Mapping[str, Predictor]]
    served: Mapping[str, str]
    baseline: Mapping[str, str]
    choice: Report
    fallback: Mapping[str, str] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """The task of that name. Raises ConfigError where the model was not trained on it."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise ConfigError(
            f"The model has no task {name!r}.", mend=f"It answers {', '.join(task.name for task in self.tasks)}."
        )

    def predict(self, name: str, log: Log, at: datetime, predictor: str | None = None) -> tuple[Examples, Scores]:
        """The answers of everyone asked at `at`, by the served predictor or a named one."""
        examples = self.task(name).questions(log, at)
        return examples, self.answer(examples, Past(log, examples), predictor)

    def answer(self, examples: Examples, past: Past, predictor: str | None = None) -> Scores:
        """The answers of some examples, by the served predictor or a named one."""
        name = examples.task.name
        return self.predictors[name][predictor or self.served[name]].predict(examples.hide(), past)


def boosted(
    task: Task,
    reading: ReaderColumns | None,
    items: ItemColumns | None,
    threads: int,
    seed: int,
    sizes: Mapping[type, Mapping[str, int]] | None = None,
) -> dict[str, Predictor]:
    """LightGBM without and, where there is a reader, with the reader's columns."""
    for kind in BOOSTED:
        alone = kind(name=OPPONENT, threads=threads, seed=seed, **(sizes or {}).get(kind, {}))
        if not alone.answers(task):
            continue
        extra = items if kind is LightGBMDemand else reading
        if extra is None:
            return {OPPONENT: alone}
        if kind is LightGBMRanking:
            # The same pairs for both: the reader proposes, only the stack may read its columns.
            alone = replace(alone, candidates=extra)
        return {OPPONENT: alone, STACK: replace(alone, name=STACK, reading=extra)}
    return {}


def train(
    log: Log,
    until: datetime,
    tasks: Sequence[Task],
    *,
    preset: str = "fast",
    model: str = PACKAGED,
    adapt: str = "frozen",
    before: bool = False,
    threads: int | None = None,
    seed: int = 0,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> Trained:
    """Train on what was known before `until`, and choose what to serve on the last whole windows before it.

    With `before`, the reader without fine-tuning is kept beside the rest, for the report.
    Raises TooFewExamples where there is too little to learn from.
    """
    plan = plan_of(preset)
    if adapt not in ADAPTATIONS:
        raise ConfigError(f"There is no way {adapt!r} to adapt.", mend=f"Choose one of {', '.join(ADAPTATIONS)}.")
    recipe = replace(plan.recipe, seed=seed, threads=threads or plan.recipe.threads)
    known = log.before(until)
    tasks = tuple(tasks)
    data = {task.name: examples_until(task, known, until, plan) for task in tasks}
    reader, reading = None, None
    old: FittedReader | None = None
    asked_customers = tuple(task for task in tasks if task.key == schema.USER)
    if checkpoints is not None:
        # An interrupted training is gone on with only where it is the same training.
        same = (known.fingerprint(), until, [task.name for task in tasks], plan, recipe, model, adapt)
        checkpoints = checkpoints / hashlib.sha256(repr(same).encode()).hexdigest()[:16]
    if asked_customers:
        reader_until = until - plan.reader_weeks * WEEK
        reader, old, reading = _read(
            known,
            reader_until,
            until,
            plan,
            asked_customers,
            recipe,
            Text(model=model, adapt=adapt),
            before,
            checkpoints,
            progress,
        )
    items = None if reader is None else ItemColumns(reader.newest)
    # One time for all choices: the last at which every task's window is whole.
    choice_at = min(last_cutoff(task, until) for task in tasks)
    readers = {made.name: made for made in (reader, old) if made is not None}

    def settle(task: Task) -> _Settled:
        # Boosters run side by side, a thread each: two threads on one booster are worth less than two boosters.
        candidates: dict[str, Predictor] = {
            made.name: made for made in (kind() for kind in PLAIN) if made.answers(task)
        }
        candidates |= boosted(task, reading, items, 1, seed, plan.sizes)
        candidates |= {name: made for name, made in readers.items() if made.answers(task)}
        watch = _part(progress, f"fitting and choosing for {task.name}", 0.0, 1.0)
        return _settled(task, choice_at, known, data[task.name], candidates, watch)

    with side_by_side(recipe.threads) as pool:
        settled = dict(zip((task.name for task in tasks), pool.map(settle, tasks), strict=True))
    return Trained(
        until,
        tasks,
        reader,
        reading,
        {name: one.predictors for name, one in settled.items()},
        {name: one.served for name, one in settled.items()},
        {name: one.baseline for name, one in settled.items()},
        Report().join(*(one.choice for one in settled.values())),
    )


@contextlib.contextmanager
def side_by_side(threads: int) -> Iterator[ThreadPoolExecutor]:
    """As many workers as threads, each with one thread of its own; an interrupt drops what has not begun."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # The number is each thread's own: workers have to be told too.
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Settled:
    predictors: Mapping[str, Predictor]
    served: str
    baseline: str
    choice: Report


def _settled(
    task: Task,
    choice_at: datetime,
    known: Log,
    data: tuple[Examples, Past],
    candidates: Mapping[str, Predictor],
    watch: Progress,
) -> _Settled:
    """Choose on the validation cut-off, then fit everybody on all examples."""
    choice, blend = _choose(task, choice_at, known, candidates, watch)
    able = choice.predictors(task.name)
    fitted: dict[str, Predictor] = {}
    for name in (name for name in candidates if name in able):
        watch("", 0.4 + 0.6 * len(fitted) / len(able))
        fitted[name] = candidates[name].fit(*data)
    if blend is not None:
        fitted[BLEND] = replace(blend, booster=fitted[blend.base])
    watch("", 1.0)
    simple = [name for name in able if name not in (STACK, READER, BLEND, BEFORE)]
    return _Settled(
        fitted,
        served=choice.best(task.name, [name for name in able if name != BEFORE]),
        baseline=choice.best(task.name, simple),
        choice=choice,
    )


def last_cutoff(task: Task, until: datetime) -> datetime:
    """The latest weekly cut-off, counted back from `until`, whose window ends by `until`."""
    return until - -(-task.horizon // WEEK) * WEEK


def examples_until(task: Task, known: Log, until: datetime, plan: Preset) -> tuple[Examples, Past]:
    """What a task is trained on. Raises TooFewExamples where that is too little, or one class only."""
    last = last_cutoff(task, until)
    count = plan.weeks if task.key == schema.USER else plan.item_weeks
    first = max(known.observed_from + 4 * WEEK, last - (count - 1) * WEEK)
    if first > last:
        raise TooFewExamples(
            f"{task.name} looks {task.horizon.days} days ahead, but only "
            f"{(until - known.observed_from).days} days are known before {until:%Y-%m-%d}.",
            mend="Bring a longer log or choose a later --until.",
        )
    examples = task.examples(known, weekly(first, last))
    asked = examples.asked.n_unique()
    if asked < FEWEST_CUSTOMERS:
        who = "customers" if task.key == schema.USER else "items"
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


def _read(
    known: Log,
    first: datetime,
    until: datetime,
    plan: Preset,
    tasks: tuple[Task, ...],
    recipe: Recipe,
    text: Text,
    before: bool,
    checkpoints: Path | None,
    progress: Progress,
) -> tuple[Rolling, FittedReader | None, ReaderColumns]:
    """Fine-tune a reader on windows that end by `first`, stopped early on the windows after it, and take it
    further every `plan.refresh_weeks` until `until`.
    """
    if first <= known.observed_from + 6 * WEEK:
        raise TooFewExamples(
            f"Only {(known.observed_until - known.observed_from).days} days are known.",
            mend="Fine-tuning takes about half a year of log; bring more of it.",
        )
    earlier = known.before(first)
    train: dict[str, tuple[Examples, Past]] = {}
    held_out: dict[str, tuple[Examples, Past]] = {}
    for task in tasks:
        last = last_cutoff(task, first)
        cutoffs = weekly(earlier.observed_from + 4 * WEEK, last)[:: -plan.reader_step]
        examples = task.examples(earlier, cutoffs)
        train[task.name] = (examples, Past(earlier, examples))
        later = task.examples(known.before(first + task.horizon), [first])
        held_out[task.name] = (later, Past(known, later))
    made = SequenceReader(tasks, recipe, text)
    reader = made.fit(train, held_out, checkpoints=checkpoints, progress=progress)
    old = None
    if before:
        still = replace(recipe, train_reader=False, epochs=max(2, recipe.epochs // 2))
        old = replace(made, name=BEFORE, recipe=still, text=reader.text).fit(train, held_out, progress=progress)
    stages = [(first, reader)]
    freshen = replace(recipe, pretrain_epochs=0, epochs=1, learning_rate=recipe.learning_rate / 3)
    while stages[-1][0] < until:
        since = min(stages[-1][0] + plan.refresh_weeks * WEEK, until)
        part = _part(progress, f"keeping the reader fresh, {since:%Y-%m-%d}", 0.0, 1.0)
        stages.append((since, _fresher(known.before(since), since, tasks, replace(made, recipe=freshen), reader, part)))
        reader = stages[-1][1]
    rolling = Rolling(tuple(stages))
    return rolling, old, ReaderColumns.of(rolling, held_out[tasks[0].name][1])


def _fresher(
    known: Log, until: datetime, tasks: tuple[Task, ...], made: SequenceReader, start: FittedReader, progress: Progress
) -> FittedReader:
    """The reader taken further on the newest windows that end by `until`."""
    train = {}
    for task in tasks:
        last = last_cutoff(task, until)
        examples = task.examples(known, weekly(last - (_FRESH_WEEKS - 1) * WEEK, last))
        train[task.name] = (examples, Past(known, examples))
    return made.fit(train, start=start, progress=progress)


def _choose(
    task: Task, at: datetime, known: Log, candidates: Mapping[str, Predictor], watch: Progress
) -> tuple[Report, Blend | None]:
    """Judge candidates at one cut-off, fitted on the newest windows that end by it; blend the best booster there."""
    last = last_cutoff(task, at)
    first = max(known.observed_from + 4 * WEEK, last - (_CHOICE_WEEKS - 1) * WEEK)
    earlier = task.examples(known.before(at), weekly(min(first, last), last))
    later = task.examples(known, [at])
    past, before = Past(known, later.hide()), Past(known.before(at), earlier)
    predictions: dict[str, Scores] = {}
    for name, candidate in candidates.items():
        watch("", 0.4 * len(predictions) / len(candidates))
        try:
            predictions[name] = candidate.fit(earlier, before).predict(later.hide(), past)
        except TooFewExamples:
            continue
    blend = _blended(task, later, predictions, candidates)
    if blend is not None:
        predictions[BLEND] = mixed(predictions[blend.base], predictions[READER], blend.weight)
    return compare(task, later, predictions, replicates=100, rng=np.random.default_rng(0)), blend


def _blended(
    task: Task, examples: Examples, predictions: Mapping[str, Scores], candidates: Mapping[str, Predictor]
) -> Blend | None:
    """The best weight of the reader beside one of the boosters, by the task's primary metric."""
    bases = [name for name in (OPPONENT, STACK) if name in predictions]
    if READER not in predictions or isinstance(task.answer, Ranking) or not bases:
        return None
    metric = metrics.of(type(task.answer).__name__, task.metrics)[0]

    def goodness(base: str, weight: float) -> float:
        scores = mixed(predictions[base], predictions[READER], weight)
        return float(metric.goodness(metric.value(*encode(task, examples, scores))))

    base, weight = max(((base, weight) for base in bases for weight in WEIGHTS), key=lambda pair: goodness(*pair))
    return Blend(base, candidates[base], candidates[READER], weight)


def _part(progress: Progress, what: str, begin: float, length: float = 0.2) -> Progress:
    return lambda _what, fraction: progress(what, begin + length * fraction)
