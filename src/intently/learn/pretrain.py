"""Pre-training on the shop's own texts: a given model is taken further, or one begins from nothing with its own words.

The result is a folder like any other model's: a text reader takes it by its name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from intently.errors import ConfigError, TooFewExamples
from intently.learn.co_occurrence import counted_vectors
from intently.learn.prompt import GUESS
from intently.learn.track import Tracker, recorded
from intently.text.language_model import Progress, load, silent
from intently.text.story import said

# Fewer texts teach a model nothing, and make a tokenizer of single characters.
FEWEST_TEXTS = 100
_MASKED, _CAUSAL = "masked", "causal"


@dataclass(frozen=True)
class Pretraining:
    """How a model is pre-trained.

    `objective` is masked (a share `hidden` of the tokens is guessed from all others: encoders) or causal (each from
    those before it: decoders). From nothing, `words` is the size of the vocabulary, and `width`, `layers` and
    `attention_heads` that of the model; with `counted`, its words begin where counts of their neighbours put them, and
    as likely as they are often.
    """

    objective: Literal["masked", "causal"] = "masked"
    epochs: int = 3
    hidden: float = 0.2
    words: int = 8_000
    width: int = 192
    layers: int = 4
    attention_heads: int = 4
    counted: bool = False
    max_tokens: int = 96
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.06
    threads: int = 1
    seed: int = 0


def pretrain(
    texts: Sequence[str],
    folder: Path,
    plan: Pretraining | None = None,
    *,
    model: str | None = None,
    progress: Progress = silent,
    tracker: Tracker | None = None,
) -> list[float]:
    """Pre-train on texts and write the model to a folder; gives the mean loss of each epoch, in nats a token.

    With `model`, that model is taken further with its own tokenizer; without it, both are made here.
    Raises TooFewExamples where there are hardly any texts.
    """
    plan = plan or Pretraining()
    kept = [text for text in dict.fromkeys(said(text) for text in texts) if text]
    if len(kept) < FEWEST_TEXTS:
        raise TooFewExamples(
            f"There are {len(kept)} different texts to pre-train on; it takes {FEWEST_TEXTS}.",
            mend="Bring reviews, messages, queries or item titles, or use a model that is pre-trained.",
        )
    torch.manual_seed(plan.seed)
    torch.set_num_threads(plan.threads)
    tokenizer, network = _from_nothing(kept, plan) if model is None else load(model)
    if plan.objective == _MASKED and tokenizer.mask_token is None:
        raise ConfigError(
            f"The model {model!r} has no mask token: it is not an encoder.", mend="Use objective = causal."
        )
    ids = [row for row in _tokens(kept, tokenizer, plan) if len(row) > 2]
    guesser = _Guesser(network, tokenizer, plan)
    if plan.counted and model is None:
        guesser.begin_counted(ids)
    losses = _train(guesser, ids, tokenizer, plan, progress, tracker)
    folder.mkdir(parents=True, exist_ok=True)
    language_model: Any = network
    language_model.save_pretrained(folder)
    # Without them the model could not guess a word that it is asked for by a prompt.
    guess = {"bias": guesser.bias.detach(), **guesser.change.state_dict()}
    save_file({name: weight.contiguous() for name, weight in guess.items()}, folder / GUESS)
    tokenizer.save_pretrained(folder)
    return losses


def own_tokenizer(texts: Sequence[str], words: int, max_tokens: int) -> Any:
    """A tokenizer learned on texts in any script: byte-pair merges of characters, so that nothing is unknown for long.

    Chinese has no blanks: what stands often together becomes one token.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE(unk_token="[UNK]"))
    inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    # Letters of one script, digits one by one, and signs each make words of their own.
    split = pre_tokenizers.Split(Regex(r"\p{Han}+|[^\P{L}\p{Han}]+|\p{N}|[^\s\p{L}\p{N}]"), "removed", invert=True)
    inner.pre_tokenizer = split
    inner.decoder = decoders.Fuse()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.BpeTrainer(vocab_size=words, special_tokens=special, min_frequency=2, show_progress=False)
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", inner.token_to_id("[CLS]")), ("[SEP]", inner.token_to_id("[SEP]"))],
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=inner, model_max_length=max_tokens, **names
    )


def _from_nothing(texts: Sequence[str], plan: Pretraining) -> tuple[Any, Any]:
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel

    tokenizer = own_tokenizer(texts, plan.words, plan.max_tokens)
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": plan.width,
        "num_hidden_layers": plan.layers,
        "num_attention_heads": plan.attention_heads,
        "max_position_embeddings": plan.max_tokens + 32,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if plan.objective == _CAUSAL:
        return tokenizer, LlamaModel(LlamaConfig(**sizes, intermediate_size=3 * plan.width))
    return tokenizer, BertModel(BertConfig(**sizes, intermediate_size=4 * plan.width))


def _tokens(texts: Sequence[str], tokenizer: Any, plan: Pretraining) -> Iterator[list[int]]:
    for start in range(0, len(texts), 1_000):
        found = tokenizer(list(texts[start : start + 1_000]), truncation=True, max_length=plan.max_tokens)
        yield from found["input_ids"]


class _Guesser(nn.Module):
    """A language model that guesses tokens by how near its states are to the tokens' own vectors."""

    def __init__(self, network: Any, tokenizer: Any, plan: Pretraining) -> None:
        super().__init__()
        width = network.config.hidden_size
        self.network = network
        self.change = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(network.get_input_embeddings().num_embeddings))
        self.pad, self.mask, self.plan = tokenizer.pad_token_id, tokenizer.mask_token_id, plan
        # Marks are never guessed. Seeded: the same run hides the same tokens.
        self.marks = sorted(set(tokenizer.all_special_ids))
        self.lot = torch.Generator().manual_seed(plan.seed)
        self.words = len(tokenizer)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The mean loss of the tokens guessed; `labels` are the true ids."""
        if self.plan.objective == _CAUSAL:
            asked = attention_mask[:, 1:].bool()
            hidden = self._states(input_ids, attention_mask)[:, :-1][asked]
            return {"loss": functional.cross_entropy(self._logits(hidden), labels[:, 1:][asked])}
        marks = torch.isin(input_ids, torch.tensor(self.marks))
        draw = torch.rand(input_ids.shape, generator=self.lot)
        asked = (draw < self.plan.hidden) & ~marks
        if not bool(asked.any()):
            return {"loss": self.bias.sum() * 0}
        # Of those asked, a tenth stay as they are and a tenth become anything (Devlin et al. 2019).
        how = torch.rand(input_ids.shape, generator=self.lot)
        anything = torch.randint(self.words, input_ids.shape, generator=self.lot)
        shown = torch.where(asked & (how < 0.8), torch.full_like(input_ids, self.mask or 0), input_ids)
        shown = torch.where(asked & (how >= 0.9), anything, shown)
        hidden = self._states(shown, attention_mask)[asked]  # (asked, width)
        return {"loss": functional.cross_entropy(self._logits(hidden), labels[asked])}

    def begin_counted(self, rows: Sequence[list[int]]) -> None:
        """Put the words where their neighbours say, and their bias at how often they are met."""
        vectors: Tensor = self.network.get_input_embeddings().weight
        marks = frozenset(self.marks)
        met = np.bincount(np.concatenate([np.array(row) for row in rows]), minlength=len(vectors)) + 1.0
        with torch.no_grad():
            vectors.copy_(torch.from_numpy(counted_vectors(rows, *vectors.shape, marks=marks, seed=self.plan.seed)))
            self.bias.copy_(torch.from_numpy(np.log(met / met.sum())))

    def _states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return states

    def _logits(self, hidden: Tensor) -> Tensor:
        return self.change(hidden) @ self.network.get_input_embeddings().weight.T + self.bias


def _train(
    guesser: _Guesser,
    ids: Sequence[list[int]],
    tokenizer: Any,
    plan: Pretraining,
    progress: Progress,
    tracker: Tracker | None,
) -> list[float]:
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    losses: list[list[float]] = [[]]

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            progress("pre-training on words", state.global_step / max(state.max_steps, 1))

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            losses.append([])

    class GuessTrainer(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Tensor:
            loss: Tensor = model(**inputs)["loss"]
            losses[-1].append(float(loss.detach()))
            return loss

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        longest = max(len(row["input_ids"]) for row in rows)
        found = torch.full((len(rows), longest), tokenizer.pad_token_id)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for number, row in enumerate(rows):
            found[number, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
            mask[number, : len(row["input_ids"])] = 1
        return {"input_ids": found, "attention_mask": mask, "labels": found}

    with tempfile.TemporaryDirectory() as scratch, recorded(tracker, "pre-training on words") as (recording, said):
        trainer = GuessTrainer(
            model=guesser,
            args=TrainingArguments(
                output_dir=scratch,
                num_train_epochs=plan.epochs,
                per_device_train_batch_size=plan.batch_size,
                train_sampling_strategy="group_by_length",
                learning_rate=plan.learning_rate,
                weight_decay=plan.weight_decay,
                warmup_steps=plan.warmup,
                lr_scheduler_type="cosine",
                remove_unused_columns=False,
                label_names=["labels"],
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                bf16=bool(torch.cpu.get_capabilities().get("avx512_bf16")),
                use_cpu=not torch.cuda.is_available(),
                seed=plan.seed,
                **({"logging_strategy": "no"} | said),
            ),
            train_dataset=[{"input_ids": row} for row in ids],
            data_collator=collate,
            callbacks=[Watch(), *recording],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return [float(np.mean(epoch)) for epoch in losses if epoch]
