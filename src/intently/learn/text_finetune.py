"""How a text reader is trained: transformers.Trainer, one recipe for every method."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intently.learn.methods import Method
from intently.learn.text_network import TextNetwork, padded, read_states
from intently.log.pack import Array
from intently.text.language_model import Progress, silent
from intently.text.tokens import Encoded


@dataclass(frozen=True)
class TextRecipe:
    """How long and how hard a text reader is trained.

    `learning_rate` is the method's own where it is None; `head_learning_rate` is that of the head beside a method
    that trains the language model. `held_out` is the share of examples, the newest, that are kept for calibration
    where they are enough. Where the language model is frozen, texts are read once and the head learns for
    `head_epochs`.
    """

    epochs: int = 4
    head_epochs: int = 40
    batch_size: int = 32
    learning_rate: float | None = None
    head_learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: float = 0.06
    max_tokens: int = 128
    held_out: float = 0.1
    # Half precision in the matrix products of training, where the processor multiplies bfloat16 itself: 1.9 times as
    # fast, to the same loss. Answers are always given in full precision.
    bfloat16: bool = True
    threads: int = 1
    seed: int = 0

    def steps(self, examples: int, frozen: bool) -> int:
        """How many steps so many examples take."""
        return -(-examples // self.batch_size) * (self.head_epochs if frozen else self.epochs)


@dataclass(frozen=True)
class Lessons:
    """Texts as tokens with their truths (n,) float32, and the token that pads them."""

    encoded: Sequence[Encoded]
    values: Array
    pad: int

    def take(self, rows: Array) -> Lessons:
        """The lessons at these row numbers."""
        return Lessons([self.encoded[row] for row in rows], self.values[rows], self.pad)


@dataclass(frozen=True)
class _Rows:
    rows: Sequence[dict[str, Any]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def finetune_text(
    network: TextNetwork,
    method: Method,
    lessons: Lessons,
    recipe: TextRecipe,
    *,
    checkpoints: Path | None = None,
    progress: Progress = silent,
) -> list[float]:
    """Train a network in place; gives the mean loss of each epoch. With `checkpoints`, an interrupted run goes on."""
    torch.set_num_threads(recipe.threads)
    frozen = not any(weight.requires_grad for weight in network.language_model.parameters())
    values = lessons.values.tolist()
    if frozen:
        states = read_states(network, lessons.encoded, lessons.pad)
        rows = [{"states": state, "labels": value} for state, value in zip(states, values, strict=True)]
    else:
        rows = [{"input_ids": one.ids, "labels": value} for one, value in zip(lessons.encoded, values, strict=True)]

    def collate(chosen: list[dict[str, Any]]) -> dict[str, Tensor]:
        if frozen:
            labels = torch.tensor([row["labels"] for row in chosen])
            return {"states": torch.stack([row["states"] for row in chosen]), "labels": labels}
        return padded(chosen, lessons.pad)

    with tempfile.TemporaryDirectory() as scratch:
        folder = (checkpoints or Path(scratch)) / "text"
        losses = _train(
            network, method, _Rows(rows), collate, recipe, frozen, folder, checkpoints is not None, progress
        )
    network.eval()
    return losses


def _train(
    network: TextNetwork,
    method: Method,
    rows: _Rows,
    collate: Any,
    recipe: TextRecipe,
    frozen: bool,
    folder: Path,
    keep: bool,
    progress: Progress,
) -> list[float]:
    from transformers import Trainer, TrainerCallback
    from transformers.trainer_callback import PrinterCallback
    from transformers.trainer_utils import get_last_checkpoint

    losses: list[list[float]] = [[]]

    class Watch(TrainerCallback):
        def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if method.after_step is not None:
                method.after_step(network.language_model, state.global_step + 1)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress("fine-tuning on words", state.global_step / max(state.max_steps, 1))

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            losses.append([])

    class TextTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Tensor:
            loss: Tensor = model(**inputs)["loss"]
            losses[-1].append(float(loss.detach()))
            return loss if method.penalty is None else loss + method.penalty(network.language_model)

    trainer = TextTrainer(
        model=network,
        args=_arguments(recipe, frozen, folder, keep),
        train_dataset=rows,
        data_collator=collate,
        callbacks=[Watch()],
        optimizers=(_optimizer(network, method, recipe, frozen), None),
    )
    trainer.remove_callback(PrinterCallback)
    last = get_last_checkpoint(str(folder)) if keep and folder.is_dir() else None  # type: ignore[no-untyped-call]
    trainer.train(resume_from_checkpoint=last)
    return [float(np.mean(epoch)) for epoch in losses if epoch]


def _arguments(recipe: TextRecipe, frozen: bool, folder: Path, keep: bool) -> Any:
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=recipe.head_epochs if frozen else recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        warmup_steps=recipe.warmup,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        train_sampling_strategy="random" if frozen else "group_by_length",
        save_strategy="epoch" if keep else "no",
        save_total_limit=1,
        remove_unused_columns=False,
        label_names=["labels"],
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        bf16=recipe.bfloat16 and bool(torch.cpu.get_capabilities().get("avx512_bf16")),
        use_cpu=not torch.cuda.is_available(),
        seed=recipe.seed,
    )


def _optimizer(network: TextNetwork, method: Method, recipe: TextRecipe, frozen: bool) -> torch.optim.Optimizer:
    """AdamW with the head at a rate of its own; biases, norms and single numbers do not decay."""
    rate = recipe.learning_rate or method.learning_rate
    groups: dict[tuple[float, float], list[Tensor]] = {}
    for name, weight in network.named_parameters():
        if weight.requires_grad:
            head = name.startswith("head.") and not frozen
            decay = recipe.weight_decay if weight.ndim > 1 else 0.0
            groups.setdefault((recipe.head_learning_rate if head else rate, decay), []).append(weight)
    return torch.optim.AdamW([{"params": mine, "lr": lr, "weight_decay": d} for (lr, d), mine in groups.items()])
