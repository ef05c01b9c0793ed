"""A question as a value, and its examples: who is asked, when, and what came true.

Windows are half-open: `[at, at + horizon)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import polars as pl

from intently.contract.answers import Answer
from intently.errors import ConfigError, TooFewExamples
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array

AT = "at"
TRUTH = "truth"


@dataclass(frozen=True)
class Everyone:
    """Every `key` (user_id or item_id) known before a cut-off, where `among` holds over its past rows."""

    key: str
    among: pl.Expr | None = None


@dataclass(frozen=True)
class EachEvent:
    """Every event of `kind` known in `[cut-off, cut-off + span)`, asked at the time it was known."""

    kind: str
    span: timedelta


@dataclass(frozen=True)
class Task:
    """A question as a value.

    `truth` is one aggregating expression over the asked one's own rows (events joined with their
    items) in `[at, at + horizon)`; for an event question, over the rows whose `about` is that event.
    `absent` is the truth where there are no rows at all; None leaves the asked one out. `sees` are
    the columns of the asked event that a predictor may read. `must_beat` names the predictor that
    a report compares with first. `written` is the table of a shop's config that it was made from
    (see `own.task`), None where it was written in Python.
    """

    name: str
    asks: Everyone | EachEvent
    answer: Answer
    horizon: timedelta
    truth: pl.Expr
    absent: Any
    wording: Mapping[str, str]
    sees: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    must_beat: str = "constant"
    written: Mapping[str, Any] | None = None

    @property
    def key(self) -> str:
        """The column that names who is asked: user_id, item_id or event_id."""
        return self.asks.key if isinstance(self.asks, Everyone) else schema.EVENT

    def examples(self, log: Log, cutoffs: Iterable[datetime]) -> Examples:
        """Everyone asked at each cut-off, with the truth. Windows not wholly observed are dropped."""
        self._check(log)
        with self._types(log):
            frames = [
                self._truths(log, self._asked(log, at), at)
                for at in sorted(set(cutoffs))
                if log.observed_from <= at and at + self.horizon <= log.observed_until
            ]
        if not frames:
            raise TooFewExamples(
                f"No window of {duration(self.horizon)} for {self.name} is wholly observed between "
                f"{log.observed_from:%Y-%m-%d} and {log.observed_until:%Y-%m-%d}.",
                mend="Choose earlier cut-offs, or bring a longer log.",
            )
        # Spans of events may overlap; an event is asked once.
        return Examples(self, pl.concat(frames).unique([self.key, AT], keep="first", maintain_order=True))

    def questions(self, log: Log, at: datetime) -> Examples:
        """Everyone asked at `at`, without truth: what a prediction needs."""
        self._check(log)
        with self._types(log):
            return Examples(self, self._asked(log, at))

    def looking_back(self, log: Log, at: datetime) -> Examples:
        """Everyone asked at `at`, with what was true of them over the horizon that ends then: [at - horizon, at).

        The level of today, for what is learned from older windows. Who came during that horizon is among them.
        """
        assert isinstance(self.asks, Everyone), "an event has nothing behind it that is about it"
        self._check(log)
        known = log.before(at)
        with self._types(log):
            return Examples(self, self._truths(known, self._asked(known, at), at - self.horizon))

    def is_asked(self, one: object, log: Log, at: datetime) -> bool:
        """Whether somebody known before `at` is asked then: whether `among` holds over their past rows."""
        match self.asks:
            case Everyone(key=key, among=among) if among is not None:
                self._check(log)
                mine = replace(log, events=log.events.filter(pl.col(key) == one))
                return not self._asked(mine, at).is_empty()
            case _:
                return True

    def _needed(self) -> set[str]:
        """The columns of events and items that the question reads."""
        match self.asks:
            case Everyone(key=key, among=among):
                needed = {key, *(() if among is None else among.meta.root_names())}
            case EachEvent():
                needed = {schema.EVENT, schema.ABOUT}
        return {*needed, *self.truth.meta.root_names()}

    @contextmanager
    def _types(self, log: Log) -> Iterator[None]:
        """What polars says of a column of another type than the question is about, as a ConfigError."""
        try:
            yield
        except pl.exceptions.PolarsError as error:
            types = {**log.items.schema, **log.events.schema}
            read = ", ".join(f"{name!r} ({types[name]})" for name in sorted(self._needed()) if name in types)
            raise ConfigError(
                f"Task {self.name} cannot be asked of {read}: {str(error).splitlines()[0]}.",
                mend="Bring the columns in another type, or leave the task out with --tasks.",
            ) from error

    def _check(self, log: Log) -> None:
        joined = log.items.columns if schema.ITEM in log.events.columns else []
        missing = sorted(self._needed() - {*log.events.columns, *joined})
        if missing:
            raise ConfigError(
                f"Task {self.name} reads {missing}, which the log does not have.",
                mend=f"Bring the column, or leave the task out with --tasks. There are {log.events.columns}.",
            )

    def _asked(self, log: Log, at: datetime) -> pl.DataFrame:
        match self.asks:
            case Everyone(key=key, among=among):
                rows = _with_items(log, log.before(at).events.filter(pl.col(key).is_not_null()), among)
                rows = rows if among is None else _in_time(rows)
                asked = rows.group_by(key).agg((pl.lit(value=True) if among is None else among).alias("_in"))
                asked = asked.filter(pl.col("_in")).select(key).sort(key)
            case EachEvent(kind=kind, span=span):
                rows = log.before(at + span).events.filter(
                    pl.col(schema.TYPE) == kind, pl.col(schema.EVENT).is_not_null()
                )
                new = rows.join(log.before(at).events.select(schema.EVENT), on=schema.EVENT, how="anti")
                when = pl.max_horizontal(pl.col(f"^({schema.TIME}|{schema.ARRIVED})$"))
                ids = [name for name in (schema.EVENT, schema.USER, schema.ITEM) if name in new.columns]
                seen = [name for name in self.sees if name in new.columns and name not in ids]
                return new.select(*ids, when.alias(AT), *seen)
        return asked.with_columns(pl.lit(at).cast(schema.CLOCK).alias(AT))

    def _truths(self, log: Log, asked: pl.DataFrame, at: datetime) -> pl.DataFrame:
        truth = self.truth.alias(TRUTH)
        match self.asks:
            case Everyone(key=key):
                window = _in_time(_with_items(log, log.between(at, at + self.horizon), truth))
                found = window.group_by(key).agg(truth)
                joined = asked.join(found, on=key, how="left", maintain_order="left", coalesce=True)
                absent = pl.col(key).is_in(found[key].implode()).not_()
            case EachEvent():
                spoken = log.events.filter(pl.col(schema.ABOUT).is_not_null())
                when = asked.select(pl.col(schema.EVENT).alias(schema.ABOUT), AT)
                window = _with_items(log, spoken.join(when, on=schema.ABOUT), truth).filter(
                    (pl.col(schema.TIME) >= pl.col(AT)) & (pl.col(schema.TIME) < pl.col(AT) + self.horizon)
                )
                found = _in_time(window).group_by(schema.ABOUT).agg(truth)
                asked = asked.filter(pl.col(AT) + self.horizon <= log.observed_until)
                joined = asked.join(
                    found, left_on=schema.EVENT, right_on=schema.ABOUT, how="left", maintain_order="left"
                )
                absent = pl.col(schema.EVENT).is_in(found[schema.ABOUT].implode()).not_()
        if self.absent is not None:
            joined = joined.with_columns(pl.when(absent).then(pl.lit(self.absent)).otherwise(TRUTH).alias(TRUTH))
        return joined


def _in_time(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in the order in which they happened, not in which they became known: the last is the last of its time."""
    # Without arrival times both are one.
    return rows.sort(schema.TIME, maintain_order=True) if schema.ARRIVED in rows.columns else rows


def _with_items(log: Log, rows: pl.DataFrame, expression: pl.Expr | None) -> pl.DataFrame:
    """Rows joined with the item columns that the expression reads, and no others."""
    names = set() if expression is None else set(expression.meta.root_names())
    needed = [name for name in log.items.columns if name in names and name not in rows.columns]
    return rows.join(log.items.select(schema.ITEM, *needed), on=schema.ITEM, how="left") if needed else rows


@dataclass(frozen=True)
class Examples:
    """A table of questions: the asked id, `at`, and (unless hidden) `truth`; null truths are left out.

    `left_out` counts the asked ones without a truth.
    """

    task: Task
    frame: pl.DataFrame
    left_out: int = 0

    def __post_init__(self) -> None:
        if TRUTH in self.frame.columns and self.frame[TRUTH].null_count():
            kept = self.frame.filter(pl.col(TRUTH).is_not_null())
            object.__setattr__(self, "left_out", self.left_out + len(self.frame) - len(kept))
            object.__setattr__(self, "frame", kept)

    def __len__(self) -> int:
        return len(self.frame)

    def hide(self) -> Examples:
        """The same questions without the truth."""
        if TRUTH not in self.frame.columns:
            return self
        return Examples(self.task, self.frame.drop(TRUTH, strict=False))

    def where(self, keep: Array | pl.Expr) -> Examples:
        """The examples for which a boolean array or expression holds."""
        return replace(self, frame=self.frame.filter(keep), left_out=0)

    def take(self, rows: Array) -> Examples:
        """The examples at these row numbers, in this order."""
        return replace(self, frame=self.frame[rows], left_out=0)

    @property
    def asked(self) -> pl.Series:
        """Who is asked: ids of the task's key."""
        return self.frame[self.task.key]

    @property
    def household(self) -> pl.Series:
        """What is resampled whole in a bootstrap: the customer, or the item where items are asked."""
        return self.frame[schema.USER if schema.USER in self.frame.columns else schema.ITEM]

    @property
    def asked_event(self) -> pl.DataFrame:
        """For an event question: the columns of the asked event that the task lets a predictor see."""
        return self.frame.select([name for name in self.task.sees if name in self.frame.columns])

    @property
    def at(self) -> pl.Series:
        """When each is asked, UTC."""
        return self.frame[AT]

    @cached_property
    def first(self) -> datetime:
        """The earliest time asked at; there must be an example."""
        first = self.at.min()
        assert isinstance(first, datetime)
        return first

    @property
    def truth(self) -> pl.Series:
        """The truths, as the task's expression gives them."""
        return self.frame[TRUTH]

    @property
    def cutoffs(self) -> list[datetime]:
        """The distinct times asked at, in order."""
        return self.at.unique().sort().to_list()


def pooled(parts: Sequence[Examples]) -> Examples:
    """Examples of one task, laid end to end."""
    return replace(parts[0], frame=pl.concat([part.frame for part in parts]), left_out=sum(p.left_out for p in parts))


def duration(length: timedelta) -> str:
    """A length of time as it is said: 14 days, 1 day, 36 hours; in hours where it is not whole days."""
    hours = length.total_seconds() / 3600
    count, unit = (hours, "hour") if hours % 24 else (hours / 24, "day")
    return f"{count:g} {unit}{'' if count == 1 else 's'}"


def weekly(first: datetime, last: datetime) -> list[datetime]:
    """Cut-offs a week apart, the last of them `last`, none before `first`."""
    count = (last - first) // timedelta(days=7)
    return [last - timedelta(days=7 * back) for back in range(count, -1, -1)]
