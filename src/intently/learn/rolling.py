"""A reader that is kept fresh: fitted, then taken further at later times; each question goes to the newest
reader that was fitted before it.

So every answer is out of time, and the reader that serves is as new as the rest of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from intently.contract import Examples, Past, Scores, Task
from intently.learn.fitted import FittedReader
from intently.log.pack import Array


def turns(since: Sequence[datetime], at: pl.Series) -> Iterator[Array]:
    """For each of some times, oldest first, the rows that are asked from it on and before the next."""
    for number, begin in enumerate(since):
        mine = at >= begin
        if number + 1 < len(since):
            mine &= at < since[number + 1]
        yield np.flatnonzero(mine.to_numpy())


@dataclass(frozen=True)
class Rolling:
    """Readers with the time from which each is used, oldest first. A Predictor of each of their tasks."""

    stages: tuple[tuple[datetime, FittedReader], ...]

    @property
    def name(self) -> str:
        """How reports call it."""
        return self.newest.name

    @property
    def newest(self) -> FittedReader:
        """The reader that serves."""
        return self.stages[-1][1]

    def answers(self, task: Task) -> bool:
        """Whether it was fine-tuned on this task."""
        return self.newest.answers(task)

    def fit(self, examples: Examples, past: Past) -> Rolling:
        """Itself: it has been fitted on all its tasks together."""
        return self

    def parts(self, examples: Examples, past: Past) -> Iterator[tuple[FittedReader, Array, Past]]:
        """Each reader with the rows that are its to answer and their past; rows before the first are nobody's."""
        since, newest = self.stages[-1]
        if len(examples) and examples.first >= since:
            yield newest, np.arange(len(examples)), past
            return
        every = turns([since for since, _ in self.stages], examples.at)
        for (_, reader), rows in zip(self.stages, every, strict=True):
            if len(rows):
                yield reader, rows, past if len(rows) == len(examples) else past.take(rows)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Answers of the newest reader fitted before each question (of the oldest, where none was)."""
        first, oldest = self.stages[0]
        if len(examples) and examples.first < first:
            return replace(self, stages=((examples.cutoffs[0], oldest), *self.stages[1:])).predict(examples, past)
        found: Scores | None = None
        for reader, rows, some in self.parts(examples, past):
            if len(rows) == len(examples):
                return reader.predict(examples, some)
            scores = reader.predict(examples.take(rows), some)
            if found is None:
                shape = (len(examples), scores.values.shape[1])
                ids = None if scores.ids is None else np.empty(shape, dtype=scores.ids.dtype)
                found = replace(scores, values=np.empty(shape, dtype=np.float32), ids=ids)
            found.values[rows] = scores.values
            if found.ids is not None and scores.ids is not None:
                found.ids[rows] = scores.ids
        return found if found is not None else self.newest.predict(examples, past)
