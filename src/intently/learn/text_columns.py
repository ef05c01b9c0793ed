"""What a text reader says, as columns for boosted trees: the stack of a question about customers who write.

Out of time, as in `stack.py`: every row is read by a reader that was fitted on windows that end before it is asked.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from intently.contract import Examples, Past, Task
from intently.errors import ConfigError
from intently.learn.methods import method_of
from intently.learn.rolling import turns
from intently.learn.stack import as_columns, main_directions, said_by
from intently.learn.text_finetune import Run, finetune_text
from intently.learn.text_reader import TextReader
from intently.log.pack import Array


@dataclass(frozen=True)
class TextColumns:
    """A text reader's vector and answers. A `Reading`.

    `stages` are readers of one question with the time from which each is used, oldest first; `mean` (width,) and `axes`
    (width, 12) the main directions of the first one's states.
    """

    stages: tuple[tuple[datetime, TextReader], ...]
    mean: Array
    axes: Array

    @classmethod
    def of(
        cls, reader: TextReader, examples: Examples, past: Past, since: Sequence[datetime], newest: int
    ) -> TextColumns:
        """Fit the reader for the first of the times, and take it further at each later one.

        It learns from the `newest` cut-offs whose windows have ended by then: at first by its recipe, then in a quarter
        of the epochs at a third of the learning rate.
        """
        stages: list[tuple[datetime, TextReader]] = []
        mean = axes = np.zeros(0, dtype=np.float32)
        for begin in since:
            ended = [at for at in examples.cutoffs if at + examples.task.horizon <= begin]
            if not ended:
                raise ConfigError(f"No window has ended by {begin:%Y-%m-%d}.", mend="Let the first reader begin later.")
            rows = np.flatnonzero(examples.at.is_in(ended[-newest:]).to_numpy())
            mine, theirs = examples.take(rows), past.take(rows)
            if stages:
                fitted = _further(stages[-1][1], mine, theirs)
            else:
                fitted = reader.fit(mine, theirs)
                mean, axes = main_directions(fitted.states(mine.hide(), theirs))
            stages.append((begin, fitted))
        return cls(tuple(stages), mean, axes)

    @property
    def newest(self) -> TextReader:
        """The reader that would serve."""
        return self.stages[-1][1]

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """What it says of each example, float32 (n, columns); NaN where it is asked before there was any reader."""
        names = [f"text_{i}" for i in range(self.axes.shape[1])] + [f"text_{part}" for part in said_by(task.answer)]
        values = np.full((len(examples), len(names)), np.nan, dtype=np.float32)
        every = turns([since for since, _ in self.stages], examples.at)
        for (_, reader), rows in zip(self.stages, every, strict=True):
            if len(rows):
                states = reader.states(examples.take(rows), past.take(rows))
                # Before calibration, which is the first one's: the trees find their own thresholds.
                said = reader.answer(states)
                values[rows] = np.column_stack([(states - self.mean) @ self.axes, as_columns(task.answer, said)])
        return values, tuple(names)


def _further(reader: TextReader, examples: Examples, past: Past) -> TextReader:
    """A fitted reader that has also learned from these."""
    method, recipe = method_of(reader.method), reader.recipe
    gentler = replace(
        recipe,
        epochs=max(1, recipe.epochs // 4),
        fewest_steps=0,
        rate=recipe.rate / 3,
        learning_rate=None if recipe.learning_rate is None else recipe.learning_rate / 3,
        head_learning_rate=recipe.head_learning_rate / 3,
    )
    network = copy.deepcopy(reader.network)
    run = Run(method, gentler, reader.objective.loss(reader.task.answer), progress=reader.progress)
    return reader.with_network(network, finetune_text(network, reader.lessons(examples, past), run))
