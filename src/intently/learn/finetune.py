"""The recipe: first the log teaches the reader what comes next, then the tasks teach it together.

Variation enters as values (a `Recipe`, a tuple of tasks), never as a second recipe.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from intently.contract import Task
from intently.learn.batches import DESCRIBED, Batch, Batches
from intently.learn.checkpoints import last_whole
from intently.learn.heads import NextMoment, RankingHead
from intently.learn.network import Reader
from intently.learn.recipe import Recipe
from intently.learn.track import Tracker, recorded
from intently.log.pack import Array
from intently.text.language_model import Progress, silent

# In even steps histories are sorted by length times a factor drawn from here: wide enough to mix, and little is padded.
_LIKE = (0.5, 1.5)
# Histories read together to judge an epoch: in steps of eight that took a quarter of fine-tuning.
_JUDGED_AT_ONCE = 64


class Network(nn.Module):
    """A reader with one head per task. `pretraining` chooses which loss `forward` gives."""

    def __init__(self, reader: Reader, heads: dict[str, nn.Module], tasks: Sequence[Task], event_types: int) -> None:
        super().__init__()
        self.reader = reader
        self.heads = nn.ModuleDict(heads)
        shape = reader.shape
        self.next_moment = NextMoment(shape.width, shape.item_width, event_types, shape.cosine, shape.items_alone)
        self.tasks = tuple(tasks)
        self.pretraining = False

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """The loss of a batch, a scalar."""
        vectors, bias = self.reader.items(*(batch.get(name) for name in DESCRIBED))
        if self.pretraining:
            return {"loss": self.next_moment.loss(self.reader.moments(batch, vectors), batch, vectors, bias)}
        nows = self.reader.nows(batch, vectors)
        losses = []
        for task in self.tasks:
            head: Any = self.heads[task.name]
            if len(batch[f"truth.{task.name}.now"]) == 0:
                continue
            if isinstance(head, RankingHead):
                losses.append(head.loss(nows, batch, task.name, vectors, bias))
            else:
                losses.append(head.loss(nows, batch, task.name))
        return {"loss": torch.stack(losses).sum() if losses else nows.sum() * 0}


@dataclass(frozen=True)
class Groups:
    """A dataset whose elements are groups of histories of like length, each group one step's batch."""

    batches: Batches
    groups: tuple[Array, ...]

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> tuple[Batches, Array]:
        return self.batches, self.groups[index]


class EvenGroups:
    """A dataset as Groups, whose groups hold as many moments each and are made anew every epoch.

    Every moment counts alike then, where in groups of as many histories one of a long history counts less.
    """

    def __init__(self, batches: Batches, size: int, seed: int) -> None:
        length = batches.lengths
        self._batches, self._seed = batches, seed
        self._histories = np.flatnonzero(length > 1)
        self._length = length[self._histories]
        self._count = -(-len(self._histories) // size)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Group anew; the Trainer says so before each epoch."""
        rng = np.random.default_rng((self._seed, epoch))
        order = np.argsort(self._length * rng.uniform(*_LIKE, len(self._length)))
        moments = np.cumsum(self._length[order])
        nth = np.arange(1, self._count)
        # Of the k histories before each cut, so many are more than one a group; every group gets one at least.
        more = np.searchsorted(moments, moments[-1] * nth / self._count) - nth
        more = np.maximum.accumulate(more.clip(0, len(order) - self._count))
        self._groups = np.split(self._histories[order], nth + more)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Batches, Array]:
        return self._batches, self._groups[index]


def collate(chosen: Sequence[tuple[Batches, Array]]) -> Batch:
    """The batch of the one chosen group."""
    ((batches, group),) = chosen
    return batches.collate(group)


def grouped(batches: Batches, size: int, seed: int) -> Groups:
    """Histories sorted by length, roughly, and cut into groups of `size`."""
    length = batches.lengths
    rng = np.random.default_rng(seed)
    order = np.argsort(length * rng.uniform(0.85, 1.15, len(length)), kind="stable")
    order = order[length[order] > 0] if batches.pretrain else order
    return Groups(batches, tuple(order[i : i + size] for i in range(0, len(order), size)))


def finetune(
    network: Network,
    train: Batches,
    validation: Batches | None,
    recipe: Recipe,
    *,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    tracker: Tracker | None = None,
) -> dict[str, list[float]]:
    """Train a network in place; gives the validation loss after each epoch of each phase.

    With `checkpoints`, an interrupted run goes on from its last whole epoch. With `tracker`, losses are recorded.
    """
    torch.set_num_threads(recipe.threads)
    curve: dict[str, list[float]] = {"pretrain": [], "finetune": []}
    if recipe.pretrain_epochs and recipe.train_reader:
        more: dict[str, Any] = {"checkpoints": checkpoints, "progress": progress, "tracker": tracker}
        pretrain(network, _pretraining(train), None, recipe, **more)
    for name, parameter in network.named_parameters():
        parameter.requires_grad = recipe.train_reader or name.startswith("heads")
    # Nothing is learned of these: as many at once as are read fast.
    at_once = max(_JUDGED_AT_ONCE, recipe.histories_per_step)
    held_out = None if validation is None else grouped(validation, at_once, recipe.seed)
    groups = grouped(train, recipe.histories_per_step, recipe.seed)
    watched = (checkpoints, "fine-tuning", progress, tracker)
    curve["finetune"] = _run(network, groups, held_out, recipe, recipe.epochs, *watched)
    network.eval()
    return curve


def pretrain(
    network: Network,
    train: Batches,
    held_out: Batches | None,
    recipe: Recipe,
    *,
    checkpoints: Path | None = None,
    progress: Progress = silent,
    tracker: Tracker | None = None,
) -> list[float]:
    """Teach a network in place what comes next; the best epoch stays.

    Gives what NextMoment says of `held_out` after each epoch, smaller is better.
    """
    torch.set_num_threads(recipe.threads)
    network.pretraining = True
    if recipe.even_steps:
        # Histories of unlike lengths meet in a step.
        groups: Groups | EvenGroups = EvenGroups(replace(train, packed=True), recipe.histories_per_step, recipe.seed)
    else:
        groups = grouped(train, recipe.histories_per_step, recipe.seed)
    judged = None if held_out is None else grouped(held_out, recipe.histories_per_step, recipe.seed)
    watched = (checkpoints, "pretrain", progress, tracker)
    curve = _run(network, groups, judged, recipe, recipe.pretrain_epochs, *watched)
    network.pretraining = False
    return curve


def _pretraining(batches: Batches) -> Batches:
    return replace(batches, truths=(), memories=(), pretrain=True)


def _run(
    network: Network,
    train: Groups | EvenGroups,
    held_out: Groups | None,
    recipe: Recipe,
    epochs: int,
    checkpoints: Path | None,
    phase: str,
    progress: Progress,
    tracker: Tracker | None,
) -> list[float]:
    from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    losses: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress(phase, state.global_step / max(state.max_steps, 1))

        def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            losses.append(more["metrics"]["eval_loss"])

    with tempfile.TemporaryDirectory() as scratch, recorded(tracker, f"reader: {phase}") as (recording, told):
        folder = (checkpoints or Path(scratch)) / phase
        arguments = TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=epochs,
            per_device_train_batch_size=1,
            per_device_eval_batch_size=1,
            gradient_accumulation_steps=recipe.accumulation,
            learning_rate=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
            adam_beta2=recipe.adam_beta2,
            warmup_steps=recipe.warmup,
            lr_scheduler_type="cosine",
            max_grad_norm=1.0,
            eval_strategy="no" if held_out is None else "epoch",
            save_strategy="no" if held_out is None and checkpoints is None else "epoch",
            save_total_limit=2,
            load_best_model_at_end=held_out is not None,
            metric_for_best_model=None if held_out is None else "eval_loss",
            prediction_loss_only=True,
            remove_unused_columns=False,
            label_names=["labels"],
            report_to="none",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            seed=recipe.seed,
            **({"logging_strategy": "no"} | told),
        )
        callbacks: list[TrainerCallback] = [Watch(), *recording]
        if held_out is not None:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.patience))
        trainer = Trainer(
            model=network,
            args=arguments,
            train_dataset=train,
            eval_dataset=held_out,
            data_collator=collate,
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=last_whole(folder))
    return losses
