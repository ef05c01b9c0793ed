"""The training examples of a simple predictor: enough of them, in order, the last held out to choose its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from intently.baselines.catalogue import truth_pairs
from intently.contract import AT, Examples, Past, Task
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.pack import Array
from intently.metrics.ranking import Relevant, ndcg_at_10

_FEWEST = 20


def refuse_too_few(task: Task, found: str, count: int, *, differ: bool) -> None:
    """Raise TooFewExamples where under 20 are counted or they do not differ in what is to be learned."""
    if count < _FEWEST or not differ:
        raise TooFewExamples(
            f"{task.name} has {found}.",
            mend=f"Bring a longer log or more cut-offs: it takes {_FEWEST}, and of more than one kind.",
        )


def last_cutoffs(
    examples: Examples, past: Past, count: int = 2, at_most: int = 1500
) -> Iterator[tuple[datetime, Examples, Past]]:
    """The examples of the last `count` cut-offs, each with its past, newest first.

    At most `at_most` of each, evenly spaced. A log asked at many single times yields only those.
    """
    for at in reversed(examples.cutoffs[-count:]):
        rows = np.flatnonzero((examples.at == at).to_numpy())
        rows = rows[:: max(1, -(-len(rows) // at_most))]
        yield at, examples.take(rows), past.take(rows)


def in_order(examples: Examples, past: Past) -> tuple[Examples, Past]:
    """Both sorted by time and by who is asked, so that draws of row numbers do not hang on how they came."""
    keys = examples.frame.select(AT, examples.task.key).with_row_index("row")
    rows = keys.sort(AT, examples.task.key, maintain_order=True)["row"]
    if rows.is_sorted():
        return examples, past
    return examples.take(rows.to_numpy()), past.take(rows.to_numpy())


def ndcg(examples: Examples, past: Past, ranked: Array) -> float:
    """Mean NDCG at 10 of ranked item codes (n, >= 10), -1 for none."""
    row, item = truth_pairs(examples, past.items[schema.ITEM])
    order = np.argsort(row, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(examples)))])
    return float(ndcg_at_10(Relevant(offsets, item[order]), ranked).mean())
