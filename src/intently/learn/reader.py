"""The sequence reader before it is fitted: what it learns from, and how fitting goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from intently.contract import Examples, Past, Ranking, ShareLabels, Shares, Task, together
from intently.errors import TooFewExamples
from intently.learn.batches import Batches, encode_truths, remembers
from intently.learn.calibrate import Calibration
from intently.learn.finetune import finetune
from intently.learn.fitted import FittedReader
from intently.learn.memo import Memo
from intently.learn.numbers import Numbers
from intently.learn.recipe import Recipe
from intently.learn.texts import Text
from intently.learn.track import Tracker
from intently.log import schema
from intently.log.pack import Array
from intently.text.arrays import newest, sequences
from intently.text.language_model import Progress, silent
from intently.text.verbalise import item_texts

_LEAST_FOR_DELTA = 2


@dataclass(frozen=True)
class SequenceReader:
    """Learns several tasks at once from their examples and pasts."""

    tasks: tuple[Task, ...]
    recipe: Recipe = field(default_factory=Recipe)
    text: Text = field(default_factory=Text)
    shape: Mapping[str, Any] = field(default_factory=dict)
    name: str = "reader"
    tracker: Tracker | None = None

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
            vectors = text.read(texts, progress)
        if len(text.mean) == 0:
            text = text.fit(vectors)
        labels = {
            task.name: ShareLabels.of(train[task.name][0]) if isinstance(task.answer, Shares) else ShareLabels()
            for task in tasks
        }
        known = _vocabulary(past, train)
        blank = FittedReader(
            self.name,
            self.recipe,
            self.shape,
            text,
            tuple(tasks),
            labels,
            known,
            past.event_types,
            dict(zip(texts, text.apply(vectors), strict=True)),
            Numbers.of(together([part for _, part in train.values()])[1]),
        )
        batches = _examples(blank, train, self.recipe)
        held_out = None if not validation else _examples(blank, validation, self.recipe)
        network = blank.network({truths.task.name: truths for truths in batches.truths})
        watched: dict[str, Any] = {"progress": progress, "tracker": self.tracker}
        curve = finetune(network, batches, held_out, self.recipe, checkpoints=checkpoints, **watched)
        fitted = replace(blank, fitted=network, curve=curve)
        return replace(fitted, calibration=calibrated(fitted, validation or {}))

    def _go_on(
        self,
        start: FittedReader,
        train: Mapping[str, tuple[Examples, Past]],
        known: pl.DataFrame,
        progress: Progress,
    ) -> FittedReader:
        assert start.fitted is not None
        blank = replace(
            start,
            name=self.name,
            recipe=self.recipe,
            known=known,
            texts=dict(start.texts),
            fitted=None,
            curve={},
            _memo=Memo(),
            _latest={},
        )
        batches = _examples(blank, train, self.recipe)
        network = blank.network({truths.task.name: truths for truths in batches.truths})
        weights = start.fitted.state_dict()
        name = "reader.items.delta.weight"
        delta = network.state_dict()[name].clone()
        both = start.known.join(known, on=schema.ITEM).filter(pl.col("delta") > 0, pl.col("delta_right") > 0)
        delta[both["delta_right"].to_list()] = weights[name][both["delta"].to_list()]
        network.load_state_dict(weights | {name: delta})
        curve = finetune(network, batches, None, self.recipe, progress=progress, tracker=self.tracker)
        return replace(blank, fitted=network, curve=curve)


def calibrated(reader: FittedReader, held_out: Mapping[str, tuple[Examples, Past]]) -> Mapping[str, Calibration]:
    """How to calibrate an uncalibrated reader, by examples that it was not fitted on."""
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
    _, past, nows = together([parts[task.name][1] for task in reader.tasks if task.name in parts])
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
        newest(sequences(past)),
        catalogue,
        reader.numbers.apply(past),
        memories=tuple(task for task in present if remembers(task)),
        truths=truths,
        negatives=recipe.negatives,
        sampler=np.cumsum(weight / weight.sum()),
        whole=not recipe.negatives,
    )
