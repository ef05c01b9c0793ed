"""What comes next at every step of a session: a language model that looks back only, and a label at each step.

A step's state is the mean over the tokens of its words: what was done stands at their beginning, and to what at their
end. An encoder is made to look back only; one that cannot be is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from intently.learn.track import Tracker
from intently.log.log import Log
from intently.log.pack import Array
from intently.text.language_model import PACKAGED, Progress, load, silent
from intently.text.steps import NONE, Session, sessions

_NOTHING = -100
# Sessions read at once.
_AT_ONCE = 64


class StepNetwork(nn.Module):
    """A language model that looks back only, and a logit per label at every step."""

    def __init__(self, language_model: Any, width: int, labels: int) -> None:
        super().__init__()
        self.language_model = language_model
        self.head = nn.Linear(width, labels)

    def logits(self, input_ids: Tensor, attention_mask: Tensor, step: Tensor) -> Tensor:
        """(batch, steps, labels), from tokens and the `step` (batch, tokens) that each belongs to, -1 for none."""
        hidden = self.language_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden = hidden[:, hidden.shape[1] - input_ids.shape[1] :].float()
        numbers = torch.arange(int(step.max()) + 1, device=step.device)
        mine = (step.unsqueeze(1) == numbers.unsqueeze(1)).float()  # (batch, steps, tokens)
        found: Tensor = self.head(functional.normalize(mine @ hidden, dim=-1) * hidden.shape[-1] ** 0.5)
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
    """A language model fine-tuned to say what follows each step of a session; `model` is a name or a folder.

    `losses` are the mean loss of each time that the sessions were read.
    """

    model: str = PACKAGED
    method: str = "full"
    sizes: Sizes = field(default_factory=Sizes)
    recipe: TextRecipe = field(default_factory=TextRecipe)
    language: str = "en"
    progress: Progress = field(default=silent, repr=False, compare=False)
    labels: tuple[str, ...] = ()
    network: StepNetwork | None = field(default=None, repr=False, compare=False)
    tokenizer: Any = field(default=None, repr=False, compare=False)
    losses: tuple[float, ...] = ()

    def fit(self, log: Log, begin: datetime, end: datetime, *, tracker: Tracker | None = None) -> Self:
        """Learn from the sessions of `[begin, end)`; a `tracker` records the losses.

        Raises TooFewExamples where nothing but one label follows.
        """
        torch.manual_seed(self.recipe.seed)
        seen = sessions(log, begin, end, self.language)
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
        rows = [row for session in seen for row in made._rows(session)]
        run = Run(method, self.recipe, _loss, progress=self.progress, phase="learning what comes next", tracker=tracker)
        # Not grouped by length: after a session of one step nothing comes, and such a batch would have one label.
        options = {"num_train_epochs": self.recipe.passes(len(rows)), "train_sampling_strategy": "random"}
        losses = trained(
            cast(Any, network), Rows(rows), lambda some: _batch(some, tokenizer.pad_token_id), run, **options
        )
        return replace(made, losses=tuple(losses))

    def predict(self, log: Log, begin: datetime, end: datetime) -> Steps:
        """What follows each step of the sessions of `[begin, end)`, from what was done in the session so far."""
        if self.network is None:
            raise ConfigError("This step reader has not been fitted.", mend="Call fit with a log.")
        seen = sessions(log, begin, end, self.language)
        rows = [row for session in seen for row in self._rows(session)]
        torch.set_num_threads(self.recipe.threads)
        parts = [np.zeros((0, len(self.labels)), dtype=np.float32)]
        with torch.no_grad():
            for start in range(0, len(rows), _AT_ONCE):
                batch = _batch(rows[start : start + _AT_ONCE], self.tokenizer.pad_token_id)
                labels = batch.pop("labels")
                parts.append(torch.softmax(self.network.logits(**batch)[labels != _NOTHING], dim=-1).numpy())
        row, kind, then = (
            [one for session in seen for one in getattr(session, name)] for name in ("row", "kind", "then")
        )
        return Steps(np.array(row), tuple(kind), tuple(then), np.concatenate(parts), self.labels)

    def _rows(self, session: Session) -> Iterator[dict[str, list[int]]]:
        """Tokens of a session, in as many parts as the budget asks for, each told what was before the session.

        What comes next is the number of a label, and 0 where training never saw it: it is not read in predicting.
        """
        number = {label: place for place, label in enumerate(self.labels)}
        told = self.tokenizer([session.before, *session.words], add_special_tokens=False, verbose=False)["input_ids"]
        before = told[0][: self._budget // 2]
        row = _row(before)
        for ids, then in zip(told[1:], session.then, strict=True):
            if row["labels"] and len(row["input_ids"]) + len(ids) > self._budget:
                yield row
                row = _row(before)
            mine = ids[: self._budget - len(row["input_ids"])] or [self.tokenizer.pad_token_id]
            row["input_ids"] += mine
            row["step"] += [len(row["labels"])] * len(mine)
            row["labels"].append(number.get(then, 0))
        yield row

    @property
    def _budget(self) -> int:
        """How many tokens of text the model can take, at most the recipe's."""
        config: Any = cast(Any, self.network).language_model.config
        positions = getattr(config, "max_position_embeddings", None) or self.recipe.max_tokens
        return int(min(self.recipe.max_tokens, positions - method_of(self.method).positions(self.sizes)))


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
    logits = network.logits(batch["input_ids"], batch["attention_mask"], batch["step"])
    return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=_NOTHING)


def _row(before: Sequence[int]) -> dict[str, list[int]]:
    """Tokens, the number of the step that each tells of (-1: what was before), and what came after each step."""
    return {"input_ids": list(before), "step": [-1] * len(before), "labels": []}


def _batch(rows: Sequence[dict[str, list[int]]], pad: int) -> dict[str, Tensor]:
    def table(name: str, empty: int) -> Tensor:
        longest = max(len(row[name]) for row in rows)
        return torch.tensor([[*row[name], *[empty] * (longest - len(row[name]))] for row in rows])

    ids, step = table("input_ids", pad), table("step", -1)
    length = torch.tensor([len(row["input_ids"]) for row in rows])
    mask = (torch.arange(ids.shape[1]) < length.unsqueeze(1)).long()
    return {"input_ids": ids, "attention_mask": mask, "step": step, "labels": table("labels", _NOTHING)}


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
