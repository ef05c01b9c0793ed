"""A fine-tuned sequence reader: a language model's vectors of items, read in order, and what it answers."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from intently.contract import Examples, Past, Ranking, Scores, ShareLabels, Shares, Task
from intently.learn.answering import Answering, NetworkAnswers
from intently.learn.batches import Batches, Catalogue, Truths, remembers
from intently.learn.breath import breathe
from intently.learn.calibrate import Calibration
from intently.learn.first_sales import log_rates, log_shares
from intently.learn.memo import Memo
from intently.learn.nearest import nearest
from intently.learn.numbers import Numbers
from intently.learn.recipe import Recipe
from intently.learn.texts import Text
from intently.learn.whole_catalogue import Memories, WholeCatalogue
from intently.learn.workers import each
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array, codes
from intently.text.arrays import newest, sequences
from intently.text.verbalise import item_texts

if TYPE_CHECKING:
    from intently.learn.finetune import Network

TOP = 100
_BLOCK = 256
_NEAREST = 30
_LEAST = 1e-6
# How far what a customer leans to moves an item that nobody has bought: recall@100 on Complete Journey at five
# cut-offs to 2017-10-08 was .0278, .0292, .0288, .0278 with .25, .5, .75, 1.
_LEANING = 0.5


@dataclass(frozen=True)
class Ranked:
    """The first hundred item codes, best first, and their logits, (n, k) both."""

    top: Array
    score: Array

    def take(self, rows: Array) -> Ranked:
        """The rankings at these row numbers."""
        return Ranked(self.top[rows], self.score[rows])


@dataclass(frozen=True)
class FittedReader:
    """A fine-tuned sequence reader; a Predictor of each of its tasks. `exported` answers in place of a network."""

    name: str
    recipe: Recipe
    shape: Mapping[str, Any]
    text: Text
    tasks: tuple[Task, ...]
    labels: Mapping[str, ShareLabels]
    known: pl.DataFrame
    event_types: tuple[str, ...]
    texts: dict[str, Array]
    numbers: Numbers
    fitted: Network | None = None
    exported: Answering | None = None
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    _memo: Memo = field(default_factory=Memo, repr=False, compare=False)
    _latest: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    def answers(self, task: Task) -> bool:
        """Whether it was fine-tuned on this task."""
        return any(task.name == mine.name for mine in self.tasks)

    def fit(self, examples: Examples, past: Past) -> FittedReader:
        """Itself: it has been fitted on all its tasks together."""
        return self

    def uncalibrated(self) -> FittedReader:
        """The same reader before calibration; readings are shared."""
        return replace(self, calibration={})

    def answered_by(self, exported: Answering) -> FittedReader:
        """The same reader, answered for by what was exported of it; readings are not shared."""
        return replace(self, fitted=None, exported=exported, _memo=Memo(), _latest={})

    def empty_network(self) -> Network:
        """A network of the right shape, for weights to be loaded into."""
        truths = {}
        for task in self.tasks:
            width = len(self.labels[task.name].labels)
            values = np.ones((1, width) if isinstance(task.answer, Shares) else 1, dtype=np.float32)
            truths[task.name] = Truths(task, np.zeros(0, dtype=np.int64), values)
        return self.network(truths)

    def network(self, truths: Mapping[str, Truths]) -> Network:
        """A network with fresh weights, whose heads start at the best constant answers."""
        import torch

        from intently.learn.finetune import Network
        from intently.learn.heads import head_for
        from intently.learn.network import Reader, Shape

        stacked = self.stacked()
        shape = Shape(
            text_width=stacked.shape[1],
            texts=len(stacked),
            deltas=int(self.known["delta"].max() or 0),  # type: ignore[arg-type]
            event_types=len(self.event_types),
            numbers=len(self.numbers.names),
            **self.shape,
        )
        heads = {
            task.name: head_for(task.answer, shape.width, shape.item_width, truths[task.name]) for task in self.tasks
        }
        return Network(Reader(shape, torch.from_numpy(stacked)), heads, self.tasks, len(self.event_types) + 1)

    @property
    def answering(self) -> Answering:
        """What answers for it."""
        if self.exported is not None:
            return self.exported
        assert self.fitted is not None
        return NetworkAnswers(self.fitted, self.tasks)

    def catalogue(self, past: Past) -> Catalogue:
        """The catalogue of a past as this reader sees it; texts never seen before are read now."""
        # Several tasks may ask at once: new texts are read by one of them.
        with self._lock:
            return self._catalogue(past)

    def _catalogue(self, past: Past) -> Catalogue:
        items = past.items
        told = self._latest.get("catalogue")
        if told and told[1] == past.event_types and (told[0] is items or told[0].equals(items)):
            return told[2]
        texts, number = item_texts(items)
        new = [text for text in texts if text not in self.texts]
        if new:
            for text, vector in zip(new, self.text.apply(self.text.read(new)), strict=True):
                self.texts[text] = vector
            if self.fitted is not None or self.exported is not None:
                self.answering.retext(self.stacked())
        place = {text: i for i, text in enumerate(self.texts, start=1)}
        text_number = np.array([place[text] for text in texts], dtype=np.int64)[number]
        met = items.select(schema.ITEM).join(self.known, on=schema.ITEM, how="left", maintain_order="left")
        met = met.with_columns(pl.col("delta", "count").fill_null(0))
        label = {
            task.name: np.append(
                _label_codes(items, task.answer.of, self.labels[task.name].labels),
                len(self.labels[task.name].labels) - 1,
            )
            for task in self.tasks
            if isinstance(task.answer, Shares)
        }
        known_types = pl.Series(list(self.event_types), dtype=pl.String)
        event_type = codes(pl.Series(list(past.event_types), dtype=pl.String), known_types)
        found = Catalogue(
            event_type=np.where(event_type < 0, len(self.event_types), event_type),
            text=np.append(text_number, 0),
            delta=np.append(met["delta"].to_numpy(), 0).astype(np.int64),
            count=np.append(met["count"].to_numpy(), 0).astype(np.float32),
            label=label,
        )
        self._latest["catalogue"] = (items, past.event_types, found)
        return found

    def stacked(self) -> Array:
        """Text vectors by text number; number 0 is no text."""
        return np.stack([np.zeros(self.text.whiten.shape[1], dtype=np.float32), *self.texts.values()])

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Answers, calibrated on windows that it was not trained on; amounts of everybody at the level of its time."""
        task = next(mine for mine in self.tasks if mine.name == examples.task.name)
        answers = self.read(past)
        match task.answer:
            case Ranking():
                return self._rank(examples, past)
            case _:
                values = answers[task.name].astype(np.float32)
                if task.name in self.calibration:
                    values = self.calibration[task.name].apply(task, values)
                labels = (
                    self.labels[task.name].labels
                    if isinstance(task.answer, Shares)
                    else getattr(task.answer, "labels", ())
                )
                return Scores(examples.task.answer, values, labels)

    def read(self, past: Past) -> dict[str, Array]:
        """Every task's answer for the asked customers of a past, and their states under "state".

        A Ranking gives queries (n, item_width) under its name and what is remembered under
        "NAME.memory": (now, item code, what to add to the logit).
        """
        return self._memo.of("read", past, lambda: self._read(past), _part)

    def forget_pasts(self) -> None:
        """Let go of the pasts that were read last, and of what was made of them."""
        self._memo.clear()

    def _read(self, past: Past) -> dict[str, Array]:
        answering, seq = self.answering, newest(sequences(past))
        memories = tuple(task for task in self.tasks if remembers(task))
        numbers = self.numbers.apply(past)
        breathe()
        batches = Batches(seq, self.catalogue(past), numbers, memories, described=False)
        vectors, bias = self.every_item(past)
        order = np.argsort(seq.lengths, kind="stable")
        now_order, now_start = batches.now_order
        # The longest first, so that no thread is left with much to do at the end.
        some = answering.histories_at_once
        groups = [order[begin : begin + some] for begin in range(0, len(order), some)][::-1]
        parts = each(lambda chosen: answering.answers(batches.arrays(chosen), vectors, bias), groups)
        nows = [np.concatenate([now_order[now_start[h] : now_start[h + 1]] for h in chosen]) for chosen in groups]
        back = np.argsort(np.concatenate(nows), kind="stable")
        breathe()
        answers = {}
        for name in parts[0]:
            if ".memory_" not in name:
                answers[name] = np.concatenate([part[name] for part in parts])[back]
            elif name.endswith(".memory_now"):
                answers[name] = np.concatenate([mine[part[name]] for mine, part in zip(nows, parts, strict=True)])
            else:
                answers[name] = np.concatenate([part[name] for part in parts])
        return answers

    def item_vectors(self, past: Past) -> tuple[Array, Array]:
        """Vectors (items, item_width) and biases (items,) of the whole catalogue of a past."""
        vectors, bias = self.every_item(past)
        return vectors[:-1], bias[:-1]

    def every_item(self, past: Past) -> tuple[Array, Array]:
        """`item_vectors` with one row more, of what is no item; made once for as long as the catalogue is the same."""
        with self._lock:
            catalogue = self.catalogue(past)
            found = self._latest.get("vectors")
            if found is None or found[0] is not catalogue:
                told = catalogue.described(np.arange(len(catalogue) + 1))
                found = self._latest["vectors"] = (catalogue, self.answering.items(told))
            made: tuple[Array, Array] = found[1]
            return made

    def _whole(self, past: Past) -> WholeCatalogue:
        """The item vectors of a past as they are ranked, made once for as long as they are the same."""
        every = self.every_item(past)
        found = self._latest.get("whole")
        if found is None or found[0] is not every:
            found = self._latest["whole"] = (every, WholeCatalogue.of(*self.item_vectors(past)))
        return found[1]

    def ranked(self, task: Task, past: Past) -> Ranked:
        """The whole catalogue ranked for the asked customers of a past; the newest few pasts are kept."""
        return self._memo.of(f"ranked {task.name}", past, lambda: self._ranked(task, past), Ranked.take)

    def log_totals(self, task: Task, past: Past) -> Array:
        """The log of the softmax's sum over the whole catalogue for the asked customers of a past, (n,)."""
        return self._memo.of(
            f"totals {task.name}", past, lambda: self._log_totals(task, past), lambda all_, rows: all_[rows]
        )

    def _ranked(self, task: Task, past: Past) -> Ranked:
        queries, memory, catalogue = self._asked(task, past)
        starts = range(0, len(past), _BLOCK)
        parts = each(lambda begin: catalogue.best(queries, memory, begin, begin + _BLOCK, TOP), starts)
        return Ranked(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _log_totals(self, task: Task, past: Past) -> Array:
        queries, memory, catalogue = self._asked(task, past)
        starts = range(0, len(past), _BLOCK)
        return np.concatenate(each(lambda begin: catalogue.log_totals(queries, memory, begin, begin + _BLOCK), starts))

    def _asked(self, task: Task, past: Past) -> tuple[Array, Memories, WholeCatalogue]:
        """What is asked of the whole catalogue, what is remembered of single items, and the catalogue."""
        answers = self.read(past)
        now = answers[f"{task.name}.memory_now"]
        # In the order of who is asked, so that a block of them is a slice.
        order = np.argsort(now, kind="stable")
        memory = Memories(now[order], *(answers[f"{task.name}.memory_{part}"][order] for part in ("item", "more")))
        return answers[task.name], memory, self._whole(past)

    def _rank(self, examples: Examples, past: Past) -> Scores:
        answer, ids = examples.task.answer, past.items[schema.ITEM]
        assert isinstance(answer, Ranking)
        if not answer.unseen:
            found = self.ranked(examples.task, past)
            return Scores(answer, found.score, ids=ids.to_numpy()[found.top])
        return self._rank_unseen(examples, past)

    def _rank_unseen(self, examples: Examples, past: Past) -> Scores:
        """Items nobody has bought: how soon what reads alike finds a buyer, and what the customer leans to."""
        ids = past.items[schema.ITEM]
        k = min(TOP, len(ids))
        top, score = np.empty((len(past), k), dtype=np.int64), np.empty((len(past), k), dtype=np.float32)
        for cutoff in examples.cutoffs:
            shop = past.shop(cutoff)
            sold = codes(shop.events[schema.ITEM].drop_nulls().unique(), ids)
            rate = log_rates(shop, ids, *self.nearest(past))
            rate[sold[sold >= 0]] = -np.inf
            asked = np.flatnonzero((examples.at == cutoff).to_numpy())
            for begin in range(0, len(asked), _BLOCK):
                rows = asked[begin : begin + _BLOCK]
                values = rate + self._leaning(examples.task, past, rows, shop)
                top[rows] = np.argsort(-values, axis=1, kind="stable")[:, :k]
                score[rows] = np.take_along_axis(values, top[rows], axis=1)
        return Scores(examples.task.answer, score, ids=ids.to_numpy()[top])

    def _leaning(self, task: Task, past: Past, rows: Array, shop: Log) -> Array:
        """What customers lean to beyond the shop's customers, by item, (rows, items): by labels where shares are
        answered, else by text.
        """
        answers = self.read(past)
        for mine in self.tasks:
            if isinstance(mine.answer, Shares):
                label = self.catalogue(past).label[mine.name][:-1]
                usual = log_shares(shop, past.items[schema.ITEM], label, len(self.labels[mine.name].labels))
                lift = np.log(np.maximum(answers[mine.name][rows], _LEAST)) - usual
                return np.asarray(_LEANING * lift[:, label])
        return np.asarray(answers[task.name][rows] @ self.item_vectors(past)[0].T)

    def nearest(self, past: Past) -> tuple[Array, Array, Array]:
        """The text of each item of a past, (items,), and of each text the nearest and their weights, (texts, 30)."""
        return self.catalogue(past).text[:-1] - 1, *self.nearest_texts()

    def nearest_texts(self) -> tuple[Array, Array]:
        """Of each text read so far the nearest and their weights, (texts, 30)."""
        found = self._latest.get("nearest")
        if found is None or len(found[0]) != len(self.texts):
            found = self._latest["nearest"] = nearest(self.stacked()[1:], _NEAREST)
        return found

    def remember_nearest(self, near: Array, weight: Array) -> None:
        """What `nearest_texts` gave before the reader was saved."""
        self._latest["nearest"] = (near, weight)

    def settings(self) -> dict[str, Any]:
        """What a bundle writes about it, without arrays."""
        return {
            "name": self.name,
            "model": self.text.model,
            "keep": self.text.keep,
            "adapt": self.text.adapt,
            "recipe": asdict(self.recipe),
            "shape": dict(self.shape),
            "event_types": list(self.event_types),
            "numbers": list(self.numbers.names),
            "labels": {name: list(labels.labels) for name, labels in self.labels.items()},
            "tasks": [task.name for task in self.tasks],
        }


def _part(answers: dict[str, Array], rows: Array) -> dict[str, Array]:
    """What `read` gave, for some of the asked customers."""
    place = np.full(len(answers["state"]), -1)
    place[rows] = np.arange(len(rows))
    found = {}
    for name, values in answers.items():
        if (cell := name.rfind(".memory_")) < 0:
            found[name] = values[rows]
            continue
        now = place[answers[name[:cell] + ".memory_now"]]
        found[name] = now[now >= 0] if name.endswith("_now") else values[now >= 0]
    return found


def _label_codes(items: pl.DataFrame, column: str, labels: Sequence[str]) -> Array:
    found = codes(items[column].cast(pl.String), pl.Series(list(labels), dtype=pl.String))
    return np.where(found < 0, len(labels) - 1, found)
