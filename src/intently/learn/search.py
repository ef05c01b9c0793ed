"""The method and the settings of a text reader, looked for with Optuna: out of time, resumable, within a time budget.

Every trial learns from a quarter, a half and all of the earlier examples, and is judged on the later ones each time; a
trial that is behind the median of the others is given up early.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np

from intently import metrics
from intently.contract import AT, TRUTH, Amount, Examples, Past
from intently.errors import ConfigError, TooFewExamples
from intently.evaluate.compare import encode as judged
from intently.learn.methods import METHODS, method_of
from intently.learn.objective import Objective
from intently.learn.text_reader import TextReader
from intently.log.log import Log
from intently.metrics.metric import Metric
from intently.text.language_model import Progress, silent

_RUNGS = (0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Space:
    """What may be tried: `methods` by name, `rate` as multiples of the method's own, and the ranges of the others."""

    methods: tuple[str, ...] = tuple(method.name for method in METHODS)
    rate: tuple[float, float] = (0.3, 3.0)
    epochs: tuple[int, int] = (2, 8)
    rank: tuple[int, int] = (4, 32)
    smoothing: tuple[float, float] = (0.0, 0.15)


@dataclass(frozen=True)
class Found:
    """The best reader, not yet fitted on everything; its value (more is better), and all finished trials.

    `metric` is what was judged by, `score` what the best trial has of it, and `settings` what was drawn for it.
    """

    reader: TextReader
    value: float
    trials: tuple[Mapping[str, Any], ...]
    metric: str
    score: float
    settings: Mapping[str, Any]


def search(
    reader: TextReader,
    examples: Examples,
    log: Log,
    *,
    space: Space | None = None,
    trials: int = 20,
    seconds: float | None = None,
    study: Path | None = None,
    held_out: float = 0.25,
    seed: int = 0,
    progress: Progress = silent,
) -> Found:
    """Look for the settings that answer the newest `held_out` share of the examples best by the task's first metric.

    With `study`, a file, what was tried before counts, and the search goes on from there. `seconds` ends it after the
    trial that is running. Raises ConfigError where Optuna is not installed, and for a study of other settings.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
    except ImportError as error:
        raise ConfigError("Searching needs Optuna.", mend="pip install 'intently[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = space or Space()
    for name in space.methods:
        method_of(name)
    if reader.prompt is not None:
        reader.prompt.try_on(reader.model, examples.task.answer, examples.task.name, reader.recipe.max_tokens)
    earlier, later = _apart(examples, held_out)
    labelled = not isinstance(examples.task.answer, Amount)
    metric = metrics.of(type(later.task.answer).__name__, later.task.metrics)[0]
    judge = _judge(later, log, metric)

    if study is not None:
        _a_study(study)
    failed: list[ConfigError | TooFewExamples] = []

    def tried(trial: Any) -> float:
        progress(f"trying settings ({trials} in all)", trial.number / trials)
        candidate, value = _drawn(trial, reader, space, labelled), -inf
        for rung, share in enumerate(_RUNGS):
            some = earlier.take(np.sort(_shuffled(len(earlier), seed)[: max(1, round(share * len(earlier)))]))
            try:
                score = judge(candidate.fit(some, Past(log, some)))
            except TooFewExamples as error:
                failed.append(error)
                continue
            except ConfigError as error:
                failed.append(error)
                raise
            value = float(metric.goodness(score))
            # Of a metric with a target, it cannot be told from its value.
            trial.set_user_attr("score", score)
            trial.report(value, rung)
            if trial.should_prune():
                raise optuna.TrialPruned
        return value

    try:
        found = optuna.create_study(
            storage=None if study is None else JournalStorage(JournalFileBackend(str(study))),
            study_name=examples.task.name,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4),
            load_if_exists=True,
        )
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{study} holds no study: {error}.", mend="Give --study another file.") from error
    alike = replace(reader, recipe=replace(reader.recipe, threads=1))
    changed = None if reader.augment is None else (len(reader.augment.changes), reader.augment.told())
    _same(found, study, repr((alike, space, _hash(reader, examples, log), held_out, changed)))
    # Going on from the same seed would draw the same settings again.
    found.sampler = optuna.samplers.TPESampler(seed=seed + len(found.trials))
    left = trials - len([one for one in found.trials if one.state.is_finished()])
    if left > 0:
        # A method that the model does not go with is a failed trial, not the end of the search.
        found.optimize(tried, n_trials=left, timeout=seconds, catch=(ConfigError,))
    done = [one for one in found.trials if one.state == optuna.trial.TrialState.COMPLETE]
    if all(one.value in (None, -inf) for one in done):
        # What stood in the way of the last trial, where it was not the time.
        if failed:
            raise failed[-1]
        raise ConfigError("No trial was finished.", mend="Allow more seconds, or other methods.")
    progress(f"trying settings ({trials} in all)", 1.0)
    rows = tuple({"value": one.value, **one.params} for one in done)
    best, value = _drawn(found.best_trial, reader, space, labelled), float(found.best_value)
    # A trial of an earlier version has none.
    unsaid = metric.goodness(value) if metric.target is None else nan
    score = float(found.best_trial.user_attrs.get("score", unsaid))
    return Found(best, value, rows, metric.name, score, dict(found.best_params))


def _a_study(file: Path) -> None:
    """Raise ConfigError where a file is there that holds no study: what is tried is appended to it."""
    if not file.exists():
        return
    held = file.read_bytes() if file.is_file() else b" "
    try:
        first = json.loads(held.split(b"\n", 1)[0]) if held else {"op_code": None}
    except ValueError:
        first = None
    if not (isinstance(first, dict) and "op_code" in first) or (held and not held.endswith(b"\n")):
        raise ConfigError(f"{file} holds no study.", mend="Give --study another file.")


def _same(study: Any, file: Path | None, settings: str) -> None:
    """Refuse to go on with a study of other examples or settings: its values cannot be compared."""
    begun = study.user_attrs.get("settings")
    if begun is None:
        study.set_user_attr("settings", settings)
    elif begun != settings:
        raise ConfigError(
            f"The study in {file} was begun with other data, settings or methods.", mend="Give --study another file."
        )


def _hash(reader: TextReader, examples: Examples, log: Log) -> str:
    """What tells examples from others: who is asked, when, the truth, and what a reader is told of each."""
    hidden = examples.hide()
    stories = [[story.past, story.asked] for story in reader.teller.tell(hidden, Past(log, hidden))]
    told = examples.frame.select(examples.task.key, AT, TRUTH).write_csv() + json.dumps(stories)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _drawn(trial: Any, reader: TextReader, space: Space, labelled: bool) -> TextReader:
    """The reader with the settings of a trial (Optuna gives those of a finished one again)."""
    method = trial.suggest_categorical("method", list(space.methods))
    rate = trial.suggest_float("rate", *space.rate, log=True)
    epochs = trial.suggest_int("epochs", *space.epochs)
    rank = trial.suggest_int("rank", *space.rank, log=True)
    smoothing = trial.suggest_float("smoothing", *space.smoothing) if labelled else 0.0
    recipe = replace(reader.recipe, epochs=epochs, rate=rate)
    objective = Objective.of({**asdict(reader.objective), "smoothing": smoothing})
    return replace(
        reader,
        method=method,
        recipe=recipe,
        sizes=replace(reader.sizes, rank=rank, alpha=2 * rank),
        objective=objective,
    )


def _judge(later: Examples, log: Log, metric: Metric) -> Callable[[TextReader], float]:
    task, hidden = later.task, later.hide()
    past = Past(log, hidden)

    def judge(fitted: TextReader) -> float:
        return metric.value(*judged(task, later, fitted.predict(hidden, past)))

    return judge


def _apart(examples: Examples, held_out: float) -> tuple[Examples, Examples]:
    """Earlier and later examples; no window of the first reaches past the beginning of the second."""
    at = examples.at.dt.epoch("us").to_numpy()
    begin = np.sort(at)[len(at) - max(1, round(len(at) * held_out))]
    horizon = round(examples.task.horizon.total_seconds() * 1e6)
    earlier, later = examples.where(at + horizon <= begin), examples.where(at >= begin)
    if not len(earlier) or not len(later):
        raise TooFewExamples(
            f"The examples of {examples.task.name} are of too short a time to judge later ones.",
            mend="Bring a longer log.",
        )
    return earlier, later


def _shuffled(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(count)
