"""What comes next at every step of a session: a language model that looks back only, and a label at each step.

A label stands at the last token of a step's words. An encoder is made to look back only; one that cannot be is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self, cast

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.errors import ConfigError, TooFewExamples
from intently.learn.methods import Sizes, applied, method_of
from intently.learn.text_finetune import Rows, Run, TextRecipe, trained
from intently.log.log import Log
from intently.log.pack import Array
from intently.text.language_model import PACKAGED, Progress, load, silent
from intently.text.steps import NONE, Session, sessions

_NOTHING = -100


class StepNetwork(nn.Module):
    """A language model that looks back only, and a logit per label at every token."""

    def __init__(self, language_model: Any, width: int, labels: int) -> None:
        super().__init__()
        self.language_model = language_model
        self.head = nn.Linear(width, labels)

    def logits(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, tokens, labels)."""
        hidden = self.language_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden = hidden[:, hidden.shape[1] - input_ids.shape[1] :].float()
        found: Tensor = self.head(functional.normalize(hidden, dim=-1) * hidden.shape[-1] ** 0.5)
        return found


@dataclass(frozen=True)
class Steps:
    """Answers at steps: their rows in `log.events`, what came next, the chances (steps, labels), and the labels."""

    row: Array
    kind: tuple[str, ...]
    then: tuple[str, ...]
    chances: Array
    labels: tuple[str, ...]

    def report(self) -> pl.DataFrame:
        """Precision, recall, F1 and number of each label that came or was given; a last row for their plain mean."""
        return classification(self.then, [self.labels[number] for number in self.chances.argmax(axis=1)])


@dataclass(frozen=True)
class StepReader:
    """A language model fine-tuned to say what follows each step of a session; `model` is a name or a folder."""

    model: str = PACKAGED
    method: str = "full"
    sizes: Sizes = field(default_factory=Sizes)
    recipe: TextRecipe = field(default_factory=TextRecipe)
    language: str = "en"
    longest: int = 24
    progress: Progress = field(default=silent, repr=False, compare=False)
    labels: tuple[str, ...] = ()
    network: StepNetwork | None = field(default=None, repr=False, compare=False)
    tokenizer: Any = field(default=None, repr=False, compare=False)

    def fit(self, log: Log, begin: datetime, end: datetime) -> Self:
        """Learn from the sessions of `[begin, end)`. Raises TooFewExamples where nothing but one label follows."""
        torch.manual_seed(self.recipe.seed)
        seen = [session.last(self.longest) for session in sessions(log, begin, end, self.language)]
        labels = (*sorted({label for session in seen for label in session.then} - {NONE}), NONE)
        if len(labels) < 2:
            raise TooFewExamples(
                f"In {len(seen)} sessions nothing follows on anything.", mend="Bring a log of what is done in a visit."
            )
        tokenizer, base = load(self.model)
        method = method_of(self.method)
        tuned = applied(method, _looking_back(base), self.sizes, self.recipe.steps(len(seen)))
        config: Any = base.config
        network = StepNetwork(tuned, config.hidden_size, len(labels))
        made = replace(self, labels=labels, network=network, tokenizer=tokenizer, progress=silent)
        number = {label: place for place, label in enumerate(labels)}
        rows = [row for row in map(made._row, seen, [number] * len(seen)) if row is not None]
        run = Run(method, self.recipe, _loss, progress=self.progress, phase="learning what comes next")
        passes, anything = self.recipe.passes(len(rows)), cast(Any, network)
        trained(anything, Rows(rows), lambda some: _batch(some, tokenizer.pad_token_id), run, num_train_epochs=passes)
        return made

    def predict(self, log: Log, begin: datetime, end: datetime) -> Steps:
        """What follows each step of the sessions of `[begin, end)`, from what was done in the session so far."""
        if self.network is None:
            raise ConfigError("This step reader has not been fitted.", mend="Call fit with a log.")
        seen = [session.last(self.longest) for session in sessions(log, begin, end, self.language)]
        torch.set_num_threads(self.recipe.threads)
        parts: list[Array] = []
        row: list[int] = []
        kind: list[str] = []
        then: list[str] = []
        with torch.no_grad():
            for session in seen:
                told = self._row(session, dict.fromkeys(session.then, 0))
                assert told is not None
                batch = _batch([told], self.tokenizer.pad_token_id)
                logits = self.network.logits(batch["input_ids"], batch["attention_mask"])[0]
                at = [place for place, label in enumerate(told["labels"]) if label != _NOTHING]
                parts.append(torch.softmax(logits[at], dim=-1).numpy())
                # A session that is longer than the model reads is answered from where it could be read.
                row += session.row[-len(at) :]
                kind += session.kind[-len(at) :]
                then += session.then[-len(at) :]
        chances = np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), dtype=np.float32)
        return Steps(np.array(row), tuple(kind), tuple(then), chances, self.labels)

    def _row(self, session: Session, number: Mapping[str, int]) -> dict[str, list[int]] | None:
        """Tokens of a session, and at the last of each step's the number of what came next."""
        found = self.tokenizer(session.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids, offsets = list(found["input_ids"]), found["offset_mapping"]
        labels = [_NOTHING] * len(ids)
        starts = np.array([start for start, _ in offsets])
        for end, then in zip(session.ends, session.then, strict=True):
            place = int(np.searchsorted(starts, end)) - 1
            if place >= 0 and then in number:
                labels[place] = number[then]
        # The newest tokens: what came first is forgotten first.
        ids, labels = ids[-self.recipe.max_tokens :], labels[-self.recipe.max_tokens :]
        return {"input_ids": ids, "labels": labels} if ids and any(label != _NOTHING for label in labels) else None


def markov(earlier: Sequence[Session], later: Sequence[Session], labels: tuple[str, ...]) -> Steps:
    """What follows on each type most often: chances from counts of pairs, by the rule of succession."""
    number = {label: place for place, label in enumerate(labels)}
    count: dict[str, Array] = {}
    for session in earlier:
        for kind, then in zip(session.kind, session.then, strict=True):
            count.setdefault(kind, np.ones(len(labels)))[number[then]] += 1
    usual = np.ones(len(labels))
    kinds = tuple(kind for session in later for kind in session.kind)
    chances = np.stack([count.get(kind, usual) / count.get(kind, usual).sum() for kind in kinds])
    rows = np.array([row for session in later for row in session.row])
    return Steps(rows, kinds, tuple(label for session in later for label in session.then), chances, labels)


def classification(truth: Sequence[str], given: Sequence[str]) -> pl.DataFrame:
    """Precision, recall, F1 and number of each label that is true or given; "mean" is their plain mean (macro)."""
    table = pl.DataFrame({"truth": list(truth), "given": list(given)})
    rows = []
    for label in sorted({*truth, *given}):
        right = table.filter(pl.col("truth") == label, pl.col("given") == label).height
        true, said = (table.filter(pl.col(name) == label).height for name in ("truth", "given"))
        rows.append(
            {
                "label": label,
                "precision": right / said if said else 0.0,
                "recall": right / true if true else 0.0,
                "f1": 2 * right / (said + true),
                "number": true,
            }
        )
    found = pl.DataFrame(rows)
    means = pl.col("precision", "recall", "f1").mean()
    mean = found.select(pl.lit("mean").alias("label"), means, pl.col("number").sum())
    return pl.concat([found, mean.select(pl.col(name).cast(dtype) for name, dtype in found.schema.items())])


def _loss(network: Any, batch: dict[str, Tensor]) -> Tensor:
    logits = network.logits(batch["input_ids"], batch["attention_mask"])
    return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=_NOTHING)


def _batch(rows: Sequence[dict[str, list[int]]], pad: int) -> dict[str, Tensor]:
    longest = max(len(row["input_ids"]) for row in rows)
    found = {
        "input_ids": torch.full((len(rows), longest), pad),
        "attention_mask": torch.zeros((len(rows), longest), dtype=torch.long),
        "labels": torch.full((len(rows), longest), _NOTHING),
    }
    for number, row in enumerate(rows):
        length = len(row["input_ids"])
        found["input_ids"][number, :length] = torch.tensor(row["input_ids"])
        found["attention_mask"][number, :length] = 1
        found["labels"][number, :length] = torch.tensor(row["labels"])
    return found


def _looking_back(network: Any) -> Any:
    """The model, made to look back only; ConfigError where what comes later still changes what came before."""
    network.config.is_decoder = True
    network.config.use_cache = False
    for module in network.modules():
        # Where no mask is needed for padding, attention goes by this mark, which was set when the model was made.
        if hasattr(module, "is_causal"):
            module.is_causal = True
    network.eval()
    ids = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])
    with torch.no_grad():
        states = network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, :3]
    if not torch.allclose(states[0], states[1], atol=1e-5):
        raise ConfigError(
            f"A model of type {network.config.model_type!r} cannot be made to look back only.",
            mend="Use a decoder (Llama, Qwen and their like) or BERT.",
        )
    return network
