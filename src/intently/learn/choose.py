"""Which predictor serves a task: every candidate fitted on earlier windows and judged on the newest whole ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

import numpy as np

from intently import metrics
from intently.baselines import BOOSTED
from intently.baselines.lightgbm_hurdle import LightGBMHurdle
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.baselines.past_spend import PastSpend
from intently.contract import Amount, EachEvent, Examples, OneOf, Past, Predictor, Ranking, Scores, Shares, Task, weekly
from intently.errors import TooFewExamples
from intently.evaluate.compare import Report, compare, encode
from intently.learn.active import truths
from intently.learn.blend import WEIGHTS, Blend, blended
from intently.learn.trained import BEFORE, BLEND, OPPONENT, READER, STACK, TEXT_OPPONENT, TEXT_READER
from intently.log.log import Log
from intently.log.pack import Array

WEEK = timedelta(days=7)
# The newest cut-offs are enough to tell candidates apart, and a third of the work.
_FIT_WEEKS = 7
_JUDGED = 3
# Of rankings so many places are enough to find a weight.
_WEIGHED = 30


def whole_weeks(task: Task) -> timedelta:
    """The weeks that a task's window takes, the last of them whole."""
    return -(-task.horizon // WEEK) * WEEK


def last_cutoff(task: Task, until: datetime) -> datetime:
    """The latest weekly cut-off, counted back from `until`, whose window ends by `until`."""
    return until - whole_weeks(task)


def choice_cutoffs(tasks: Sequence[Task], until: datetime) -> list[datetime]:
    """The same times for all choices: the last at which every task's window is whole."""
    last = min(last_cutoff(task, until) for task in tasks)
    return weekly(last - (_JUDGED - 1) * WEEK, last)


@dataclass(frozen=True)
class Choice:
    """The examples on which a task's candidates are fitted for the choice, and those on which they are judged."""

    task: Task
    fit: tuple[Examples, Past]
    judge: tuple[Examples, Past]

    @classmethod
    def of(cls, task: Task, at: Sequence[datetime], known: Log, given: Examples | None = None) -> Choice:
        """Judged at `at`, fitted on the newest windows that end by the first of them.

        `given` are answers that the log does not have.
        """
        last = last_cutoff(task, at[0])
        first = max(known.observed_from + 4 * WEEK, last - (_FIT_WEEKS - 1) * WEEK)
        fit = truths(task, known.before(at[0]), weekly(min(first, last), last), given)
        judge = truths(task, known, at, given)
        return cls(task, (fit, Past(known, fit)), (judge, Past(known, judge.hide())))


@dataclass(frozen=True, eq=False)
class Trial:
    """One candidate for one task, to be fitted and asked for the choice, then fitted on everything."""

    name: str
    candidate: Predictor
    choice: Choice
    data: tuple[Examples, Past]

    @property
    def lightness(self) -> int:
        """The heaviest come first: rankings, then shares, then other boosters, then the rest."""
        kinds: tuple[type, ...] = (LightGBMRanking, LightGBMShares, *BOOSTED)
        return next((place for place, kind in enumerate(kinds) if isinstance(self.candidate, kind)), len(kinds))

    def run(self) -> Tried:
        """Fit, ask, fit again; a candidate that finds too little to learn from is left out."""
        examples, past = self.choice.judge
        try:
            scores = self.candidate.fit(*self.choice.fit).predict(examples.hide(), past)
        except TooFewExamples:
            return Tried(self, None, None)
        return Tried(self, scores, self.candidate.fit(*self.data))


@dataclass(frozen=True)
class Tried:
    """A candidate's answers for the choice, and itself fitted on everything; None where it found too little."""

    trial: Trial
    scores: Scores | None
    fitted: Predictor | None


@dataclass(frozen=True)
class Chosen:
    """The fitted predictors of a task, which of them is served, the best without the reader, and the figures."""

    predictors: Mapping[str, Predictor]
    served: str
    baseline: str
    report: Report


def chosen(task: Task, tried: Sequence[Tried]) -> Chosen:
    """Judge the candidates of a task, blend the boosters with the reader, and choose."""
    able = [one for one in tried if one.scores is not None and one.fitted is not None]
    predictions = {one.trial.name: one.scores for one in able if one.scores is not None}
    fitted = {one.trial.name: one.fitted for one in able if one.fitted is not None}
    if not able:
        raise _nothing_to_choose(task, tried)
    examples = able[0].trial.choice.judge[0]
    blend = _best_blend(task, examples, predictions, fitted)
    if blend is not None:
        fitted[BLEND], predictions[BLEND] = blend
    report = compare(task, examples, predictions, replicates=100, rng=np.random.default_rng(0))
    simple = [name for name in fitted if name not in (STACK, READER, TEXT_READER, BLEND, BEFORE)]
    return Chosen(
        fitted,
        served=_served(report, task, [name for name in fitted if name != BEFORE]),
        baseline=report.best(task.name, simple),
        report=report,
    )


def _nothing_to_choose(task: Task, tried: Sequence[Tried]) -> TooFewExamples:
    """Why no candidate could be judged, and what is needed for it."""
    choice = tried[0].trial.choice
    what = "labels of events" if isinstance(task.asks, EachEvent) else "answers"
    before = "" if not len(choice.judge[0]) else f" before {choice.judge[0].first - task.horizon:%Y-%m-%d}"
    return TooFewExamples(
        f"{task.name} has {len(choice.fit[0])} examples to fit on before those by which what is served is chosen.",
        mend=f"{what[0].upper()}{what[1:]}{before} are needed too.",
    )


def _served(report: Report, task: Task, names: Sequence[str]) -> str:
    """The best, or the blend where nothing is better than it beyond chance: of two that seem alike a mean errs less.

    What is better must not be worse beyond chance by the second metric (`_no_worse`).
    """
    if BLEND not in names:
        return report.best(task.name, names)
    others = [name for name in names if name != BLEND and report.beats(name, BLEND, task.name) == "better"]
    able = [name for name in others if _no_worse(report, task, name, BLEND)]
    return report.best(task.name, able) if able else BLEND


def _no_worse(report: Report, task: Task, mine: str, other: str) -> bool:
    """Whether one is not worse beyond chance by the second metric, of an amount; of other answers that says nothing.

    Who orders the many customers better may order the few wrongly who bring the money. See docs/decisions/005.
    """
    second = task.metrics[1:2] if isinstance(task.answer, Amount) else ()
    return not any(report.beats(mine, other, task.name, metric) == "worse" for metric in second)


def _best_blend(
    task: Task, examples: Examples, predictions: Mapping[str, Scores], fitted: Mapping[str, Predictor]
) -> tuple[Blend, Scores] | None:
    """The blend that is preferred, but another where that is better beyond chance."""
    best: tuple[Blend, Scores] | None = None
    for mixture in _mixtures(task, predictions):
        found = _blend(task, examples, predictions, fitted, mixture)
        if found is not None and (best is None or _surpasses(task, examples, found[1], best[1])):
            best = found
    return best


def _surpasses(task: Task, examples: Examples, mine: Scores, other: Scores) -> bool:
    """Whether answers are better than others by the first metric, with 99 % of the difference above 0, and not worse
    beyond chance by the second. Stricter than elsewhere: it is customers who are resampled, and weeks differ as well.
    """
    two = {"mine": mine, "other": other}
    report = compare(task, examples, two, names=task.metrics[:2], replicates=400, rng=np.random.default_rng(0))
    better = report.difference("mine", "other", task.name)
    # From the half width of 95 % to that of 99 %, normal deviates of .975 and .995.
    sure = better.value > (better.value - better.low) * 2.576 / 1.960
    return sure and _no_worse(report, task, "mine", "other")


def _blend(
    task: Task,
    examples: Examples,
    predictions: Mapping[str, Scores],
    fitted: Mapping[str, Predictor],
    mixture: _Mixture,
) -> tuple[Blend, Scores] | None:
    """Those of a mixture that there are, the first among them, in equal parts, the reader beside them with the weight
    that is best by the primary metric; and the answers to judge that by, at each cut-off mixed with the weight that is
    best at the others.
    """
    names, reader = [name for name in mixture.boosters if name in predictions], _reader_of(task)
    if mixture.boosters[0] not in names or len({*names, reader} & predictions.keys()) < 2:
        return None
    boosters, said = {name: fitted[name] for name in names}, [predictions[name] for name in names]
    if reader not in predictions:
        return Blend(boosters, None, 0.0), blended(said, None, 0.0)
    read = predictions[reader]
    weigh = _Weighing.of(task, examples, said, read, mixture.weights)
    judged = _turns(task, examples)
    everything = np.arange(len(examples))
    parts = []
    for rows in judged:
        others = np.setdiff1d(everything, rows) if len(judged) > 1 else everything
        parts.append(blended([scores.take(rows) for scores in said], read.take(rows), weigh.best(others)))
    return Blend(boosters, fitted[reader], weigh.best(everything)), _in_order(parts, np.concatenate(judged))


def _turns(task: Task, examples: Examples) -> list[Array]:
    """The rows that are judged together: of a cut-off; of events, whose times all differ, as many parts by time."""
    if isinstance(task.asks, EachEvent):
        order = np.argsort(examples.at.dt.epoch("us").to_numpy(), kind="stable")
        return [rows for rows in np.array_split(order, _JUDGED) if len(rows)]
    return [np.flatnonzero((examples.at == at).to_numpy()) for at in examples.cutoffs]


@dataclass(frozen=True)
class _Mixture:
    """What may be blended beside the reader, by name, the first of which there must be; the reader's weights."""

    boosters: tuple[str, ...]
    weights: tuple[float, ...] = WEIGHTS


def _mixtures(task: Task, there: Collection[str]) -> tuple[_Mixture, ...]:
    """What may be blended of the predictors that are `there`; the first is preferred."""
    match task.answer:
        case OneOf() if isinstance(task.asks, EachEvent):
            return (_Mixture((TEXT_OPPONENT,)),)
        case Ranking() | Shares():
            # The booster alone: half of the stack gains no more than half of a second seed would.
            return (_Mixture((OPPONENT,)),)
        case Amount(unit="money"):
            # Rules that go as far as customers do, for a young log or a heavy tail, where weights that are chosen carry
            # over even less: all in equal parts. Without a reader they brought nothing. See docs/decisions/005.
            alike = (STACK, LightGBMHurdle.name, PastSpend.name)
            wide = [_Mixture(alike, (1 / (len(alike) + 1),))] if {*alike, READER} <= {*there} else []
            return (*wide, _Mixture((OPPONENT, STACK)))
        case _:
            return (_Mixture((OPPONENT, STACK)),)


def _reader_of(task: Task) -> str:
    """The name of the reader that is blended beside them."""
    return TEXT_READER if isinstance(task.answer, OneOf) and isinstance(task.asks, EachEvent) else READER


@dataclass(frozen=True)
class _Weighing:
    """The answers mixed with every weight, and the examples and the task's first metric to tell which is best."""

    task: Task
    examples: Examples
    mixed: Mapping[float, Scores]

    @classmethod
    def of(cls, task: Task, examples: Examples, said: Sequence[Scores], read: Scores, weights: Sequence[float]) -> Self:
        """Mix them all; of rankings the first places."""
        if isinstance(task.answer, Ranking):
            said, read = [scores.head(_WEIGHED) for scores in said], read.head(_WEIGHED)
        return cls(task, examples, {weight: blended(said, read, weight) for weight in weights})

    def best(self, rows: Array) -> float:
        """The weight that is best for these rows of the examples."""
        metric = metrics.of(type(self.task.answer).__name__, self.task.metrics)[0]
        some = self.examples.take(rows)

        def goodness(weight: float) -> float:
            return float(metric.goodness(metric.value(*encode(self.task, some, self.mixed[weight].take(rows)))))

        return max(self.mixed, key=goodness)


def _in_order(parts: Sequence[Scores], rows: Array) -> Scores:
    """Parts of a table of answers put together, each row at its number."""
    back = np.argsort(rows)
    values = np.concatenate([part.values for part in parts])[back]
    ids = [part.ids for part in parts if part.ids is not None]
    return replace(parts[0], values=values, ids=np.concatenate(ids)[back] if ids else None)
