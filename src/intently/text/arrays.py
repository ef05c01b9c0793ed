"""Pasts as a reader's input: moments made of lines, and the *now* at which each question is asked.

No torch here: training and serving share this code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from intently.contract import Histories, Past

Array = np.ndarray

# How many moments before a question are read of a history.
LONGEST = 256


@dataclass(frozen=True)
class Sequences:
    """Histories laid end to end at three levels.

    Moments (what one customer did at one timestamp, such as a basket): `moment_age` days before the
    customer's latest question, `moment_gap` days since the moment before (0 for the first),
    `moment_hour` of the week, `moment_amount` money; `moment_start` offsets of histories, of which the
    first `skipped` moments are remembered and not read.
    Lines of moments: `item` code (-1 none), `event_type`, `quantity`, `amount`; `line_start` offsets
    of moments. Nows: whose `history`, how many `visible` moments, `now_age`, `now_hour`.
    """

    moment_start: Array
    skipped: Array
    moment_age: Array
    moment_gap: Array
    moment_hour: Array
    moment_amount: Array
    line_start: Array
    item: Array
    event_type: Array
    quantity: Array
    amount: Array
    history: Array
    visible: Array
    now_age: Array
    now_hour: Array

    @property
    def histories(self) -> int:
        """How many histories there are."""
        return len(self.moment_start) - 1

    @property
    def lengths(self) -> Array:
        """How many moments are read of each history, (histories,)."""
        return np.diff(self.moment_start) - self.skipped


def sequences(past: Past) -> Sequences:
    """The pasts of examples (asked of customers) as moments, lines and nows."""
    return from_histories(past.histories())


def newest(seq: Sequences, longest: int = LONGEST) -> Sequences:
    """The same nows, of whose histories only the newest moments are read: `longest` before the earliest now.

    So it has what it has when nobody is asked later too. Where the nows of a history lie further apart, it is there
    once for each stretch of them, and no now reads twice `longest` moments.
    """
    earliest = np.full(seq.histories, np.iinfo(np.int64).max)
    np.minimum.at(earliest, seq.history, seq.visible)
    stretch = (seq.visible - earliest[seq.history]) // longest
    if not stretch.any():
        stop = np.minimum(earliest, np.diff(seq.moment_start))
        return replace(seq, skipped=np.maximum(stop - longest, 0))
    stretches = int(stretch.max()) + 1
    part, history = np.unique(seq.history * stretches + stretch, return_inverse=True)
    first, last = np.full(len(part), np.iinfo(np.int64).max), np.zeros(len(part), dtype=np.int64)
    np.minimum.at(first, history, seq.visible)
    np.maximum.at(last, history, seq.visible)
    begin = seq.moment_start[part // stretches]
    moment, _ = ragged(begin, begin + last)
    line, _ = ragged(seq.line_start[moment], seq.line_start[moment + 1])
    return Sequences(
        moment_start=np.concatenate([[0], np.cumsum(last)]),
        skipped=np.maximum(first - longest, 0),
        moment_age=seq.moment_age[moment],
        moment_gap=seq.moment_gap[moment],
        moment_hour=seq.moment_hour[moment],
        moment_amount=seq.moment_amount[moment],
        line_start=np.concatenate([[0], np.cumsum(seq.line_start[moment + 1] - seq.line_start[moment])]),
        item=seq.item[line],
        event_type=seq.event_type[line],
        quantity=seq.quantity[line],
        amount=seq.amount[line],
        history=history,
        visible=seq.visible,
        now_age=seq.now_age,
        now_hour=seq.now_hour,
    )


def in_order(start: Array, item: Array) -> Sequences:
    """Histories of which only the order is known: items `item[start[i] : start[i + 1]]` one after another.

    Each is a moment of its own. Its age counts the steps to the end, so that what attention makes of time it makes of
    places. Each history is asked once, at its end.
    """
    count = len(item)
    none = np.zeros(count, dtype=np.float32)
    length = np.diff(start)
    histories = len(length)
    return Sequences(
        moment_start=start,
        skipped=np.zeros(histories, dtype=np.int64),
        moment_age=(np.repeat(start[1:], length) - np.arange(count)).astype(np.float32),
        moment_gap=none,
        moment_hour=np.zeros(count, dtype=np.int64),
        moment_amount=none,
        line_start=np.arange(count + 1),
        item=item,
        event_type=np.zeros(count, dtype=np.int64),
        quantity=none,
        amount=none,
        history=np.arange(histories),
        visible=length,
        now_age=np.zeros(histories, dtype=np.float32),
        now_hour=np.zeros(histories, dtype=np.int64),
    )


def from_histories(histories: Histories) -> Sequences:
    """Group the rows of histories into moments."""
    rows = histories.rows
    count = int(rows.moment[-1]) + 1 if len(rows) else 0
    first = np.searchsorted(rows.moment, np.arange(count))
    line_start = np.append(first, len(rows))
    moment_start = np.searchsorted(rows.example[first], np.arange(len(histories.start)))
    age = rows.age[first]
    gap = np.zeros(count, dtype=np.float32)
    gap[1:] = age[:-1] - age[1:]
    gap[moment_start[:-1][moment_start[:-1] < moment_start[1:]]] = 0
    begun = histories.start[histories.history] + histories.visible
    # A moment counts as visible once its first line is.
    visible = np.searchsorted(first, begun) - moment_start[histories.history]
    return Sequences(
        moment_start=moment_start,
        skipped=np.zeros(len(moment_start) - 1, dtype=np.int64),
        moment_age=age,
        moment_gap=np.maximum(gap, 0),
        moment_hour=rows.hour_of_week[first],
        moment_amount=np.add.reduceat(rows.amount, first) if count else np.zeros(0, dtype=np.float32),
        line_start=line_start,
        item=rows.item,
        event_type=rows.event_type,
        quantity=rows.quantity,
        amount=rows.amount,
        history=histories.history,
        visible=visible,
        now_age=histories.asked_age,
        now_hour=histories.asked_hour,
    )


def ragged(start: Array, stop: Array) -> tuple[Array, Array]:
    """The integers of many half-open ranges end to end, and which range each belongs to."""
    length = stop - start
    owner = np.repeat(np.arange(len(length)), length)
    return np.arange(length.sum()) - np.repeat(np.cumsum(length) - length - start, length), owner
