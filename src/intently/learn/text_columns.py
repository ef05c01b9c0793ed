"""What text readers say, as columns for boosted trees: the stack of a question that is asked about customers in words.

Out of time, as in `stack.py`: every row is read by a reader fitted on windows that end before it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from intently.contract import Examples, Past, Task
from intently.learn.rolling import turns
from intently.learn.stack import as_columns, said_by
from intently.learn.text_reader import TextReader
from intently.log.pack import Array


@dataclass(frozen=True)
class TextColumns:
    """Text readers of one question with the time from which each is used, oldest first. A `Reading`."""

    stages: tuple[tuple[datetime, TextReader], ...]

    @classmethod
    def of(
        cls, reader: TextReader, examples: Examples, past: Past, since: Sequence[datetime], newest: int
    ) -> TextColumns:
        """Fit the reader anew for each of the times, oldest first.

        It learns from the `newest` cut-offs whose windows have ended by then: of as many each time, so that all are
        alike good, and trees may trust the last as far as those that they have met.
        """
        stages = []
        for begin in since:
            ended = [at for at in examples.cutoffs if at + examples.task.horizon <= begin]
            rows = np.flatnonzero(examples.at.is_in(ended[-newest:]).to_numpy())
            stages.append((begin, reader.fit(examples.take(rows), past.take(rows))))
        return cls(tuple(stages))

    @property
    def newest(self) -> TextReader:
        """The reader that would serve."""
        return self.stages[-1][1]

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """What it says of each example, float32 (n, columns); NaN where it is asked before there was any reader."""
        names = said_by(task.answer)
        values = np.full((len(examples), len(names)), np.nan, dtype=np.float32)
        every = turns([since for since, _ in self.stages], examples.at)
        for (_, reader), rows in zip(self.stages, every, strict=True):
            if len(rows):
                scores = reader.predict(examples.take(rows), past.take(rows))
                values[rows] = as_columns(task.answer, scores.values)
        return values, tuple(f"text_{name}" for name in names)
