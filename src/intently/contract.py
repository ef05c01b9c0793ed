"""The core types: a Task asks, a Predictor answers, and time is cut here.

With `Log`, this is the only code that compares an event's time with a cut-off; everyone else
reads `age`. Windows are half-open: `[at, at + horizon)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, Self

import numpy as np
import polars as pl

from intently.errors import ConfigError, TooFewExamples
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array, Order, codes, days, hour_of_week
from intently.log.packed import PackedLog

AT = "at"
TRUTH = "truth"
OTHER = "other"

# Sums over pasts are taken this many rows at a time, so that a log larger than memory can be read.
_ROWS_AT_ONCE = 4_000_000

# An amount is answered by its mean and these quantiles; `low` and `high` are the outer two.
QUANTILES = tuple(round(0.05 * step, 2) for step in range(1, 20))


# --- Answers: a closed union. The kind alone picks head, loss, calibration and metrics. ---


@dataclass(frozen=True)
class YesNo:
    """A probability that something happens."""


@dataclass(frozen=True)
class OneOf:
    """Exactly one of `labels`; `absent` is the label where nothing happens, if that is an answer."""

    labels: tuple[str, ...]
    absent: str | None = None


@dataclass(frozen=True)
class Amount:
    """A quantity that is never negative, in `unit`."""

    unit: str


@dataclass(frozen=True)
class Ranking:
    """Ids in order of likelihood. With `unseen`, only ids that nobody had bought before `at`."""

    of: str
    unseen: bool = False


@dataclass(frozen=True)
class Shares:
    """Shares over the values of `of` that sum to one; labels are fixed at fit, the rest is "other"."""

    of: str


Answer = YesNo | OneOf | Amount | Ranking | Shares


# --- Who is asked, and when. ---


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
        frames = [
            self._truths(log, self._asked(log, at), at)
            for at in sorted(set(cutoffs))
            if log.observed_from <= at and at + self.horizon <= log.observed_until
        ]
        if not frames:
            raise TooFewExamples(
                f"No window of {self.horizon.days} days for {self.name} is wholly observed between "
                f"{log.observed_from:%Y-%m-%d} and {log.observed_until:%Y-%m-%d}.",
                mend="Choose earlier cut-offs, or bring a longer log.",
            )
        # Spans of events may overlap; an event is asked once.
        return Examples(self, pl.concat(frames).unique([self.key, AT], keep="first", maintain_order=True))

    def questions(self, log: Log, at: datetime) -> Examples:
        """Everyone asked at `at`, without truth: what a prediction needs."""
        self._check(log)
        return Examples(self, self._asked(log, at))

    def _check(self, log: Log) -> None:
        match self.asks:
            case Everyone(key=key, among=among):
                needed = {key, *(() if among is None else among.meta.root_names())}
            case EachEvent():
                needed = {schema.EVENT, schema.ABOUT}
        joined = log.items.columns if schema.ITEM in log.events.columns else []
        missing = sorted({*needed, *self.truth.meta.root_names()} - {*log.events.columns, *joined})
        if missing:
            raise ConfigError(
                f"Task {self.name} reads {missing}, which the log does not have.",
                mend=f"Bring the column, or leave the task out with --tasks. There are {log.events.columns}.",
            )

    def _asked(self, log: Log, at: datetime) -> pl.DataFrame:
        match self.asks:
            case Everyone(key=key, among=among):
                rows = _with_items(log, log.before(at).events.filter(pl.col(key).is_not_null()), among)
                asked = rows.group_by(key).agg((pl.lit(value=True) if among is None else among).alias("_in"))
                asked = asked.filter(pl.col("_in")).select(key).sort(key)
            case EachEvent(kind=kind, span=span):
                rows = log.before(at + span).events.filter(
                    pl.col(schema.TYPE) == kind, pl.col(schema.EVENT).is_not_null()
                )
                new = rows.join(log.before(at).events.select(schema.EVENT), on=schema.EVENT, how="anti")
                when = pl.max_horizontal(pl.col(f"^({schema.TIME}|{schema.ARRIVED})$"))
                ids = [name for name in (schema.EVENT, schema.USER, schema.ITEM) if name in new.columns]
                return new.select(*ids, when.alias(AT), *[name for name in self.sees if name not in ids])
        return asked.with_columns(pl.lit(at).cast(schema.CLOCK).alias(AT))

    def _truths(self, log: Log, asked: pl.DataFrame, at: datetime) -> pl.DataFrame:
        truth = self.truth.alias(TRUTH)
        match self.asks:
            case Everyone(key=key):
                window = _with_items(log, log.between(at, at + self.horizon), truth)
                found = window.group_by(key).agg(truth)
                joined = asked.join(found, on=key, how="left", maintain_order="left", coalesce=True)
                absent = pl.col(key).is_in(found[key].implode()).not_()
            case EachEvent():
                spoken = log.events.filter(pl.col(schema.ABOUT).is_not_null())
                when = asked.select(pl.col(schema.EVENT).alias(schema.ABOUT), AT)
                window = _with_items(log, spoken.join(when, on=schema.ABOUT), truth).filter(
                    (pl.col(schema.TIME) >= pl.col(AT)) & (pl.col(schema.TIME) < pl.col(AT) + self.horizon)
                )
                found = window.group_by(schema.ABOUT).agg(truth)
                asked = asked.filter(pl.col(AT) + self.horizon <= log.observed_until)
                joined = asked.join(
                    found, left_on=schema.EVENT, right_on=schema.ABOUT, how="left", maintain_order="left"
                )
                absent = pl.col(schema.EVENT).is_in(found[schema.ABOUT].implode()).not_()
        if self.absent is not None:
            joined = joined.with_columns(pl.when(absent).then(pl.lit(self.absent)).otherwise(TRUTH).alias(TRUTH))
        return joined


def _with_items(log: Log, rows: pl.DataFrame, expression: pl.Expr | None) -> pl.DataFrame:
    """Rows joined with the item columns that the expression reads, and no others."""
    names = set() if expression is None else set(expression.meta.root_names())
    needed = [name for name in log.items.columns if name in names and name not in rows.columns]
    return rows.join(log.items.select(schema.ITEM, *needed), on=schema.ITEM, how="left") if needed else rows


# --- Examples, and the only way to the past. ---


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

    @property
    def truth(self) -> pl.Series:
        """The truths, as the task's expression gives them."""
        return self.frame[TRUTH]

    @property
    def cutoffs(self) -> list[datetime]:
        """The distinct times asked at, in order."""
        return self.at.unique().sort().to_list()


@dataclass(frozen=True)
class Rows:
    """Earlier events of many examples laid end to end, oldest first within an example.

    `example` says whose event it is, `age` is days from the event to that example's `at` (> 0; what
    arrived late stands where it became known), `moment` numbers runs of rows of one example with one
    timestamp (a basket), `hour_of_week` is the event's hour, 0 (Monday 00:00 UTC) to 167. The other
    arrays are as in `pack.Order`.
    """

    example: Array
    age: Array
    moment: Array
    hour_of_week: Array
    user: Array
    item: Array
    event_type: Array
    quantity: Array
    amount: Array
    extra: Mapping[str, Array]

    def __len__(self) -> int:
        return len(self.age)


@dataclass(frozen=True)
class Histories:
    """Each asked one's events once, shared by its examples at several cut-offs.

    `rows.example` numbers histories, not examples, and `rows.age` counts from the history's latest
    `at`. Example i may see the first `visible[i]` rows of history `history[i]`, and is asked
    `asked_age[i]` days before that latest `at`, at `asked_hour[i]` of the week. `start` are offsets
    of histories in `rows`.
    """

    rows: Rows
    start: Array
    history: Array
    visible: Array
    asked_age: Array
    asked_hour: Array


class Past:
    """What was known before each example's `at`: slices of the pack, and the shop as it stood then."""

    def __init__(self, log: Log | PackedLog, examples: Examples) -> None:
        self._log = log
        self._examples = examples
        pack = log.pack
        self._by_item = schema.USER not in examples.frame.columns
        self._order: Order = pack.by_item if self._by_item else pack.by_user
        ids, found = (pack.item_ids, pack.item_codes) if self._by_item else (pack.user_ids, pack.user_codes)
        self.code = found.codes(examples.household.cast(ids.dtype, strict=False))
        self._at = examples.at.dt.epoch("us").to_numpy()
        key = np.maximum(self.code, 0)
        self._start = self._order.offsets[key].astype(np.int64)
        stop = self._order.stop_before(key, self._at)
        self._stop = np.where(self.code < 0, self._start, stop)

    def __len__(self) -> int:
        return len(self.code)

    @property
    def lengths(self) -> Array:
        """How many earlier events each example has, int64."""
        return self._stop - self._start

    @property
    def items(self) -> pl.DataFrame:
        """The catalogue in the order of item codes: what is said of each item, and nothing dated."""
        ids = pl.DataFrame({schema.ITEM: self._log.pack.item_ids})
        return ids.join(self._log.items, on=schema.ITEM, how="left", maintain_order="left")

    @property
    def users(self) -> pl.DataFrame:
        """What is said of each customer, in the order of user codes."""
        ids = pl.DataFrame({schema.USER: self._log.pack.user_ids})
        return ids.join(self._log.users, on=schema.USER, how="left", maintain_order="left")

    @property
    def event_types(self) -> tuple[str, ...]:
        """Names of the event type codes."""
        return self._log.pack.event_types

    def take(self, rows: Array) -> Past:
        """The past of the examples at these row numbers."""
        return Past(self._log, self._examples.take(rows))

    def rows(self, last: int | None = None) -> Rows:
        """Every example's earlier events (the newest `last` of them), end to end."""
        start = self._start if last is None else np.maximum(self._start, self._stop - last)
        return self._rows(start, self._stop, self._at)

    def count(self, days: float | None = None) -> Array:
        """How many events became known in the `days` before each `at` (all, without `days`)."""
        return self._stop - self._since(days)

    def total(self, values: str, days: float | None = None) -> Array:
        """Sum of a numeric column over events that became known in the `days` before each `at`, float64."""
        since, total = self._since(days), np.zeros(len(self))
        for asked in _parts(np.maximum(self.code, 0), self.lengths, _ROWS_AT_ONCE):
            start, stop, begin = self._start[asked], self._stop[asked], since[asked]
            running, first = self._running(values, start, stop)
            before = np.where(begin > start, running[first + begin - start], 0.0)
            total[asked] = np.where(stop > begin, running[first + stop - start] - before, 0.0)
        return total

    def histories(self, last: int | None = None) -> Histories:
        """Each asked one's events once, up to its latest `at`, for examples at several cut-offs.

        With `last`, a history keeps the newest `last` events before the *earliest* `at` and all after.
        """
        code, history = np.unique(self.code, return_inverse=True)
        latest = np.zeros(len(code), dtype=np.int64)
        np.maximum.at(latest, history, self._at)
        stop = np.zeros(len(code), dtype=np.int64)
        np.maximum.at(stop, history, self._stop)
        start = np.full(len(code), np.iinfo(np.int64).max)
        np.minimum.at(start, history, self._start if last is None else np.maximum(self._start, self._stop - last))
        rows = self._rows(start, stop, latest)
        offsets = np.concatenate([[0], np.cumsum(stop - start)])
        return Histories(
            rows,
            offsets,
            history.astype(np.int64),
            self._stop - start[history],
            days(latest[history] - self._at),
            hour_of_week(self._at),
        )

    def shop(self, at: datetime) -> Log:
        """The whole shop's log as it stood at `at`, which must be one of the examples' times."""
        if at not in self._ats:
            raise ConfigError(f"The shop at {at} is not part of this past.", mend="Ask at a time of the examples.")
        return self._log.before(at)

    def rows_in(self, other: Past) -> Array | None:
        """The row in another past of each example of this one; None where it does not have them all."""
        if self._log is not other._log or self._by_item != other._by_item:
            return None
        times = np.unique(other._at)
        number = np.minimum(np.searchsorted(times, self._at), len(times) - 1)
        if not len(times) or (times[number] != self._at).any():
            return None
        width = int(other.code.max(initial=0)) + 2
        mine = number * width + self.code + 1
        theirs = np.searchsorted(times, other._at) * width + other.code + 1
        order = np.argsort(theirs, kind="stable")
        place = order[np.minimum(np.searchsorted(theirs, mine, sorter=order), len(theirs) - 1)]
        return place if (theirs[place] == mine).all() and (self.code < width - 1).all() else None

    @property
    def learned_until(self) -> datetime:
        """The end of the last window whose truth the examples show; `at` where the truth is hidden."""
        last = self._examples.at.max()
        assert isinstance(last, datetime)
        return last + self._examples.task.horizon if TRUTH in self._examples.frame.columns else last

    @cached_property
    def _ats(self) -> set[datetime]:
        return {*self._examples.cutoffs, self.learned_until}

    def _since(self, days: float | None) -> Array:
        if days is None:
            return self._start
        key = np.maximum(self.code, 0)
        since = self._order.stop_before(key, self._at - round(days * 86_400_000_000))
        return np.where(self.code < 0, self._start, since)

    def _running(self, name: str, start: Array, stop: Array) -> tuple[Array, Array]:
        """Sums from each asked one's first row on, and where theirs begin; who is asked twice is read once."""
        values = getattr(self._order, name) if name in ("quantity", "amount") else self._order.extra[name]
        begin, who = np.unique(start, return_inverse=True)
        end = begin.copy()
        np.maximum.at(end, who, stop)
        key = np.repeat(np.arange(len(begin)), end - begin)
        first = np.cumsum(end - begin) - (end - begin)
        row = np.arange(len(key)) + (begin - first)[key]
        # One sum a key: a sum over several would round by what others do, and by what comes later.
        table = pl.DataFrame({"key": key, "value": np.asarray(values).take(row).astype(np.float64)})
        running = table.select(pl.col("value").cum_sum().over("key"))["value"].to_numpy()
        return np.concatenate([[0.0], running]), first[who]

    def _rows(self, start: Array, stop: Array, at: Array) -> Rows:
        length = stop - start
        example = np.repeat(np.arange(len(length)), length)
        offset = np.cumsum(length) - length
        index = np.arange(length.sum()) - np.repeat(offset - start, length)
        order = self._order

        def read(column: Array) -> Array:
            # The same rows of a memory map, at half the cost of indexing the map itself.
            return np.asarray(column).take(index)

        time = read(order.time)
        new = np.ones(len(index), dtype=bool)
        new[1:] = (time[1:] != time[:-1]) | (example[1:] != example[:-1])
        return Rows(
            example=example,
            age=days(at[example] - time),
            moment=np.cumsum(new) - 1,
            hour_of_week=hour_of_week(time),
            user=read(order.user),
            item=read(order.item),
            event_type=read(order.event_type),
            quantity=read(order.quantity),
            amount=read(order.amount),
            extra={name: read(values) for name, values in order.extra.items()},
        )


def _parts(key: Array, length: Array, rows: int) -> Iterator[Array]:
    """Example numbers in parts of about so many rows; the examples of one key stay together."""
    order = np.argsort(key, kind="stable")
    longest = np.zeros(len(key), dtype=np.int64)
    new = np.flatnonzero(np.diff(key[order], prepend=-1))
    if len(new):
        longest[new] = np.maximum.reduceat(length[order], new)
    part = (np.cumsum(longest) - longest) // rows
    # An example goes with the first of its key.
    part = part[np.repeat(new, np.diff(new, append=len(key)))]
    yield from np.split(order, np.flatnonzero(np.diff(part)) + 1)


def together(pasts: Sequence[Past]) -> tuple[Examples, Past, list[Array]]:
    """One past for the questions of several tasks, each (customer, at) once, without truth.

    Also gives, for each of `pasts`, the row in the common past of each of its examples.
    """
    frames = [past._examples.frame.select(schema.USER, AT) for past in pasts]
    union = pl.concat(frames).unique(maintain_order=True).with_row_index("row")
    rows = [frame.join(union, on=[schema.USER, AT], how="left", maintain_order="left")["row"] for frame in frames]
    examples = Examples(pasts[0]._examples.task, union.drop("row"))
    return examples, Past(pasts[0]._log, examples), [row.cast(pl.Int64).to_numpy() for row in rows]


# --- Scores, and who gives them. ---


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

    def quantile(self, level: float) -> Array:
        """The quantile of an Amount at one of QUANTILES, shape (n,)."""
        return self.values[:, 1 + QUANTILES.index(level)]

    def frame(self, examples: Examples) -> pl.DataFrame:
        """One row per asked one (per asked one and rank for a Ranking), with its original id and `at`."""
        who = examples.frame.select(examples.task.key, AT)
        match self.answer:
            case YesNo():
                return who.with_columns(pl.Series("score", self.values[:, 0]))
            case Amount():
                columns = {"mean": self.values[:, 0], "low": self.values[:, 1], "high": self.values[:, -1]}
                return who.with_columns(pl.Series(name, values) for name, values in columns.items())
            case OneOf() | Shares():
                return who.with_columns(pl.Series(name, self.values[:, i]) for i, name in enumerate(self.labels))
            case Ranking(of=of):
                assert self.ids is not None
                n, k = self.values.shape
                ranked = who[np.repeat(np.arange(n), k)].with_columns(
                    pl.Series(of, self.ids.reshape(-1)),
                    pl.Series("score", self.values.reshape(-1)),
                    pl.Series("rank", np.tile(np.arange(1, k + 1, dtype=np.int32), n)),
                )
                return ranked.filter(pl.col("score").is_finite())


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


def pooled(parts: Sequence[Examples]) -> Examples:
    """Examples of one task, laid end to end."""
    return replace(parts[0], frame=pl.concat([part.frame for part in parts]), left_out=sum(p.left_out for p in parts))


def weekly(first: datetime, last: datetime) -> list[datetime]:
    """Cut-offs a week apart, the last of them `last`, none before `first`."""
    count = (last - first) // timedelta(days=7)
    return [last - timedelta(days=7 * back) for back in range(count, -1, -1)]


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
