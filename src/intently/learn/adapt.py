"""Tuning the language model itself on a log: LoRA on item texts, so that what is bought together reads alike.

One contrastive step reads pairs of items that one customer met in the same moment or in two that follow
each other; the other pairs of the batch are the negatives (InfoNCE, van den Oord et al. 2018), less the
log of how often each item is drawn, so that popularity is not mistaken for likeness.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.errors import ConfigError
from intently.log.pack import Array
from intently.text.arrays import Sequences
from intently.text.language_model import Progress, cache_folder, load, pooled, silent

ADAPTATIONS = ("frozen", "lora")


@dataclass(frozen=True)
class Lora:
    """How LoRA is trained. `pairs` are read once; `temperature` divides the cosine."""

    rank: int = 8
    alpha: int = 16
    pairs: int = 12_800
    batch_size: int = 64
    learning_rate: float = 5e-4
    temperature: float = 0.07
    seed: int = 0


def attention_layers(network: nn.Module) -> list[str]:
    """Names of the linear layers inside attention, for any architecture."""
    inside = ("attention", "attn")
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and any(word in name.lower() for word in inside)
    }
    if not names:
        raise ConfigError("The language model has no attention layers LoRA could go to.", mend="Use adapt = frozen.")
    return sorted(names)


def pairs_of(sequences: Sequences, text: Array, count: int, rng: np.random.Generator) -> Array:
    """Text numbers (count, 2) of items met in one moment or in two that follow each other."""
    moments = len(sequences.moment_age)
    last = np.zeros(moments, dtype=bool)
    last[sequences.moment_start[1:][sequences.moment_start[1:] > 0] - 1] = True
    first = rng.integers(0, moments, 3 * count)
    second = first + (~last[first] & (rng.random(len(first)) < 0.5))

    def line(moment: Array) -> Array:
        size = sequences.line_start[moment + 1] - sequences.line_start[moment]
        return sequences.item[sequences.line_start[moment] + (rng.random(len(moment)) * size).astype(np.int64)]

    a, b = line(first), line(second)
    met = (a >= 0) & (b >= 0)
    pairs = np.stack([text[a[met]], text[b[met]]], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]][:count]


class _Pairs(nn.Module):
    def __init__(self, network: Any, log_rate: Tensor, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature
        self.register_buffer("log_rate", log_rate, persistent=False)
        self.log_rate: Tensor

    def forward(self, left: dict[str, Tensor], right: dict[str, Tensor], number: Tensor, labels: Tensor) -> Any:
        a, b = pooled(self.network, left), pooled(self.network, right)
        logits = a @ b.T / self.temperature - self.log_rate[number[:, 1]]  # (batch, batch)
        same = number[:, 1].unsqueeze(0) == number[:, 1].unsqueeze(1)
        same.fill_diagonal_(False)
        logits = logits.masked_fill(same, -1e9)
        return {"loss": functional.cross_entropy(logits, torch.arange(len(a), device=a.device))}


def lora(
    model: str,
    texts: Sequence[str],
    pairs: Array,
    plan: Lora | None = None,
    *,
    folder: Path | None = None,
    progress: Progress = silent,
) -> Path:
    """Train a LoRA adapter on pairs of texts and save it; gives its folder."""
    from peft import LoraConfig, TaskType, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    plan = plan or Lora()
    torch.manual_seed(plan.seed)
    tokenizer, network = load(model)
    tuned = get_peft_model(
        network,
        LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            r=plan.rank,
            lora_alpha=plan.alpha,
            target_modules=attention_layers(network),
        ),
    )
    rate = np.bincount(pairs[:, 1], minlength=len(texts)) + 1.0
    log_rate = torch.from_numpy(np.log(rate / rate.sum())).float()

    def collate(rows: list[Array]) -> dict[str, Any]:
        chosen = np.stack(rows)
        sides = [
            tokenizer(
                [texts[i] for i in chosen[:, side]], padding=True, truncation=True, max_length=64, return_tensors="pt"
            )
            for side in (0, 1)
        ]
        return {
            "left": dict(sides[0]),
            "right": dict(sides[1]),
            "number": torch.from_numpy(chosen),
            "labels": torch.zeros(1),
        }

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress("tuning the language model", state.global_step / max(state.max_steps, 1))

    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=_Pairs(tuned, log_rate, plan.temperature),
            args=TrainingArguments(
                output_dir=scratch,
                num_train_epochs=1,
                per_device_train_batch_size=plan.batch_size,
                learning_rate=plan.learning_rate,
                warmup_steps=0.1,
                lr_scheduler_type="cosine",
                dataloader_drop_last=True,
                remove_unused_columns=False,
                label_names=["labels"],
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=not torch.cuda.is_available(),
                seed=plan.seed,
            ),
            train_dataset=list(pairs),
            data_collator=collate,
            callbacks=[Watch()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    name = hashlib.sha256(repr((model, plan)).encode() + pairs.tobytes()).hexdigest()[:16]
    where = folder or cache_folder() / "adapters" / name
    where.mkdir(parents=True, exist_ok=True)
    tuned.save_pretrained(str(where))
    return where
