"""Answers as a table, and who gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
import polars as pl

from intently.contract.answers import OTHER, QUANTILES, Amount, Answer, OneOf, Ranking, Shares, YesNo
from intently.contract.past import Past
from intently.contract.task import AT, TRUTH, Examples, Task
from intently.log.pack import Array, codes


@dataclass(frozen=True)
class Scores:
    """A table of answers, float32.

    YesNo: `values` (n, 1) probability. OneOf and Shares: (n, labels), rows sum to 1, `labels` names
    the columns. Amount: (n, 1 + 19) mean and the QUANTILES. Ranking: (n, k) scores of `ids` (n, k),
    best first.
    """

    answer: Answer
    values: Array
    labels: tuple[str, ...] = ()
    ids: Array | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Array) -> Scores:
        """The scores at these row numbers."""
        return replace(self, values=self.values[rows], ids=None if self.ids is None else self.ids[rows])

    def head(self, k: int) -> Scores:
        """The first k places of a Ranking."""
        return replace(self, values=self.values[:, :k], ids=None if self.ids is None else self.ids[:, :k])

    def quantile(self, level: float) -> Array:
        """The quantile of an Amount at one of QUANTILES, shape (n,)."""
        return self.values[:, 1 + QUANTILES.index(level)]

    def frame(self, examples: Examples) -> pl.DataFrame:
        """One row per asked one (per asked one and rank for a Ranking), with its original id and `at`.

        A label has a column of its name; one that is called as the id or `at` is, `label_at`.
        """
        who = examples.frame.select(examples.task.key, AT)
        match self.answer:
            case YesNo():
                return who.with_columns(pl.Series("score", self.values[:, 0]))
            case Amount():
                columns = {"mean": self.values[:, 0], "low": self.values[:, 1], "high": self.values[:, -1]}
                return who.with_columns(pl.Series(name, values) for name, values in columns.items())
            case OneOf() | Shares():
                names = _columns(self.labels, who.columns)
                return who.with_columns(pl.Series(name, self.values[:, i]) for i, name in enumerate(names))
            case Ranking(of=of):
                assert self.ids is not None
                n, k = self.values.shape
                ranked = who[np.repeat(np.arange(n), k)].with_columns(
                    pl.Series(of, self.ids.reshape(-1)),
                    pl.Series("score", self.values.reshape(-1)),
                    pl.Series("rank", np.tile(np.arange(1, k + 1, dtype=np.int32), n)),
                )
                return ranked.filter(pl.col("score").is_finite())


def _columns(labels: Sequence[str], taken: Sequence[str]) -> list[str]:
    """A column's name for each label: its own where that is free."""
    used, names = {*taken, *labels}, []
    for label in labels:
        name = label
        while name in taken or (name != label and name in used):
            name = f"label_{name}"
        names.append(name)
    return names


class Predictor(Protocol):
    """Anything that learns from examples and their past, and answers."""

    @property
    def name(self) -> str:
        """How reports call it."""
        ...

    def answers(self, task: Task) -> bool:
        """Whether it can answer this kind of question."""
        ...

    def fit(self, examples: Examples, past: Past) -> Self:
        """Learn from examples with truth. Raises TooFewExamples where there is nothing to learn."""
        ...

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Answer questions; the truth is hidden."""
        ...


@dataclass(frozen=True)
class ShareLabels:
    """The labels of a Shares answer, fixed at fit; anything else is "other", the last column."""

    labels: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, examples: Examples) -> ShareLabels:
        """Every label that the truths of the examples name, in alphabetic order."""
        named = examples.frame.select(pl.col(TRUTH).list.explode().struct.field("label")).to_series()
        return cls((*sorted(set(named.drop_nulls().to_list()) - {OTHER}), OTHER))

    def encode(self, examples: Examples) -> Array:
        """Truths as a matrix (n, labels) whose rows sum to 1, float32."""
        return share_matrix(examples.truth, self.labels)


def share_matrix(truth: pl.Series, labels: Sequence[str]) -> Array:
    """Lists of (label, weight) as rows of shares over `labels`; unknown labels go to "other"."""
    table = pl.DataFrame({"row": np.arange(len(truth)), TRUTH: truth}).explode(TRUTH).unnest(TRUTH)
    column = codes(table["label"].cast(pl.String), pl.Series(list(labels), dtype=pl.String))
    column = np.where(column < 0, len(labels) - 1, column)
    matrix = np.zeros((len(truth), len(labels)), dtype=np.float64)
    np.add.at(matrix, (table["row"].to_numpy(), column), table["weight"].cast(pl.Float64).to_numpy())
    return (matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
