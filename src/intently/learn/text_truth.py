"""The truths of examples as the head of a text reader takes them."""

from __future__ import annotations

import numpy as np
import polars as pl

from intently.contract import Amount, Examples, OneOf, Ranking, Shares, YesNo
from intently.errors import ConfigError, TooFewExamples
from intently.log.pack import Array


def values_of(examples: Examples) -> Array:
    """Truths as a head takes them, (n,) float32: labels as their numbers in the task's order.

    Raises TooFewExamples where all are the same, and ConfigError where a label is not the task's.
    """
    task, truth = examples.task, examples.truth
    if len(truth) == 0 or truth.n_unique() < 2:
        raise TooFewExamples(
            f"The truth of {task.name} is the same for all {len(truth)} examples.",
            mend="Nothing can be learned from one class: bring a longer log, or leave the task out with --tasks.",
        )
    match task.answer:
        case YesNo() | Amount():
            return truth.cast(pl.Float32).to_numpy()
        case OneOf(labels=labels):
            strange = sorted(set(truth.to_list()) - set(labels))
            if strange:
                raise ConfigError(
                    f"{task.name} knows the labels {list(labels)}, but a truth is {strange[0]!r}.",
                    mend="Add the label to the task, or map it to one of these.",
                )
            number = {label: place for place, label in enumerate(labels)}
            return np.array([number[value] for value in truth], dtype=np.float32)
        case Ranking() | Shares():
            raise ConfigError(f"A text reader does not answer {task.name}.", mend="Use the sequence reader.")
