"""What a training gives: every predictor of every task, which of them is served, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from intently.baselines.constant import Constant
from intently.contract import EachEvent, Examples, Past, Predictor, Scores, Task
from intently.errors import ConfigError
from intently.evaluate.compare import Report
from intently.learn.fitted import FittedReader
from intently.learn.rolling import Rolling
from intently.learn.stack import ReaderColumns
from intently.learn.workers import one_thread_of_blas, pool_of
from intently.log.log import Log

STACK = "stack"
BLEND = "blend"
OPPONENT = "lightgbm"
READER = "reader"
TEXT_OPPONENT = "n_grams"
TEXT_READER = "text_reader"
BEFORE = "reader_before"


@dataclass(frozen=True)
class Trained:
    """A trained model: per task every predictor by name, which of them is served, and why.

    `choice` is the report on the validation cut-offs by which `served` and `baseline` were chosen.
    `unread` names the predictor of tasks that are served by one which cannot be read here; those are not among `tasks`.
    `fallback` says of tasks that are served by a simple predictor why no model was trained for them, and `updates` how
    and to what effect it was taken further since (`learn.update`), the oldest first. `pruned` says by task to how many
    layers and heads its text reader was cut down since (`ship.prune`), and what that lost. `labels` are those given by
    hand, by task: ids of events and truths (`active.kept_labels`).
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
    updates: tuple[Mapping[str, Any], ...] = ()
    unread: Mapping[str, str] = field(default_factory=dict)
    pruned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    labels: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    def task(self, name: str) -> Task:
        """The task of that name. Raises ConfigError where the model was not trained on it."""
        for task in self.tasks:
            if task.name == name:
                return task
        if name in self.unread:
            raise ConfigError(
                f"{name} is answered by its {self.unread[name]}, which needs torch.",
                mend="pip install 'intently[train]'",
            )
        raise ConfigError(
            f"The model has no task {name!r}.", mend=f"It answers {', '.join(task.name for task in self.tasks)}."
        )

    def predict(self, name: str, log: Log, at: datetime, predictor: str | None = None) -> tuple[Examples, Scores]:
        """The answers of everyone asked at `at`, by the served predictor or a named one.

        Of a question about events, those of the newest span before `at`, each at its own time.
        """
        task = self.task(name)
        examples = task.questions(log.before(at), at - task.asks.span if isinstance(task.asks, EachEvent) else at)
        return examples, self.answer(examples, Past(log, examples), predictor)

    def predict_all(self, log: Log, at: datetime) -> dict[str, tuple[Examples, Scores]]:
        """The answers to every task of everyone asked at `at`, by name; tasks side by side, for they share readings."""
        names = [task.name for task in self.tasks]
        if not names:
            raise ConfigError(
                f"Every question ({', '.join(self.unread)}) is answered by what needs torch.",
                mend="Leave --exported out, or pip install 'intently[train]'.",
            )
        # What all read is made before, not by each of them.
        _ = log.pack, log.catalogue
        if len(names) == 1:
            return {names[0]: self.predict(names[0], log, at)}
        # One waits for another's reading, which takes all the machine: a thread for each.
        with one_thread_of_blas, pool_of(len(names)) as pool:
            return dict(zip(names, pool.map(lambda name: self.predict(name, log, at), names), strict=True))

    def answer(self, examples: Examples, past: Past, predictor: str | None = None) -> Scores:
        """The answers of some examples, by the served predictor or a named one."""
        name = examples.task.name
        if not len(examples):
            # Nobody is asked, as `among` allows: any empty table will do, and this predictor has no parts to join.
            predictor = Constant.name
        return self.predictors[name][predictor or self.served[name]].predict(examples.hide(), past)

    def forget_pasts(self) -> None:
        """Let go of the customers' pasts that were read last: who serves answers, and keeps nothing of them here."""
        readers = [] if self.reader is None else [reader for _, reader in self.reader.stages]
        for mine in self.predictors.values():
            readers += [one for one in mine.values() if isinstance(one, FittedReader)]
        for reader in readers:
            reader.forget_pasts()
