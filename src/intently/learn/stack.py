"""What a fitted reader says, as columns for boosted trees: the stack is those trees with these columns.

Out of time: the reader is fitted on cut-offs before `reader_until`; rows asked earlier get no
columns (NaN), so the trees learn how far to trust the reader from rows it has not been fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from intently.contract import Examples, Past, Ranking, Shares, Task, YesNo
from intently.learn.reader import FittedReader
from intently.log.pack import Array

_BLOCK = 256
_KEPT = 12
_VECTOR = 12


@dataclass(frozen=True)
class ReaderColumns:
    """Columns of customers, of (customer, item) pairs, and of (customer, label) cells.

    `axes` (width, 12) are the main directions of the reader's states, learned by `of`.
    """

    reader: FittedReader
    reader_until: datetime
    mean: Array
    axes: Array
    _memo: list[dict[str, Any]] = field(default_factory=list, repr=False, compare=False)

    @classmethod
    def of(cls, reader: FittedReader, reader_until: datetime, past: Past) -> ReaderColumns:
        """Learn the main directions of the states of some customers' pasts."""
        states = reader.read(past)["state"]
        mean = states.mean(axis=0)
        axes = np.linalg.svd(states - mean, full_matrices=False)[2][:_VECTOR].T
        # The sign of a direction is arbitrary; the largest weight is made positive.
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
        return cls(reader, reader_until, mean, axes)

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """The reader's vector (12 main directions) and its answers, float32 (n, columns)."""
        names = [f"reader_{i}" for i in range(self.axes.shape[1])]
        for mine in self.reader.tasks:
            if isinstance(mine.answer, YesNo):
                names.append(f"reader_{mine.name}")
            elif not isinstance(mine.answer, Ranking | Shares):
                names += [f"reader_{mine.name}_{part}" for part in ("mean", "low", "median", "high")]
        values = np.full((len(examples), len(names)), np.nan, dtype=np.float32)
        later = np.flatnonzero((examples.at >= self.reader_until).to_numpy())
        if len(later):
            answers = self.reader.read(past if len(later) == len(examples) else past.take(later))
            parts = [(answers["state"] - self.mean) @ self.axes]
            for mine in self.reader.tasks:
                if isinstance(mine.answer, YesNo):
                    parts.append(answers[mine.name])
                elif not isinstance(mine.answer, Ranking | Shares):
                    parts.append(answers[mine.name][:, [0, 2, 10, 18]])
            values[later] = np.concatenate(parts, axis=1)
        return values, tuple(names)

    def top(self, examples: Examples, past: Past, k: int) -> Array:
        """The k items the reader would rank first, codes (n, k)."""
        return self._ranked(examples.task, past, k)["top"][:, :k]

    def pairs(
        self, examples: Examples, past: Past, example_index: Array, item_code: Array
    ) -> tuple[Array, tuple[str, ...]]:
        """Of each pair: log of the reader's softmax over the catalogue, and the part owed to text and taste alone."""
        found = self._ranked(examples.task, past, 0)
        answers = self.reader.read(past)
        vectors, bias = self.reader.item_vectors(past)
        taste = np.empty(len(item_code), dtype=np.float32)
        for begin in range(0, len(taste), 200_000):
            part = slice(begin, begin + 200_000)
            query = answers[examples.task.name][example_index[part]]
            taste[part] = np.einsum("ij,ij->i", query, vectors[item_code[part]])
        plain = taste + bias[item_code]
        items = len(vectors)
        key = answers[f"{examples.task.name}.memory_now"] * items + answers[f"{examples.task.name}.memory_item"]
        order = np.argsort(key)
        more = np.zeros(len(taste), dtype=np.float32)
        if len(key):
            wanted = example_index.astype(np.int64) * items + item_code
            place = np.minimum(np.searchsorted(key, wanted, sorter=order), len(key) - 1)
            place = order[place]
            met = key[place] == wanted
            more[met] = answers[f"{examples.task.name}.memory_more"][place[met]]
        log_share = plain + more - found["log_total"][example_index]
        return np.stack([log_share, taste, plain], axis=1), ("reader_log_share", "reader_taste", "reader_plain")

    def cells(
        self, task: Task, examples: Examples, past: Past, labels: tuple[str, ...]
    ) -> tuple[Array, tuple[str, ...]]:
        """The reader's share of each label, (n, labels, 1)."""
        mine = self.reader.labels[task.name].labels
        values = np.full((len(examples), len(labels), 1), np.nan, dtype=np.float32)
        later = np.flatnonzero((examples.at >= self.reader_until).to_numpy())
        if len(later):
            answers = self.reader.read(past if len(later) == len(examples) else past.take(later))[task.name]
            place = {name: i for i, name in enumerate(mine)}
            for column, name in enumerate(labels):
                if name in place:
                    values[later, column, 0] = answers[:, place[name]]
        return values, ("reader_share",)

    def _ranked(self, task: Task, past: Past, k: int) -> dict[str, Any]:
        """The reader's first `k` items and the log of its softmax's denominator, of each asked customer.

        The newest few are kept: the stack and its opponent ask the same.
        """
        import torch

        for kept in self._memo:
            if kept["top"].shape[1] >= k and past.same_as(kept["past"]):
                return kept
        mine = next(each for each in self.reader.tasks if each.name == task.name)
        top = np.empty((len(past), k), dtype=np.int64)
        log_total = np.empty(len(past), dtype=np.float32)
        for begin in range(0, len(past), _BLOCK):
            rows = np.arange(begin, min(begin + _BLOCK, len(past)))
            logits = torch.from_numpy(self.reader.logits(mine, past, rows))
            top[rows] = logits.topk(k, dim=1).indices.numpy()
            log_total[rows] = logits.logsumexp(dim=1).numpy()
        found = {"past": past, "top": top, "log_total": log_total}
        self._memo.append(found)
        del self._memo[:-_KEPT]
        return found
