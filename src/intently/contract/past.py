"""The only way to the past: what was known before each example's `at`, with ages instead of dates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol

import numpy as np
import polars as pl

from intently.contract.task import AT, TRUTH, Examples
from intently.errors import ConfigError
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array, Derived, Made, Order, Pack, days, hour_of_week
from intently.log.sets import distinct

# Sums over pasts are taken this many rows at a time, so that a log larger than memory can be read.
_ROWS_AT_ONCE = 4_000_000
# Rows of a past that are kept once read: a few customers' of a service, not a training's.
_KEPT = 100_000


@dataclass(frozen=True)
class Rows:
    """Earlier events of many examples laid end to end, oldest first within an example.

    `example` says whose event it is, `age` is days from the event to that example's `at` (> 0), `moment` numbers runs
    of rows of one example with one timestamp (a basket), `hour_of_week` is the event's hour, 0 (Monday 00:00 UTC) to
    167. The other arrays are as in `pack.Order`.
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

    Where events arrived late, what is known at one cut-off is not the beginning of what is known at the next: each
    example has a history of its own then. `rows.example` numbers histories, not examples, and `rows.age` counts from
    the history's latest `at`. Example i may see the first `visible[i]` rows of history `history[i]`, and is asked
    `asked_age[i]` days before that latest `at`, at `asked_hour[i]` of the week. `start` are offsets
    of histories in `rows`.
    """

    rows: Rows
    start: Array
    history: Array
    visible: Array
    asked_age: Array
    asked_hour: Array


class Known(Protocol):
    """What a past is read from: a `Log`, a `PackedLog`, or what a service knows of the customers asked about."""

    @property
    def pack(self) -> Pack:
        """Rows by customer and by item."""
        ...

    @property
    def catalogue(self) -> pl.DataFrame:
        """The items in the order of item codes, the same object each time it is asked for."""
        ...

    @property
    def derived(self) -> Derived:
        """What was made of the catalogue alone."""
        ...

    @property
    def users(self) -> pl.DataFrame:
        """What is said of each customer."""
        ...

    @property
    def written(self) -> pl.Series | None:
        """What customers wrote, by `Order.row`; None where texts are not kept."""
        ...

    def before(self, at: datetime) -> Log:
        """The whole shop as it stood at `at`."""
        ...


class Past:
    """What was known before each example's `at`: slices of the pack, and the shop as it stood then."""

    def __init__(self, log: Known, examples: Examples, found: tuple[Array, Array] | None = None) -> None:
        """`found` are the examples' codes and times (microseconds), where who asks knows them already."""
        self._log = log
        self._examples = examples
        pack = log.pack
        self._by_item = schema.USER not in examples.frame.columns
        self._order: Order = pack.by_item if self._by_item else pack.by_user
        self.code, self._at = _found(pack, examples, by_item=self._by_item) if found is None else found
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
        return self._log.catalogue

    def of_items(self, name: str, make: Callable[[], Made], owner: object = None) -> Made:
        """What `make` gives of the catalogue (and of what `owner` learned) alone: made once, for all pasts of a log."""
        return self._log.derived.of(name, owner, make)

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
        """The past of the examples at these row numbers; itself for all of them."""
        if len(rows) == len(self) and np.array_equal(rows, np.arange(len(rows))):
            return self
        return Past(self._log, self._examples.take(rows))

    def rows(self, last: int | None = None) -> Rows:
        """Every example's earlier events (the newest `last` of them), end to end."""
        if last is None and self.lengths.sum() <= _KEPT:
            return self._all_rows
        start = self._start if last is None else np.maximum(self._start, self._stop - last)
        return self._rows(self.code, start, self._stop, self._at)

    @cached_property
    def _all_rows(self) -> Rows:
        """Every row, of a past so short that several who read it may share them."""
        return self._rows(self.code, self._start, self._stop, self._at)

    def texts(self, last: int | None = None) -> pl.Series:
        """What the customer wrote in each of `rows(last)`; null where nothing, or where the pack keeps no texts."""
        start = self._start if last is None else np.maximum(self._start, self._stop - last)
        written, (index, _, _) = self._log.written, self._by_time(start, self._stop)
        if written is None:
            return pl.Series(schema.TEXT, [None] * len(index), dtype=pl.String)
        return written.cast(pl.String).gather(np.asarray(self._order.row).take(index))

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
        late = self._late(code, history)
        if late.any():
            # Those have a history an example, numbered behind the others.
            own = np.flatnonzero(late[history])
            code, history = np.append(code, self.code[own]), history.copy()
            history[own] = len(code) - len(own) + np.arange(len(own))
            kept, history = np.unique(history, return_inverse=True)
            code = code[kept]
        latest = np.zeros(len(code), dtype=np.int64)
        np.maximum.at(latest, history, self._at)
        stop = np.zeros(len(code), dtype=np.int64)
        np.maximum.at(stop, history, self._stop)
        start = np.full(len(code), np.iinfo(np.int64).max)
        np.minimum.at(start, history, self._start if last is None else np.maximum(self._start, self._stop - last))
        rows = self._rows(code, start, stop, latest)
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
        times = distinct(other._at)
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

    def _late(self, code: Array, history: Array) -> Array:
        """Of which asked ones some event became known after others that happened no earlier, bool (codes,)."""
        start, stop = np.full(len(code), np.iinfo(np.int64).max), np.zeros(len(code), dtype=np.int64)
        np.minimum.at(start, history, self._start)
        np.maximum.at(stop, history, self._stop)
        index, owner = _ranges(start, stop), np.repeat(np.arange(len(code)), stop - start)
        time, known = (np.asarray(column).take(index) for column in (self._order.time, self._order.known))
        # Of a basket a part may be known earlier: it is no moment that both cut-offs share.
        late = (time[1:] < time[:-1]) | ((time[1:] == time[:-1]) & (known[1:] > known[:-1]))
        found = np.zeros(len(code), dtype=bool)
        found[owner[1:][late & (owner[1:] == owner[:-1])]] = True
        return found

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

    def _by_time(self, start: Array, stop: Array) -> tuple[Array, Array, Array]:
        """Of the events `start` to `stop` of each asked one, the oldest first: place, time, and number of who asks."""
        index, asked = _ranges(start, stop), np.repeat(np.arange(len(start)), stop - start)
        # The same rows of a memory map, at half the cost of indexing the map itself.
        time = np.asarray(self._order.time).take(index)
        if ((time[1:] < time[:-1]) & (asked[1:] == asked[:-1])).any():
            order = np.lexsort([time, asked])
            index, time = index[order], time[order]
        return index, time, asked

    def _rows(self, code: Array, start: Array, stop: Array, at: Array) -> Rows:
        """The events `start` to `stop` of each asked one, whose code it is, end to end."""
        length, order = stop - start, self._order
        index, time, example = self._by_time(start, stop)

        def read(column: Array) -> Array:
            # The same rows of a memory map, at half the cost of indexing the map itself.
            return np.asarray(column).take(index)

        def asked(column: Array) -> Array:
            return np.repeat(code.astype(column.dtype), length)

        new = np.ones(len(index), dtype=bool)
        new[1:] = (time[1:] != time[:-1]) | (example[1:] != example[:-1])
        return Rows(
            example=example,
            age=days(at[example] - time),
            moment=np.cumsum(new) - 1,
            hour_of_week=hour_of_week(time),
            user=read(order.user) if self._by_item else asked(order.user),
            item=asked(order.item) if self._by_item else read(order.item),
            event_type=read(order.event_type),
            quantity=read(order.quantity),
            amount=read(order.amount),
            extra={name: read(values) for name, values in order.extra.items()},
        )


def _found(pack: Pack, examples: Examples, *, by_item: bool) -> tuple[Array, Array]:
    """The examples' codes in a pack, and their times."""
    ids, codes = (pack.item_ids, pack.item_codes) if by_item else (pack.user_ids, pack.user_codes)
    return codes.codes(examples.household.cast(ids.dtype, strict=False)), examples.at.dt.epoch("us").to_numpy()


def _ranges(start: Array, stop: Array) -> Array:
    """The integers of half-open ranges, end to end."""
    length = stop - start
    offset = np.cumsum(length) - length
    return np.asarray(np.arange(length.sum()) - np.repeat(offset - start, length))


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
