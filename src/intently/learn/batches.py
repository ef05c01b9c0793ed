"""Batches of histories for the sequence reader: padded moments, flat lines, nows, and truths.

One batch holds a few histories with all the nows asked of them, so a history is read once however
many cut-offs it is asked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from intently.contract import (
    TRUTH,
    Amount,
    Examples,
    OneOf,
    Ranking,
    ShareLabels,
    Shares,
    Task,
    YesNo,
)
from intently.log.pack import codes
from intently.text.arrays import Sequences, ragged

if TYPE_CHECKING:
    import torch

Array = np.ndarray
Batch: TypeAlias = "dict[str, torch.Tensor]"

# What a batch says of its items, in the order in which a reader's items take it.
DESCRIBED = ("item_text", "item_delta", "item_count", "item_attribute", "item_attribute_start")

# Half-lives in days of the decayed counts by which a reader remembers what a customer bought.
HALF_LIVES = (7.0, 28.0, 84.0, 336.0)
MEMORY_FEATURES = len(HALF_LIVES) + 7

# Where histories are packed: at most so many a row; a place costs as much as so many pairs of places do in attention.
_MOST_A_ROW = 16
_PLACE_COSTS = 64


@dataclass(frozen=True)
class Catalogue:
    """Each item as a reader sees it, by item code, with one more row for "no item" at the end.

    `text` is the number of its text vector, `delta` the row of its learned part (0: none), `count`
    how often it was met in training, `label` per Shares task its label number. `event_type` gives the
    reader's number of each event type of the log. Row i has the attribute values
    `attribute[attribute_start[i] : attribute_start[i + 1]]`, where items have attributes.
    """

    text: Array
    delta: Array
    count: Array
    event_type: Array
    label: Mapping[str, Array] = field(default_factory=dict)
    attribute: Array | None = None
    attribute_start: Array | None = None

    def __len__(self) -> int:
        return len(self.text) - 1

    def described(self, items: Array) -> dict[str, Array]:
        """What a reader is told of some items (row numbers), by the names of DESCRIBED."""
        told = {
            "item_text": self.text[items].astype(np.int64),
            "item_delta": self.delta[items].astype(np.int64),
            "item_count": self.count[items].astype(np.float32),
        }
        if self.attribute is not None and self.attribute_start is not None:
            start, stop = self.attribute_start[items], self.attribute_start[items + 1]
            place, _ = ragged(start, stop)
            told["item_attribute"] = self.attribute[place].astype(np.int64)
            told["item_attribute_start"] = (np.cumsum(stop - start) - (stop - start)).astype(np.int64)
        return told


@dataclass(frozen=True)
class Truths:
    """The truths of one task for the nows of a common past: `row[i]` is the example of now i, or -1.

    `values`: YesNo and Amount (n,), OneOf (n,) label numbers, Shares (n, labels), all float32;
    Ranking: `values` are item codes end to end with `offsets`.
    """

    task: Task
    row: Array
    values: Array
    offsets: Array | None = None


def encode_truths(examples: Examples, now: Array, nows: int, item_ids: object, labels: ShareLabels) -> Truths:
    """The truths of examples, where `now[i]` is the now of example i among `nows`."""
    row = np.full(nows, -1, dtype=np.int64)
    row[now] = np.arange(len(examples))
    truth = examples.frame[TRUTH]
    match examples.task.answer:
        case YesNo() | Amount():
            return Truths(examples.task, row, truth.cast(float).to_numpy().astype(np.float32))
        case OneOf(labels=names):
            return Truths(examples.task, row, np.array([names.index(value) for value in truth], dtype=np.float32))
        case Shares():
            return Truths(examples.task, row, labels.encode(examples))
        case Ranking():
            items = codes(truth.explode(), item_ids)  # type: ignore[arg-type]
            offsets = np.concatenate([[0], np.cumsum(truth.list.len().to_numpy())]).astype(np.int64)
            return Truths(examples.task, row, items, offsets)


@dataclass(frozen=True)
class Batches:
    """Makes batches of histories out of sequences. A torch Dataset of history numbers, and its collator.

    `numbers` (nows, columns) is what is told of each now outright. With `pretrain` a batch asks every moment for the
    next one, with `last_only` the last but one alone. `negatives` shared by a batch stand for the whole catalogue;
    with none, `whole` hands over the catalogue itself. Where items are not `described` they are named by their codes
    alone: who reads has the vectors of all. With `longest`, so many moments are read of a history's end, whoever is
    asked; what is seen of a past is for `text.arrays.newest` to say. `packed` puts several histories into a row, for
    less padding.
    """

    sequences: Sequences
    catalogue: Catalogue
    numbers: Array
    memories: tuple[Task, ...]
    truths: tuple[Truths, ...] = ()
    longest: int | None = None
    negatives: int = 0
    sampler: Array | None = None
    pretrain: bool = False
    last_only: bool = False
    whole: bool = False
    described: bool = True
    packed: bool = False

    def __len__(self) -> int:
        return self.sequences.histories

    def __getitem__(self, index: int) -> int:
        return int(index)

    @property
    def lengths(self) -> Array:
        """How many moments are read of each history."""
        found = self.sequences.lengths
        return found if self.longest is None else np.minimum(found, self.longest)

    @cached_property
    def now_order(self) -> tuple[Array, Array]:
        """Nows sorted by history, and the offsets of histories in that order."""
        order = np.argsort(self.sequences.history, kind="stable")
        counts = np.bincount(self.sequences.history, minlength=self.sequences.histories)
        return order, np.concatenate([[0], np.cumsum(counts)])

    def collate(self, histories: Array) -> Batch:
        """One batch of these histories, as a Trainer takes it."""
        import torch

        return tensors(self.arrays(histories)) | {"labels": torch.zeros(1)}

    def arrays(self, histories: Array) -> dict[str, Array]:
        """One batch of these histories; no torch is needed where nothing is drawn."""
        return _arrays(self, histories.astype(np.int64))


def tensors(batch: Mapping[str, Array]) -> Batch:
    """A batch as tensors."""
    import torch

    return {name: torch.from_numpy(values) for name, values in batch.items()}


def remembers(task: Task) -> bool:
    """Whether a task's head uses what the customer met before."""
    return isinstance(task.answer, Ranking | Shares)


def _arrays(data: Batches, chosen: Array) -> dict[str, Array]:
    seq = data.sequences
    stop = seq.moment_start[chosen + 1]
    start = seq.moment_start[chosen] + seq.skipped[chosen]
    if data.longest is not None:
        start = np.maximum(start, stop - data.longest)
    moment, owner = ragged(start, stop)
    rows, longest, first = _rows(stop - start, data.packed)
    size = rows * longest
    slot = first[owner] + moment - start[owner]
    asks = (moment < stop[owner] - 1) & (moment >= (stop - 2 if data.last_only else start)[owner])
    lines, line_moment = ragged(seq.line_start[moment], seq.line_start[moment + 1])
    now_order, now_start = data.now_order if data.truths or not data.pretrain else (np.zeros(0, int), None)
    if now_start is None:
        nows, now_owner = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    else:
        position, now_owner = ragged(now_start[chosen], now_start[chosen + 1])
        nows = now_order[position]
    visible = seq.visible[nows] - (start - seq.moment_start[chosen])[now_owner]
    visible = np.maximum(visible, 0)
    last = seq.moment_start[seq.history[nows]] + np.maximum(seq.visible[nows] - 1, 0)
    last_age = seq.moment_age[np.minimum(last, len(seq.moment_age) - 1)] if len(seq.moment_age) else np.zeros(len(nows))
    since = np.where(seq.visible[nows] > 0, last_age - seq.now_age[nows], 400.0)
    counts = seq.line_start[moment + 1] - seq.line_start[moment]
    batch: dict[str, Array] = {
        "moment_numbers": _padded(
            np.stack(
                [
                    np.log1p(seq.moment_gap[moment]),
                    np.log1p(np.maximum(seq.moment_amount[moment], 0)),
                    np.log1p(counts),
                ],
                axis=1,
            ),
            slot,
            size,
        ).reshape(rows, longest, 3),
        "moment_hour": _padded(seq.moment_hour[moment], slot, size).reshape(rows, longest),
        "moment_age": _padded(seq.moment_age[moment], slot, size).reshape(rows, longest),
        "asking": slot[asks],
        "line_slot": slot[line_moment],
        "line_type": data.catalogue.event_type[seq.event_type[lines]].astype(np.int64),
        "line_numbers": np.stack(
            [np.log1p(np.abs(seq.quantity[lines])), np.log1p(np.abs(seq.amount[lines]))], axis=1
        ).astype(np.float32),
        "now_history": now_owner,
        "now_visible": visible,
        "now_age": seq.now_age[nows].astype(np.float32),
        "now_hour": seq.now_hour[nows].astype(np.int64),
        "now_told": data.numbers[nows],
        "now_numbers": np.stack(
            [np.log1p(np.maximum(since, 0)), np.log1p(visible), np.log1p(_tenure(seq, nows))], axis=1
        ).astype(np.float32),
    }
    if data.packed:
        batch["moment_history"] = _padded(owner + 1, slot, size).reshape(rows, longest)
    items = _Items(len(data.catalogue), data.whole, data.described)
    batch["line_item"], batch["line_of_item"] = items.add(seq.item[lines]), seq.item[lines] >= 0
    if data.negatives and data.sampler is not None:
        import torch

        # Drawn from torch's generator, whose state a checkpoint keeps.
        rng = np.random.default_rng(int(torch.randint(0, 2**31 - 1, (1,))))
        drawn = np.searchsorted(data.sampler, rng.random(data.negatives)).astype(np.int64)
        batch["negative"] = items.add(np.minimum(drawn, len(data.catalogue) - 1))
        width = np.diff(data.sampler, prepend=0.0)
        batch["negative_log_q"] = np.log(width[np.minimum(drawn, len(data.catalogue) - 1)] * data.negatives).astype(
            np.float32
        )
    if data.memories and len(nows):
        now_lines = _Visible(seq, nows)
        for task in data.memories:
            key = seq.item if isinstance(task.answer, Ranking) else None
            _remember(data, task, key, now_lines, len(nows), items, batch)
    for truths in data.truths:
        _aim(truths, nows, items, batch)
    batch |= items.table(data.catalogue)
    return {name: np.ascontiguousarray(values) for name, values in batch.items()}


def _rows(length: Array, packed: bool) -> tuple[int, int, Array]:
    """How many rows of how many places hold histories of these lengths, and the slot each begins at.

    Packed, each row gets as many histories: dealt out to and fro, the longest first, so that rows come out alike.
    """
    histories = len(length)
    rows, longest = histories, max(int(length.max(initial=0)), 1)
    if not packed:
        return rows, longest, np.arange(histories) * longest
    order = np.argsort(-length, kind="stable")
    sorted_length = length[order]
    best = None
    for each in range(1, min(histories, _MOST_A_ROW) + 1):
        tried = -(-histories // each)
        turn, place = np.divmod(np.arange(histories), tried)
        row = np.where(turn % 2, tried - 1 - place, place)
        width = max(int(np.bincount(row, weights=sorted_length).max()), 1)
        cost = tried * width * (width + _PLACE_COSTS)
        if best is None or cost < best[0]:
            best = cost, tried, width, row
    assert best is not None
    _, rows, longest, row = best
    # Within a row those before: histories sorted by row, the running total less that of the rows before.
    by_row = np.argsort(row, kind="stable")
    before = np.cumsum(sorted_length[by_row]) - sorted_length[by_row]
    starts = np.searchsorted(row[by_row], np.arange(rows))
    first = np.empty(histories, dtype=np.int64)
    first[order[by_row]] = row[by_row] * longest + before - before[starts][row[by_row]]
    return rows, longest, first


class _Items:
    """Numbers the distinct items of a batch; those of the catalogue where it is handed over `whole`, or not at all."""

    def __init__(self, none: int, whole: bool, described: bool) -> None:
        self._none, self._whole, self._described = none, whole, described
        self._parts: list[Array] = []
        self._slots: list[Array] = []

    def add(self, item: Array) -> Array:
        """Registers item codes; the returned array is filled with batch numbers by `table`."""
        slot = np.empty(len(item), dtype=np.int64)
        self._parts.append(np.where(item < 0, self._none, item))
        self._slots.append(slot)
        return slot

    def table(self, catalogue: Catalogue) -> dict[str, Array]:
        if self._whole or not self._described:
            for slot, part in zip(self._slots, self._parts, strict=True):
                slot[:] = part
            return catalogue.described(np.arange(len(catalogue) + 1)) if self._described else {}
        distinct, number = np.unique(np.concatenate(self._parts), return_inverse=True)
        begin = 0
        for slot in self._slots:
            slot[:] = number[begin : begin + len(slot)]
            begin += len(slot)
        return catalogue.described(distinct)


class _Visible:
    """Every (now, line) pair in which the now may see the line."""

    def __init__(self, seq: Sequences, nows: Array) -> None:
        begin = seq.moment_start[seq.history[nows]]
        end = begin + seq.visible[nows]
        moments, self.moment_now = ragged(begin, end)
        self.line, pair = ragged(seq.line_start[moments], seq.line_start[moments + 1])
        self.now = self.moment_now[pair]
        self.age = seq.moment_age[moments][pair] - seq.now_age[nows][self.now]


def _remember(
    data: Batches, task: Task, key: Array | None, pairs: _Visible, nows: int, items: _Items, batch: dict[str, Array]
) -> None:
    """Decayed counts of each (now, item) or (now, label) the customer has met before."""
    item = data.sequences.item[pairs.line]
    known = item >= 0
    value = item if key is not None else data.catalogue.label[task.name][item]
    now, age, value = pairs.now[known], pairs.age[known], value[known].astype(np.int64)
    size = int(value.max(initial=0)) + 1
    cell, place = np.unique(now * size + value, return_inverse=True)
    n = len(cell)
    columns: list[Array] = [np.bincount(place, weights=np.exp2(-age / half), minlength=n) for half in HALF_LIVES]
    columns.append(np.bincount(place, minlength=n))
    recent, first = np.full(n, np.inf, dtype=np.float32), np.zeros(n, dtype=np.float32)
    np.minimum.at(recent, place, age)
    np.maximum.at(first, place, age)
    gap = np.where(columns[-1] > 1, (first - recent) / np.maximum(columns[-1] - 1, 1), 0.0)
    columns += [recent, first, gap, np.where(gap > 0, recent / np.maximum(gap, 0.5), 0.0)]
    owner = cell // size
    for weighed in (columns[1], columns[2]):
        total = np.bincount(owner, weights=weighed, minlength=nows)
        columns.append(weighed / np.maximum(total[owner], 1e-9) + 1e-3)
    # In float32, whose logs numpy takes several at once.
    logs = np.array(columns, dtype=np.float32)
    logs[:-2] += 1
    np.log(logs, out=logs)
    logs[-2:] = logs[-2:] / 3 + 2
    batch[f"memory.{task.name}.now"] = owner
    batch[f"memory.{task.name}.value"] = items.add(cell % size) if key is not None else cell % size
    batch[f"memory.{task.name}.features"] = np.ascontiguousarray(logs.T)
    batch[f"memory.{task.name}.code"] = cell % size


def _aim(truths: Truths, nows: Array, items: _Items, batch: dict[str, Array]) -> None:
    row = truths.row[nows]
    has = np.flatnonzero(row >= 0)
    name = truths.task.name
    batch[f"truth.{name}.now"] = has
    if truths.offsets is None:
        batch[f"truth.{name}.value"] = truths.values[row[has]]
        return
    place, owner = ragged(truths.offsets[row[has]], truths.offsets[row[has] + 1])
    met = truths.values[place] >= 0
    batch[f"truth.{name}.owner"] = owner[met]
    batch[f"truth.{name}.value"] = items.add(truths.values[place[met]])
    batch[f"truth.{name}.code"] = truths.values[place[met]].astype(np.int64)


def _tenure(seq: Sequences, nows: Array) -> Array:
    first = np.minimum(seq.moment_start[seq.history[nows]], max(len(seq.moment_age) - 1, 0))
    age = seq.moment_age[first] if len(seq.moment_age) else np.zeros(len(nows), dtype=np.float32)
    return np.where(seq.visible[nows] > 0, np.maximum(age - seq.now_age[nows], 0), 0)


def _padded(values: Array, slot: Array, size: int) -> Array:
    kind = np.int64 if values.dtype.kind in "iu" else np.float32
    result = np.zeros((size, *values.shape[1:]), dtype=kind)
    result[slot] = values
    return result
