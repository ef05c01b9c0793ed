"""Where there is too little to train a model on: the simple predictor that serves a shop better than nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from intently.baselines import PLAIN
from intently.baselines.constant import Constant
from intently.contract import Examples, OneOf, Past, Predictor, Scores, Task, YesNo, weekly
from intently.errors import TooFewExamples, gathered
from intently.evaluate.compare import Report, compare
from intently.learn.active import kept_labels
from intently.learn.choose import WEEK, last_cutoff
from intently.learn.presets import plan_of
from intently.learn.train import examples_until, train
from intently.learn.trained import Trained
from intently.log import schema
from intently.log.log import Log

# The newest weekly cut-offs that a simple predictor is fitted on.
_WEEKS = 8


def train_or_fall_back(
    log: Log, until: datetime, tasks: Sequence[Task], *, fallback: bool = False, preset: str = "fast", **options: Any
) -> Trained:
    """`train`; with `fallback`, tasks with too little to learn from are served by a simple predictor.

    Raises TooFewExamples without `fallback`, and with it where not one window is whole or nobody is asked.
    """
    if not fallback:
        try:
            return train(log, until, tasks, preset=preset, **options)
        except TooFewExamples as error:
            more = " Or have a simple predictor served: --fallback, LanguageModel(fallback=True)."
            raise TooFewExamples(error.problem, mend=error.mend + more) from error
    known, plan, given = log.before(until), plan_of(preset), options.get("labels") or {}
    reasons: dict[str, str] = {}
    for task in tasks:
        try:
            examples_until(task, known, until, plan, given.get(task.name))
        except TooFewExamples as error:
            reasons[task.name] = error.problem
    trained = _trained(log, until, tasks, reasons, preset, options)
    simple, impossible = {}, []
    for task in (task for task in tasks if task.name in reasons):
        try:
            simple[task.name] = _simple(task, known, until)
        except TooFewExamples as error:
            impossible.append(error.problem)
    if impossible:
        raise TooFewExamples(
            f"Not even a simple predictor has anything to go by: {gathered(impossible)}",
            mend="Leave the task out with --tasks, or bring a longer log.",
        )
    return replace(
        trained,
        tasks=tuple(tasks),
        predictors={**trained.predictors, **{name: one.predictors for name, one in simple.items()}},
        served={**trained.served, **{name: one.served for name, one in simple.items()}},
        baseline={**trained.baseline, **{name: one.served for name, one in simple.items()}},
        choice=trained.choice.join(*(one.choice for one in simple.values())),
        fallback=reasons,
        labels={**trained.labels, **{name: kept_labels(given[name]) for name in simple if name in given}},
    )


def _trained(
    log: Log, until: datetime, tasks: Sequence[Task], reasons: dict[str, str], preset: str, options: Mapping[str, Any]
) -> Trained:
    """Train the tasks that nothing speaks against; what stops the reader stops every task about customers."""
    while able := [task for task in tasks if task.name not in reasons]:
        try:
            return train(log, until, able, preset=preset, **options)
        except TooFewExamples as error:
            stopped = [task for task in able if task.key == schema.USER] or able
            reasons |= {task.name: error.problem for task in stopped}
    return Trained(until, (), None, None, {}, {}, {}, Report())


@dataclass(frozen=True)
class _Simple:
    predictors: Mapping[str, Predictor]
    served: str
    choice: Report


def _simple(task: Task, known: Log, until: datetime) -> _Simple:
    """The plain baseline that is best on the last whole window, or the constant where there is one window only."""
    last = last_cutoff(task, until)
    choice = _choice(task, known, last)
    fitted = _fitted(task, known, last)
    judged = choice.predictors(task.name) if choice.tasks else []
    served = next((name for name in judged if name in fitted), Constant.name)
    return _Simple(fitted, served, choice)


def _choice(task: Task, known: Log, at: datetime) -> Report:
    """Plain baselines judged on the window from `at`, fitted on those before it; an empty report without any."""
    try:
        fitted = _fitted(task, known.before(at), last_cutoff(task, at))
        later = task.examples(known, [at])
        past = Past(known, later.hide())
        predictions: dict[str, Scores] = {name: one.predict(later.hide(), past) for name, one in fitted.items()}
        # Few customers make wild quantiles, which a measure of order does not see: the proper score goes first.
        names = sorted(task.metrics, key=lambda name: name != "pinball")
        # Where all truths are zero some metrics are infinite for everybody, and so are no difference.
        with np.errstate(invalid="ignore"):
            return compare(task, later, predictions, names=names, replicates=100, rng=np.random.default_rng(0))
    except TooFewExamples:
        return Report()


def _fitted(task: Task, known: Log, last: datetime) -> dict[str, Predictor]:
    """Every plain baseline that can learn from the windows of the newest cut-offs up to `last`."""
    # Asked the moment the log begins, nobody is known.
    first = max(known.observed_from + timedelta(days=1), last - (_WEEKS - 1) * WEEK)
    examples = task.examples(known, weekly(first, last))
    past = Past(known, examples)
    constant = Constant().fit(examples, past)
    found: dict[str, Predictor] = {constant.name: _smoothed(constant, examples)}
    for kind in PLAIN:
        if kind is Constant or not kind().answers(task):
            continue
        try:
            found[kind().name] = kind().fit(examples, past)
        except TooFewExamples:
            continue
    return found


def _smoothed(constant: Constant, examples: Examples) -> Constant:
    """A class that was never seen is rare, not impossible: Laplace's rule of succession over the asked ones."""
    if not isinstance(examples.task.answer, YesNo | OneOf):
        return constant
    assert constant.values is not None
    asked = examples.asked.n_unique()
    classes = max(2, len(constant.values))
    return replace(constant, values=(constant.values * asked + 1) / (asked + classes))
