"""Texts with labels as examples of a question about an event: what the benches on public texts share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from intently.contract import AT, TRUTH, EachEvent, Examples, OneOf, Task
from intently.log import schema
from intently.log.log import Log

_WHEN = datetime(2024, 1, 1, tzinfo=UTC)


def question(labels: tuple[str, ...]) -> Task:
    """Which of these labels a message has."""
    return Task(
        name="label",
        asks=EachEvent("message", timedelta(days=7)),
        answer=OneOf(labels),
        horizon=timedelta(days=1),
        truth=pl.col("label").last(),
        absent=None,
        wording={"en": "Which label does this text have?", "zh": "这段文字属于哪一类?"},
        sees=(schema.TEXT,),
    )


def asked(task: Task, texts: Sequence[str] | pl.Series, truth: Sequence[str] | pl.Series | None = None) -> Examples:
    """Each text as an asked event, with its label where that is known."""
    frame = pl.DataFrame(
        {
            schema.EVENT: range(len(texts)),
            schema.USER: [f"c{number}" for number in range(len(texts))],
            schema.TEXT: texts,
            AT: pl.Series([_WHEN] * len(texts), dtype=schema.CLOCK),
        }
    )
    return Examples(task, frame if truth is None else frame.with_columns(pl.Series(TRUTH, truth)))


def nothing() -> Log:
    """A log in which nobody who is asked has a past."""
    return Log.of(pl.DataFrame({schema.USER: ["nobody"], schema.TYPE: ["view"], schema.TIME: [_WHEN]}))
