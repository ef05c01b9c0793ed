"""How a text reader is trained: transformers.Trainer, one recipe for every method; and a head alone, to its optimum."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intently.contract import Examples
from intently.learn.checkpoints import last_whole
from intently.learn.estimate import Clock, estimate
from intently.learn.methods import Method
from intently.learn.text_network import ASKED, TextNetwork, padded, truths
from intently.learn.track import Tracker, recorded
from intently.log.pack import Array
from intently.text.language_model import Progress, silent
from intently.text.tokens import Encoded

# Methods tell their learning rates for this width; a wider model wants less, in proportion.
_USUAL_WIDTH = 384
# In a checkpoint: what a method keeps beside the weights, and in the history the mean loss of each epoch.
_MEMORY = "method.safetensors"
_LOSS = "mean_loss"
# Fewer than this are not worth keeping from the training: calibration needs a hundred.
_ENOUGH = 1_000

Loss = Callable[[TextNetwork, dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class TextRecipe:
    """How long and how hard a text reader is trained.

    Where examples are few, they are read more than `epochs` times, until `fewest_steps` are done.
    `learning_rate` is `rate` times the method's own where it is None; `head_learning_rate` is that of the head beside
    a method that trains the language model. `held_out` is the share of examples, the newest, that are kept for
    calibration where they are enough. A head that is trained alone is trained to its optimum, with weights that are the
    freer the higher `head_freedom` (the C of a logistic regression on vectors of length 1). With `by_length`, a batch
    is of texts alike in length, to save padding; without it of any, as where length says something of the answer: a
    long past is a busy customer's, and batches of customers alike teach their own order.
    """

    epochs: int = 4
    fewest_steps: int = 200
    batch_size: int = 32
    learning_rate: float | None = None
    rate: float = 1.0
    head_learning_rate: float = 2e-3
    head_freedom: float = 30.0
    weight_decay: float = 0.01
    warmup: float = 0.06
    max_tokens: int = 128
    held_out: float = 0.1
    by_length: bool = True
    # Half precision in the matrix products of training, where the processor multiplies bfloat16 itself: 1.4 times as
    # fast, to the same loss. Answers are always given in full precision.
    bfloat16: bool = True
    threads: int = 1
    seed: int = 0

    def steps(self, examples: int) -> int:
        """How many steps so many examples take."""
        return -(-examples // self.batch_size) * self.passes(examples)

    def passes(self, examples: int) -> int:
        """How many times so many examples are read."""
        return max(self.epochs, -(-self.fewest_steps // max(-(-examples // self.batch_size), 1)))


@dataclass(frozen=True)
class Lessons:
    """Texts as tokens with their truths (n,) float32, and the token that pads them."""

    encoded: Sequence[Encoded]
    values: Array
    pad: int

    def __len__(self) -> int:
        return len(self.encoded)


@dataclass(frozen=True)
class Rows:
    """A torch dataset of what a step is made of."""

    rows: Sequence[Any]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


@dataclass(frozen=True)
class Run:
    """One training by transformers.Trainer: of which method, by which recipe and loss, and who watches it.

    With `checkpoints`, an interrupted run goes on from its last whole epoch. Who watches is told what it will take by
    the `clock` before it begins. A `tracker` records its losses.
    """

    method: Method
    recipe: TextRecipe
    loss: Loss
    checkpoints: Path | None = None
    progress: Progress = silent
    phase: str = "fine-tuning on words"
    clock: Clock = time.perf_counter
    tracker: Tracker | None = None


def finetune_text(network: TextNetwork, lessons: Lessons, run: Run) -> list[float]:
    """Train a language model and its head in place; gives the mean loss of each epoch."""
    rows = [
        {"input_ids": one.ids, "labels": value}
        for one, value in zip(lessons.encoded, lessons.values.tolist(), strict=True)
    ]
    passes = run.recipe.passes(len(lessons))
    return trained(network, Rows(rows), lambda chosen: padded(chosen, lessons.pad), run, num_train_epochs=passes)


def trained(
    network: TextNetwork, rows: Rows, collate: Callable[[list[Any]], Any], run: Run, **options: Any
) -> list[float]:
    """Run transformers.Trainer over the rows; gives the mean loss of each epoch. `options` are TrainingArguments."""
    from safetensors.torch import load_file, save_file
    from transformers import Trainer, TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    torch.set_num_threads(run.recipe.threads)
    method, losses = run.method, list[float]()

    class Watch(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if method.after_step is not None:
                method.after_step(network.language_model, state.global_step + 1)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            run.progress(told, state.global_step / max(state.max_steps, 1))

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # What is in the history is in a checkpoint too.
            state.log_history.append({_LOSS: float(np.mean(losses))})
            losses.clear()

    class TextTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Tensor:
            # The Trainer casts a model's `forward`, through which these losses do not go.
            with self.accelerator.autocast():
                loss = run.loss(model, inputs)
            losses.append(float(loss.detach()))
            return _penalised(loss, network, method)

        def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
            super().save_model(output_dir, _internal_call)
            if method.memory is not None and output_dir is not None:
                save_file(method.memory(network.language_model), Path(output_dir) / _MEMORY)

    with tempfile.TemporaryDirectory() as scratch, recorded(run.tracker, run.phase) as (recording, said):
        folder = (run.checkpoints or Path(scratch)) / run.phase.replace(" ", "_")
        keep = run.checkpoints is not None
        trainer = TextTrainer(
            model=network,
            args=_arguments(run.recipe, folder, keep, options | said),
            train_dataset=rows,
            data_collator=collate,
            callbacks=[Watch(), *recording],
            optimizers=(_optimizer(network, run), None),
        )
        trainer.remove_callback(PrinterCallback)
        told = _told(network, trainer, run)
        run.progress(told, 0.0)
        last = last_whole(folder)
        if last is not None and method.recall is not None:
            method.recall(network.language_model, load_file(Path(last) / _MEMORY))
        trainer.train(resume_from_checkpoint=last)
    network.eval()
    return [row[_LOSS] for row in trainer.state.log_history if _LOSS in row]


def _told(network: TextNetwork, trainer: Any, run: Run) -> str:
    """The name of a phase for who watches it, with what it will take."""
    if run.progress is silent:
        return run.phase
    # The batches of its first epoch as they will come, padding and all.
    with torch.random.fork_rng():
        batches = sorted(trainer.get_train_dataloader(), key=lambda batch: batch["input_ids"].numel())

    def loss(batch: dict[str, Tensor]) -> Tensor:
        with trainer.accelerator.autocast():
            found = run.loss(network, batch)
        return _penalised(found, network, run.method)

    return f"{run.phase} ({estimate(network, batches, trainer.args.num_train_epochs, loss, run.clock)})"


def _penalised(loss: Tensor, network: TextNetwork, method: Method) -> Tensor:
    return loss if method.penalty is None else loss + method.penalty(network.language_model)


def fit_head(
    network: TextNetwork, states: Tensor, values: Array, recipe: TextRecipe, tracker: Tracker | None = None
) -> list[float]:
    """Train the head alone on states (n, width), to the minimum of its loss with a penalty; gives the last loss.

    A `tracker` records the loss at each evaluation, of which a step takes several: it searches along a line.
    """
    torch.set_num_threads(recipe.threads)
    head, batch = network.head, truths(torch.from_numpy(values))
    # |w|^2 / 2C n, for vectors of length 1; states are of length root width.
    strength = states.shape[1] / (2 * recipe.head_freedom * len(states))
    weights = [weight for weight in head.parameters() if weight.ndim > 1]
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-5)
    scale, losses = getattr(head, "scale", 1.0), list[float]()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = head.loss(states, batch, ASKED)
        losses.append(float(loss.detach()))
        penalised = loss + strength / scale * torch.stack([weight.square().sum() for weight in weights]).sum()
        penalised.backward()  # type: ignore[no-untyped-call]
        return penalised

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        losses.append(float(head.loss(states, batch, ASKED)))
    if tracker is not None:
        tracker.curve("training the head", losses)
    return losses[-1:]


def _arguments(recipe: TextRecipe, folder: Path, keep: bool, options: dict[str, Any]) -> Any:
    from transformers import TrainingArguments

    standard: dict[str, Any] = {
        "num_train_epochs": recipe.epochs,
        "per_device_train_batch_size": recipe.batch_size,
        "train_sampling_strategy": "group_by_length" if recipe.by_length else "random",
        "warmup_steps": recipe.warmup,
        "lr_scheduler_type": "cosine",
        "max_grad_norm": 1.0,
        "save_strategy": "epoch" if keep else "no",
        "save_total_limit": 1,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": recipe.bfloat16 and bool(torch.cpu.get_capabilities().get("avx512_bf16")),
        "use_cpu": not torch.cuda.is_available(),
        "seed": recipe.seed,
    }
    return TrainingArguments(output_dir=str(folder), **(standard | options))


def _optimizer(network: TextNetwork, run: Run) -> torch.optim.Optimizer:
    """AdamW with the head at a rate of its own; biases, norms and single numbers do not decay."""
    width = network.language_model.config.hidden_size
    rate = run.recipe.learning_rate or run.recipe.rate * run.method.learning_rate * _USUAL_WIDTH / width
    prompted = getattr(network, "guess", None) is not None
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            # A head that begins with the vectors of words is a part of the language model.
            mine = run.recipe.head_learning_rate if name.startswith("head.") and not prompted else rate
            decay = run.recipe.weight_decay if weight.ndim > 1 else 0.0
            groups.setdefault((mine, decay), []).append(weight)
    return torch.optim.AdamW([{"params": mine, "lr": lr, "weight_decay": d} for (lr, d), mine in groups.items()])


def trained_on(examples: Examples, recipe: TextRecipe) -> Array:
    """Which examples are trained on: all but the newest share, and all where they are few."""
    keep = np.ones(len(examples), dtype=bool)
    if len(examples) >= _ENOUGH and recipe.held_out:
        order = np.argsort(examples.at.dt.epoch("us").to_numpy(), kind="stable")
        keep[order[len(order) - round(len(order) * recipe.held_out) :]] = False
    return keep
