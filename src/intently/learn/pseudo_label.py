"""Learning from texts without labels: what a reader is sure of teaches it again (pseudo-labels, Lee 2013).

Only labels given with enough confidence are taken, and of each label at most as many as the labels' balance allows:
without it, the label that is easiest crowds out the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from intently.contract import TRUTH, Examples, OneOf, Past, YesNo
from intently.errors import ConfigError
from intently.learn.text_finetune import trained_on
from intently.learn.text_reader import TextReader
from intently.log.log import Log
from intently.log.pack import Array


@dataclass(frozen=True)
class Pseudo:
    """`rounds` of labelling and learning. A label is taken with at least this chance (`least`).

    Of one label at most `most` times the median number of all labels given are taken, the surest first.
    """

    rounds: int = 2
    least: float = 0.9
    most: float = 1.5


def confident(chances: Array, plan: Pseudo) -> tuple[Array, Array]:
    """Row numbers, and the label number of each, that are sure enough, balanced over labels; chances (n, labels)."""
    label, chance = chances.argmax(axis=1), chances.max(axis=1)
    sure = np.flatnonzero(chance >= plan.least)
    if not len(sure):
        return sure, label[sure]
    count = np.bincount(label[sure], minlength=chances.shape[1])
    allowed = max(1, int(plan.most * np.median(count[count > 0])))
    order = sure[np.argsort(-chance[sure], kind="stable")]
    place = pl.DataFrame({"label": label[order]}).select(place=pl.int_range(pl.len()).over("label"))["place"].to_numpy()
    kept = np.sort(order[place < allowed])
    return kept, label[kept]


def self_taught(
    reader: TextReader, labelled: Examples, unlabelled: Examples, log: Log, plan: Pseudo | None = None
) -> tuple[TextReader, list[int]]:
    """A reader that has learned from labels and from what it was sure of; and how many it was sure of, each round.

    Every round labels anew: what the reader no longer believes is dropped. What calibrates it are labels alone that it
    was not trained on: its own guesses are right by construction.
    """
    plan = plan or Pseudo()
    answer = labelled.task.answer
    if not isinstance(answer, OneOf | YesNo):
        raise ConfigError(f"{labelled.task.name} has no labels to guess.", mend="Use questions of yes or no or labels.")
    fitted, sure = reader.fit(labelled, Past(log, labelled)), []
    hidden, kept = unlabelled.hide(), trained_on(labelled, reader.recipe)
    taught, held = labelled.where(kept), labelled.where(~kept)
    untaught = replace(reader, fitted=None, recipe=replace(reader.recipe, held_out=0.0))
    for _ in range(plan.rounds):
        values = fitted.predict(hidden, Past(log, hidden)).values
        chances = np.column_stack([1 - values[:, 0], values[:, 0]]) if values.shape[1] == 1 else values
        rows, label = confident(chances, plan)
        sure.append(len(rows))
        if not len(rows):
            break
        truth = label == 1 if isinstance(answer, YesNo) else np.array(answer.labels)[label]
        guessed = hidden.frame[rows].with_columns(pl.Series(TRUTH, truth))
        together = Examples(labelled.task, pl.concat([taught.frame, guessed.select(labelled.frame.columns)]))
        fitted = replace(untaught.fit(together, Past(log, together)), recipe=reader.recipe)
        if len(held):
            fitted = fitted.calibrated_on(held, fitted.encoded(held.hide(), Past(log, held)))
    return fitted, sure
