"""What a fitted reader says, as columns for boosted trees: the stack is those trees with these columns.

Out of time: every row is read by a reader fitted on windows that end before it is asked; rows asked
before there was any reader get no columns (NaN), so the trees learn how far to trust a reader on
windows that it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intently.contract import Amount, Answer, Examples, OneOf, Past, Ranking, Shares, Task, YesNo
from intently.learn.fitted import FittedReader
from intently.learn.rolling import Rolling
from intently.log.pack import Array

_VECTOR = 12


def said_by(answer: Answer) -> tuple[str, ...]:
    """The names of the columns that an answer becomes; a ranking's and shares' stand by pair and by cell instead."""
    match answer:
        case YesNo():
            return ("chance",)
        case OneOf(labels=labels):
            return labels
        case Amount():
            return ("mean", "low", "median", "high")
        case Ranking() | Shares():
            return ()


def as_columns(answer: Answer, values: Array) -> Array:
    """Of answers in the shape of `Scores.values` the columns that `said_by` names."""
    return values[:, [0, 2, 10, 18]] if isinstance(answer, Amount) else values


def main_directions(states: Array) -> tuple[Array, Array]:
    """The mean of states (n, width), and the 12 directions (width, 12) in which they differ most."""
    mean = states.mean(axis=0)
    axes = np.linalg.svd(states - mean, full_matrices=False)[2][:_VECTOR].T
    # The sign of a direction is arbitrary; the largest weight is made positive.
    return mean, axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])


@dataclass(frozen=True)
class ReaderColumns:
    """Columns of customers, of (customer, item) pairs, and of (customer, label) cells.

    `axes` (width, 12) are the main directions of the reader's states, learned by `of`.
    """

    rolling: Rolling
    mean: Array
    axes: Array

    @classmethod
    def of(cls, rolling: Rolling, past: Past) -> ReaderColumns:
        """Learn the main directions of the first reader's states of some customers' pasts."""
        return cls(rolling, *main_directions(rolling.stages[0][1].read(past)["state"]))

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """The reader's vector (12 main directions) and its answers, float32 (n, columns)."""
        names = [f"reader_{i}" for i in range(self.axes.shape[1])]
        single = [mine for mine in self.rolling.newest.tasks if not isinstance(mine.answer, Ranking | Shares)]
        for mine in single:
            names += [f"reader_{mine.name}_{part}" for part in said_by(mine.answer)]
        values = np.full((len(examples), len(names)), np.nan, dtype=np.float32)
        for reader, rows, some in self.rolling.parts(examples, past):
            answers = reader.read(some)
            parts = [(answers["state"] - self.mean) @ self.axes]
            for mine in single:
                parts.append(as_columns(mine.answer, answers[mine.name]))
            values[rows] = np.concatenate(parts, axis=1)
        return values, tuple(names)

    def top(self, examples: Examples, past: Past, k: int) -> Array:
        """The k items the reader would rank first, codes (n, k); -1 where there was no reader yet."""
        found = np.full((len(examples), k), -1, dtype=np.int64)
        for reader, rows, some in self.rolling.parts(examples, past):
            top = reader.ranked(examples.task, some).top[:, :k]
            found[rows, : top.shape[1]] = top
        return found

    def pairs(
        self, examples: Examples, past: Past, example_index: Array, item_code: Array
    ) -> tuple[Array, tuple[str, ...]]:
        """Of each pair: log of the reader's softmax over the catalogue, and the part owed to text and taste alone."""
        values = np.full((len(item_code), 3), np.nan, dtype=np.float32)
        for reader, rows, some in self.rolling.parts(examples, past):
            place = np.full(len(examples), -1, dtype=np.int64)
            place[rows] = np.arange(len(rows))
            mine = np.flatnonzero(place[example_index] >= 0)
            values[mine] = self._pairs(reader, examples.task, some, place[example_index[mine]], item_code[mine])
        return values, ("reader_log_share", "reader_taste", "reader_plain")

    def _pairs(self, reader: FittedReader, task: Task, past: Past, example: Array, item: Array) -> Array:
        log_total = reader.log_totals(task, past)
        answers = reader.read(past)
        vectors, bias = reader.item_vectors(past)
        taste = np.empty(len(item), dtype=np.float32)
        for begin in range(0, len(taste), 200_000):
            part = slice(begin, begin + 200_000)
            taste[part] = np.einsum("ij,ij->i", answers[task.name][example[part]], vectors[item[part]])
        plain = taste + bias[item]
        key = answers[f"{task.name}.memory_now"] * len(vectors) + answers[f"{task.name}.memory_item"]
        more = np.zeros(len(taste), dtype=np.float32)
        if len(key):
            order = np.argsort(key)
            wanted = example.astype(np.int64) * len(vectors) + item
            place = order[np.minimum(np.searchsorted(key, wanted, sorter=order), len(key) - 1)]
            met = key[place] == wanted
            more[met] = answers[f"{task.name}.memory_more"][place[met]]
        return np.stack([plain + more - log_total[example], taste, plain], axis=1)

    def cells(
        self, task: Task, examples: Examples, past: Past, labels: tuple[str, ...]
    ) -> tuple[Array, tuple[str, ...]]:
        """The reader's share of each label, (n, labels, 1)."""
        values = np.full((len(examples), len(labels), 1), np.nan, dtype=np.float32)
        for reader, rows, some in self.rolling.parts(examples, past):
            answers = reader.read(some)[task.name]
            place = {name: i for i, name in enumerate(reader.labels[task.name].labels)}
            for column, name in enumerate(labels):
                if name in place:
                    values[rows, column, 0] = answers[:, place[name]]
        return values, ("reader_share",)
