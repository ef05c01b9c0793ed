"""The sequence reader as a predictor: a language model's vectors of items, read in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from intently.contract import (
    Examples,
    Past,
    Ranking,
    Scores,
    ShareLabels,
    Shares,
    Task,
    together,
)
from intently.errors import TooFewExamples
from intently.learn.batches import Batches, Catalogue, Truths, encode_truths
from intently.learn.calibrate import Calibration
from intently.learn.finetune import Network, Recipe, finetune, remembers
from intently.learn.heads import head_for
from intently.learn.network import Reader, Shape
from intently.learn.numbers import Numbers
from intently.log import schema
from intently.log.pack import Array, codes
from intently.text.arrays import sequences
from intently.text.language_model import PACKAGED, Progress, embed, silent
from intently.text.verbalise import item_texts

TOP = 100
_LEAST_FOR_DELTA = 2
_KEPT = 12
_BLOCK = 256


@dataclass(frozen=True)
class Text:
    """How item texts become vectors: the language model's, whitened to fewer dimensions.

    `mean` (width,) and `whiten` (width, kept) are learned on the texts of the training catalogue.
    `adapt` is "frozen" or "lora"; `adapter` is the folder of the trained adapter.
    """

    model: str = PACKAGED
    keep: int = 128
    adapt: str = "frozen"
    adapter: Path | None = None
    mean: Array = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    whiten: Array = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))

    def fit(self, vectors: Array) -> Text:
        """Learn the whitening of vectors (n, width)."""
        mean = vectors.mean(axis=0)
        _, spread, axes = np.linalg.svd((vectors - mean).astype(np.float64), full_matrices=False)
        kept = min(self.keep, len(spread))
        # Directions that carry next to nothing would be blown up to unit noise; the floor stops that.
        scale = np.maximum(spread[:kept], spread[0] * 0.02) / np.sqrt(len(vectors))
        return replace(self, mean=mean, whiten=(axes[:kept].T / scale).astype(np.float32))

    def apply(self, vectors: Array) -> Array:
        """Whitened vectors (n, kept), about unit variance a column, float32."""
        return ((vectors - self.mean) @ self.whiten).astype(np.float32)


@dataclass(frozen=True)
class SequenceReader:
    """Learns several tasks at once from their examples and pasts."""

    tasks: tuple[Task, ...]
    recipe: Recipe = field(default_factory=Recipe)
    text: Text = field(default_factory=Text)
    shape: Mapping[str, Any] = field(default_factory=dict)
    name: str = "reader"

    def fit(
        self,
        train: Mapping[str, tuple[Examples, Past]],
        validation: Mapping[str, tuple[Examples, Past]] | None = None,
        *,
        vectors: Array | None = None,
        start: FittedReader | None = None,
        checkpoints: Path | None = None,
        progress: Progress = silent,
    ) -> FittedReader:
        """Fine-tune on all tasks together. `vectors` (texts, width) replaces the language model's own.

        With `start`, go on from a fitted reader: its weights, texts, labels and calibration; items it had
        not met get a learned part of their own.
        """
        import torch

        torch.manual_seed(self.recipe.seed)
        tasks = tuple(task for task in self.tasks if task.name in train)
        if not tasks:
            raise TooFewExamples("There are no examples to fine-tune on.", mend="Bring a longer log.")
        past = train[tasks[0].name][1]
        if start is not None:
            return self._go_on(start, train, _vocabulary(past, train), progress)
        texts, _ = item_texts(past.items)
        text = self.text
        if text.adapt == "lora" and text.adapter is None:
            text = replace(text, adapter=_adapter(text.model, texts, past, self.recipe.seed, progress))
        if vectors is None:
            vectors = embed(texts, text.model, adapter=text.adapter, progress=progress)
        if len(text.mean) == 0:
            text = text.fit(vectors)
        labels = {
            task.name: ShareLabels.of(train[task.name][0]) if isinstance(task.answer, Shares) else ShareLabels()
            for task in tasks
        }
        known = _vocabulary(past, train)
        blank = FittedReader(
            self,
            text,
            tuple(tasks),
            labels,
            known,
            past.event_types,
            dict(zip(texts, text.apply(vectors), strict=True)),
            Numbers.of(together([part for _, part in train.values()])[0]),
        )
        batches = _examples(blank, train, self.recipe)
        held_out = None if not validation else _examples(blank, validation, self.recipe)
        network = blank.network({truths.task.name: truths for truths in batches.truths})
        curve = finetune(network, batches, held_out, self.recipe, checkpoints=checkpoints, progress=progress)
        fitted = replace(blank, fitted=network, curve=curve)
        return replace(fitted, calibration=_calibrated(fitted, validation or {}))

    def _go_on(
        self,
        start: FittedReader,
        train: Mapping[str, tuple[Examples, Past]],
        known: pl.DataFrame,
        progress: Progress,
    ) -> FittedReader:
        assert start.fitted is not None
        blank = replace(start, made_by=self, known=known, texts=dict(start.texts), fitted=None, curve={}, _memo={})
        batches = _examples(blank, train, self.recipe)
        network = blank.network({truths.task.name: truths for truths in batches.truths})
        weights = start.fitted.state_dict()
        name = "reader.items.delta.weight"
        delta = network.state_dict()[name].clone()
        both = start.known.join(known, on=schema.ITEM).filter(pl.col("delta") > 0, pl.col("delta_right") > 0)
        delta[both["delta_right"].to_list()] = weights[name][both["delta"].to_list()]
        network.load_state_dict(weights | {name: delta})
        curve = finetune(network, batches, None, self.recipe, progress=progress)
        return replace(blank, fitted=network, curve=curve)


def _calibrated(reader: FittedReader, held_out: Mapping[str, tuple[Examples, Past]]) -> Mapping[str, Calibration]:
    found = {}
    for task in reader.tasks:
        if task.name in held_out and not isinstance(task.answer, Ranking):
            examples, past = held_out[task.name]
            found[task.name] = Calibration.of(task, examples, reader.predict(examples, past))
    return found


def _adapter(model: str, texts: Sequence[str], past: Past, seed: int, progress: Progress) -> Path:
    from intently.learn.adapt import Lora, lora, pairs_of

    plan = Lora(seed=seed)
    number = np.append(item_texts(past.items)[1], 0)
    pairs = pairs_of(sequences(past), number, plan.pairs, np.random.default_rng(seed))
    return lora(model, texts, pairs, plan, progress=progress)


def _vocabulary(past: Past, train: Mapping[str, tuple[Examples, Past]]) -> pl.DataFrame:
    """Items met in training with their counts: a learned part of its own for all but the rarest."""
    _, latest = max(((p.learned_until, p) for _, p in train.values()), key=lambda pair: pair[0])
    events = latest.shop(latest.learned_until).events
    counts = events.filter(pl.col(schema.ITEM).is_not_null()).group_by(schema.ITEM).len("count").sort(schema.ITEM)
    delta = pl.when(pl.col("count") >= _LEAST_FOR_DELTA).then(1).otherwise(0)
    return counts.with_columns((delta.cum_sum() * delta).alias("delta"))


def _examples(reader: FittedReader, parts: Mapping[str, tuple[Examples, Past]], recipe: Recipe) -> Batches:
    past, nows = together([parts[task.name][1] for task in reader.tasks if task.name in parts])
    present = [task for task in reader.tasks if task.name in parts]
    catalogue = reader.catalogue(past)
    ids = past.items[schema.ITEM]
    truths = tuple(
        encode_truths(parts[task.name][0], now, len(past), ids, reader.labels[task.name])
        for task, now in zip(present, nows, strict=True)
    )
    # Half by popularity (power .75), half even over the whole catalogue, so that new items are met.
    weight = catalogue.count[:-1] ** 0.75
    weight = 0.75 * weight / max(weight.sum(), 1e-9) + 0.25 / max(len(weight), 1)
    return Batches(
        sequences(past),
        catalogue,
        reader.numbers.apply(past),
        memories=tuple(task for task in present if remembers(task)),
        truths=truths,
        negatives=recipe.negatives,
        sampler=np.cumsum(weight / weight.sum()),
    )


@dataclass(frozen=True)
class Ranked:
    """The first hundred item codes (n, k), best first, their logits, and the log of the softmax's denominator (n,)."""

    top: Array
    score: Array
    log_total: Array


@dataclass(frozen=True)
class FittedReader:
    """A fine-tuned sequence reader; a Predictor of each of its tasks."""

    made_by: SequenceReader
    text: Text
    tasks: tuple[Task, ...]
    labels: Mapping[str, ShareLabels]
    known: pl.DataFrame
    event_types: tuple[str, ...]
    texts: dict[str, Array]
    numbers: Numbers
    fitted: Network | None = None
    calibration: Mapping[str, Calibration] = field(default_factory=dict)
    curve: Mapping[str, list[float]] = field(default_factory=dict)
    _memo: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """How reports call it."""
        return self.made_by.name

    def answers(self, task: Task) -> bool:
        """Whether it was fine-tuned on this task."""
        return any(task.name == mine.name for mine in self.tasks)

    def fit(self, examples: Examples, past: Past) -> FittedReader:
        """Itself: it has been fitted on all its tasks together."""
        return self

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

        stacked = self._stacked()
        shape = Shape(
            text_width=stacked.shape[1],
            texts=len(stacked),
            deltas=int(self.known["delta"].max() or 0),  # type: ignore[arg-type]
            event_types=len(self.event_types),
            numbers=len(self.numbers.names),
            **self.made_by.shape,
        )
        heads = {
            task.name: head_for(task.answer, shape.width, shape.item_width, truths[task.name]) for task in self.tasks
        }
        return Network(Reader(shape, torch.from_numpy(stacked)), heads, self.tasks, len(self.event_types) + 1)

    def catalogue(self, past: Past) -> Catalogue:
        """The catalogue of a past as this reader sees it; texts never seen before are read now."""
        items = past.items
        told = self._memo.get("catalogue")
        if told and told[1] == past.event_types and told[0].equals(items):
            return told[2]
        texts, number = item_texts(items)
        new = [text for text in texts if text not in self.texts]
        if new:
            for text, vector in zip(
                new, self.text.apply(embed(new, self.text.model, adapter=self.text.adapter)), strict=True
            ):
                self.texts[text] = vector
            if self.fitted is not None:
                import torch

                stacked = self._stacked()
                self.fitted.reader.items.text = torch.from_numpy(stacked)
        place = {text: i for i, text in enumerate(self.texts, start=1)}
        text_number = np.array([place[text] for text in texts])[number]
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
        self._memo["catalogue"] = (items, past.event_types, found)
        return found

    def _stacked(self) -> Array:
        """Text vectors by text number; number 0 is no text."""
        return np.stack([np.zeros(self.text.whiten.shape[1], dtype=np.float32), *self.texts.values()])

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Answers, calibrated on the windows by which training was stopped."""
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
        import torch

        for kept in self._memo.get("read", []):
            if past.same_as(kept[0]):
                return kept[1]
        assert self.fitted is not None
        seq = sequences(past)
        memories = tuple(task for task in self.tasks if remembers(task))
        batches = Batches(seq, self.catalogue(past), self.numbers.apply(past), memories)
        order = np.argsort(np.diff(seq.moment_start), kind="stable")
        now_order, now_start = batches.now_order
        found: dict[str, list[Array]] = {}
        rows: list[Array] = []
        memories: dict[str, list[tuple[Array, Array, Array]]] = {}
        self.fitted.eval()
        with torch.inference_mode():
            for begin in range(0, len(order), 64):
                chosen = order[begin : begin + 64]
                nows = np.concatenate([now_order[now_start[h] : now_start[h + 1]] for h in chosen])
                batch = batches.collate(chosen)
                items = self.fitted.reader.items(batch["item_text"], batch["item_delta"], batch["item_count"])
                _, states = self.fitted.reader(batch, items[0])
                rows.append(nows)
                found.setdefault("state", []).append(states.numpy())
                for task in self.tasks:
                    head: Any = self.fitted.heads[task.name]
                    if isinstance(task.answer, Ranking):
                        now = batch[f"memory.{task.name}.now"]
                        answer = head.query(states)
                        met = batch[f"memory.{task.name}.value"]
                        plain = (answer[now] * items[0][met]).sum(-1) + items[1][met]
                        more = head.memory(states, now, batch[f"memory.{task.name}.features"], plain)
                        code = batch[f"memory.{task.name}.code"].numpy()
                        memories.setdefault(task.name, []).append((nows[now.numpy()], code, more.numpy()))
                    elif isinstance(task.answer, Shares):
                        answer = torch.softmax(head.logits(states, batch, task.name), dim=-1)
                    else:
                        answer = head.answer(states)
                    found.setdefault(task.name, []).append(answer.numpy())
        back = np.argsort(np.concatenate(rows), kind="stable")
        answers = {name: np.concatenate(parts)[back] for name, parts in found.items()}
        for name, cells in memories.items():
            answers |= {
                f"{name}.memory_now": np.concatenate([cell[0] for cell in cells]),
                f"{name}.memory_item": np.concatenate([cell[1] for cell in cells]),
                f"{name}.memory_more": np.concatenate([cell[2] for cell in cells]),
            }
        self._memo["read"] = [*self._memo.get("read", []), (past, answers)][-_KEPT:]
        return answers

    def item_vectors(self, past: Past) -> tuple[Array, Array]:
        """Vectors (items, item_width) and biases (items,) of the whole catalogue of a past."""
        import torch

        assert self.fitted is not None
        catalogue = self.catalogue(past)
        if self._memo.get("vectors_of") is catalogue:
            return self._memo["vectors"]
        with torch.inference_mode():
            vectors, bias = self.fitted.reader.items(
                torch.from_numpy(catalogue.text[:-1]),
                torch.from_numpy(catalogue.delta[:-1]),
                torch.from_numpy(catalogue.count[:-1]),
            )
        self._memo.update(vectors_of=catalogue, vectors=(vectors.numpy(), bias.numpy()))
        return self._memo["vectors"]

    def logits(self, task: Task, past: Past, rows: Array) -> Array:
        """Logits of the whole catalogue for some of the asked customers, (rows, items)."""
        answers = self.read(past)
        vectors, bias = self.item_vectors(past)
        logits = answers[task.name][rows] @ vectors.T + bias
        place = np.full(len(past), -1)
        place[rows] = np.arange(len(rows))
        now = place[answers[f"{task.name}.memory_now"]]
        mine = now >= 0
        logits[now[mine], answers[f"{task.name}.memory_item"][mine]] += answers[f"{task.name}.memory_more"][mine]
        return logits

    def ranked(self, task: Task, past: Past) -> Ranked:
        """The whole catalogue ranked for the asked customers of a past; the newest few pasts are kept."""
        import torch

        for kept in self._memo.get("ranked", []):
            if kept[0] == task.name and past.same_as(kept[1]):
                return kept[2]
        n, k = len(past), min(TOP, len(past.items))
        top, score = np.empty((n, k), dtype=np.int64), np.empty((n, k), dtype=np.float32)
        log_total = np.empty(n, dtype=np.float32)
        for begin in range(0, n, _BLOCK):
            rows = np.arange(begin, min(begin + _BLOCK, n))
            logits = torch.from_numpy(self.logits(task, past, rows))
            best = logits.topk(k, dim=1)
            top[rows], score[rows] = best.indices.numpy(), best.values.numpy()
            log_total[rows] = logits.logsumexp(dim=1).numpy()
        found = Ranked(top, score, log_total)
        self._memo["ranked"] = [*self._memo.get("ranked", []), (task.name, past, found)][-_KEPT:]
        return found

    def _rank(self, examples: Examples, past: Past) -> Scores:
        import torch

        answer, ids = examples.task.answer, past.items[schema.ITEM]
        assert isinstance(answer, Ranking)
        if not answer.unseen:
            found = self.ranked(examples.task, past)
            return Scores(answer, found.score, ids=ids.to_numpy()[found.top])
        k = min(TOP, len(ids))
        top, score = np.empty((len(past), k), dtype=np.int64), np.empty((len(past), k), dtype=np.float32)
        for cutoff in examples.cutoffs:
            asked = np.flatnonzero((examples.at == cutoff).to_numpy())
            closed = codes(past.shop(cutoff).events[schema.ITEM].drop_nulls().unique(), ids)
            for begin in range(0, len(asked), _BLOCK):
                rows = asked[begin : begin + _BLOCK]
                logits = self.logits(examples.task, past, rows)
                logits[:, closed[closed >= 0]] = -np.inf
                best = torch.from_numpy(logits).topk(k, dim=1)
                top[rows], score[rows] = best.indices.numpy(), best.values.numpy()
        return Scores(answer, score, ids=ids.to_numpy()[top])

    def settings(self) -> dict[str, Any]:
        """What a bundle writes about it, without arrays."""
        return {
            "name": self.name,
            "model": self.text.model,
            "keep": self.text.keep,
            "adapt": self.text.adapt,
            "recipe": asdict(self.made_by.recipe),
            "shape": dict(self.made_by.shape),
            "event_types": list(self.event_types),
            "labels": {name: list(labels.labels) for name, labels in self.labels.items()},
            "tasks": [task.name for task in self.tasks],
        }


def _label_codes(items: pl.DataFrame, column: str, labels: Sequence[str]) -> Array:
    found = codes(items[column].cast(pl.String), pl.Series(list(labels), dtype=pl.String))
    return np.where(found < 0, len(labels) - 1, found)
