"""What comes next, with no task: every moment of a history asks for the items of the one after it.

For a shop that has ids in order and no more (`Orders`: no clock, no money), and for histories as a log has them. Items
may have attributes and texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from intently.errors import ConfigError, DataError
from intently.learn.batches import Batches, Catalogue
from intently.learn.finetune import Network, pretrain
from intently.learn.recipe import Recipe
from intently.log.pack import Array
from intently.text.arrays import Sequences, in_order, newest, ragged
from intently.text.language_model import Progress, silent

_AT_ONCE = 512


@dataclass(frozen=True)
class Orders:
    """Histories end to end: history i holds the items `item[start[i] : start[i + 1]]`, the oldest first."""

    start: Array
    item: Array

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def length(self) -> Array:
        """How many items each history holds, (n,)."""
        return np.diff(self.start)

    def without_last(self, count: int) -> Orders:
        """The same histories, the last `count` items of each left out."""
        stop = np.maximum(self.start[1:] - count, self.start[:-1])
        place, _ = ragged(self.start[:-1], stop)
        return Orders(np.concatenate([[0], np.cumsum(stop - self.start[:-1])]), self.item[place])

    @property
    def last(self) -> Array:
        """The last item of each history, (n,)."""
        return self.item[self.start[1:] - 1]

    @property
    def sequences(self) -> Sequences:
        """The same histories as a reader's input."""
        return in_order(self.start, self.item)

    def take(self, rows: Array) -> Orders:
        """The histories of these numbers."""
        place, _ = ragged(self.start[rows], self.start[rows + 1])
        return Orders(np.concatenate([[0], np.cumsum(self.length[rows])]), self.item[place])


@dataclass(frozen=True)
class About:
    """What is known of items besides their ids.

    `attribute`: item i has the values `attribute[attribute_start[i] : attribute_start[i + 1]]`, numbers from 0.
    `text` (items, width): a vector of each item's text. An item met fewer than `own_from` times in training is read as
    if it were new: it has no learned part of its own (none has with None).
    """

    attribute: Array | None = None
    attribute_start: Array | None = None
    text: Array | None = None
    own_from: int | None = 1


@dataclass(frozen=True)
class NextItemReader:
    """Learns what comes next. `shape` are sizes of network.Shape; the last `longest` moments of a history are read."""

    recipe: Recipe = field(default_factory=Recipe)
    shape: Mapping[str, Any] = field(default_factory=dict)
    longest: int = 50
    name: str = "reader"

    def fit(
        self,
        train: Sequences,
        items: int,
        held_out: Sequences | None = None,
        about: About | None = None,
        progress: Progress = silent,
    ) -> FittedNextItem:
        """Learn from `train`, whose items are codes below `items`; the last moments of `held_out` say when to stop.

        Raises DataError where no history has two moments, ConfigError for a shape that cannot be.
        """
        import torch

        from intently.learn.network import Reader, Shape

        if not _asking(train).any():
            raise DataError("No history has two moments, so nothing comes next.", mend="Bring longer histories.")
        tied = self.shape.get("cosine") or self.shape.get("items_alone")
        if tied and self.shape.get("width") != self.shape.get("item_width"):
            raise ConfigError("With cosine or items_alone, width is not item_width.", mend="Give both, and the same.")
        about = about or About()
        catalogue = _catalogue(train, items, about)
        text = np.zeros((1, 0), np.float32) if about.text is None else np.pad(about.text, ((1, 0), (0, 0)))
        torch.manual_seed(self.recipe.seed)
        shape = Shape(
            text_width=text.shape[1],
            texts=len(text),
            deltas=int(catalogue.delta.max()),
            event_types=len(catalogue.event_type),
            numbers=1,
            attributes=0 if about.attribute is None else int(about.attribute.max(initial=-1)) + 1,
            **self.shape,
        )
        reader = Reader(shape, torch.from_numpy(text.astype(np.float32)))
        network = Network(reader, {}, (), len(catalogue.event_type) + 1)
        learned = _drawn(_batches(train, catalogue, self.longest + 1), self.recipe.negatives)
        judged = None
        if held_out is not None:
            # Judged by the rank among all items, whatever they are learned from.
            judged = replace(_batches(held_out, catalogue, self.longest + 1), last_only=True)
        curve = pretrain(network, learned, judged, self.recipe, progress=progress)
        network.eval()
        return FittedNextItem(self, network, catalogue, curve)


@dataclass(frozen=True)
class FittedNextItem:
    """A reader that has learned what comes next.

    `curve` is 1 - the mean discounted gain (1 / log2(1 + rank)) of the held-out items after each epoch.
    """

    reader: NextItemReader
    network: Network
    catalogue: Catalogue
    curve: list[float]

    def queries(self, histories: Sequences) -> Array:
        """What is asked for at each now of the histories, (nows, item_width).

        A now that has seen nothing asks for nothing: zeros, so that the items' biases alone order them.
        """
        import torch

        found = np.zeros((len(histories.history), self.network.reader.shape.item_width), dtype=np.float32)
        read = newest(histories, self.reader.longest)
        data = _batches(read, self.catalogue)
        order, start = data.now_order
        rows = np.argsort(read.lengths, kind="stable")
        with torch.inference_mode():
            vectors, _ = self._items()
            for begin in range(0, len(rows), _AT_ONCE):
                some = rows[begin : begin + _AT_ONCE]
                batch = data.collate(some)
                states = self.network.reader.moments(batch, vectors)
                place, owner = ragged(start[some], start[some + 1])
                last = read.visible[order[place]] - read.skipped[some][owner] - 1
                sees = last >= 0
                asking = states[torch.from_numpy(owner[sees]), torch.from_numpy(last[sees])]
                found[order[place][sees]] = self.network.next_moment.asked(asking).numpy()
        return found

    def items(self) -> tuple[Array, Array]:
        """Vectors (items, item_width) and biases (items,); a logit is a query's product with a vector plus its bias."""
        import torch

        with torch.inference_mode():
            vectors, bias = self._items()
            return self.network.next_moment.aimed(vectors)[:-1].numpy(), bias[:-1].numpy()

    def top(self, histories: Sequences, k: int, seen: bool = False) -> tuple[Array, Array]:
        """Codes and logits (nows, k) of the likeliest next items, best first; what was met before only if `seen`."""
        import torch

        vectors, bias = (torch.from_numpy(part) for part in self.items())
        queries = torch.from_numpy(self.queries(histories))
        n, first = len(queries), histories.moment_start[histories.history]
        met, until = histories.line_start[first], histories.line_start[first + histories.visible]
        code, score = np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=np.float32)
        for begin in range(0, n, _AT_ONCE):
            rows = slice(begin, begin + _AT_ONCE)
            logits = torch.addmm(bias, queries[rows], vectors.T)  # (rows, items)
            if not seen:
                line, owner = ragged(met[rows], until[rows])
                known = histories.item[line] >= 0
                there = torch.from_numpy(owner[known]), torch.from_numpy(histories.item[line][known].astype(np.int64))
                logits[there] = -torch.inf
            best = logits.topk(k, dim=1)
            code[rows], score[rows] = best.indices.numpy(), best.values.numpy()
        return code, score

    def _items(self) -> Any:
        import torch

        from intently.learn.batches import DESCRIBED

        told = self.catalogue.described(np.arange(len(self.catalogue) + 1))
        return self.network.reader.items(
            *(torch.from_numpy(told[name]) if name in told else None for name in DESCRIBED)
        )


def _asking(histories: Sequences) -> Array:
    return np.diff(histories.moment_start) > 1


def _catalogue(train: Sequences, items: int, about: About) -> Catalogue:
    count = np.bincount(train.item[train.item >= 0], minlength=items)
    delta = np.zeros(items + 1, dtype=np.int64)
    if about.own_from is not None:
        count = np.where(count < about.own_from, 0, count)
        met = np.flatnonzero(count)
        delta[met] = np.arange(1, len(met) + 1)
    start = None if about.attribute_start is None else np.append(about.attribute_start, about.attribute_start[-1])
    return Catalogue(
        text=np.append(np.arange(1, items + 1) if about.text is not None else np.zeros(items, dtype=np.int64), 0),
        delta=delta,
        count=np.append(count, 0).astype(np.float32),
        event_type=np.arange(int(train.event_type.max(initial=0)) + 1),
        attribute=about.attribute,
        attribute_start=start,
    )


def _batches(histories: Sequences, catalogue: Catalogue, longest: int | None = None) -> Batches:
    """Batches whose items are named by their codes, and which hand over the whole catalogue."""
    numbers = np.zeros((0, 1), dtype=np.float32)
    return Batches(histories, catalogue, numbers, memories=(), longest=longest, pretrain=True, whole=True)


def _drawn(batches: Batches, negatives: int) -> Batches:
    """The same batches with so many items drawn by lot instead of the whole catalogue; as they are with 0."""
    if not negatives:
        return batches
    weight = batches.catalogue.count[:-1] ** 0.75
    weight = 0.75 * weight / max(weight.sum(), 1e-9) + 0.25 / max(len(weight), 1)
    return replace(batches, negatives=negatives, sampler=np.cumsum(weight / weight.sum()), whole=False)
