"""Much from few labels: texts of one label are drawn together and apart from the rest before a head is trained.

Every batch holds a few texts of each of some labels. The loss is the supervised contrastive one (Khosla et al. 2020):
of all other texts of the batch, those of the same label should be the nearest. What SetFit (Tunstall et al. 2022) does
by pairs, this does by all pairs of a batch at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from intently.errors import TooFewExamples
from intently.learn.text_finetune import Rows, Run, trained
from intently.learn.text_network import TextNetwork, padded
from intently.log.pack import Array
from intently.text.story import Story
from intently.text.tokens import Encoded, encode


@dataclass(frozen=True)
class Contrast:
    """How texts are drawn together: `rounds` over all texts, `labels` a batch with `each` texts of each of them.

    `temperature` divides the cosine; `max_tokens` of a text are read, since a batch costs what its longest text does.
    """

    rounds: int = 10
    labels: int = 16
    each: int = 4
    temperature: float = 0.1
    learning_rate: float = 5e-5
    max_tokens: int = 32


def label_words(label: str) -> str:
    """A label as somebody would write it: card_arrival is "card arrival"."""
    return " ".join(label.replace("_", " ").replace("-", " ").split())


def contrastive_loss(states: Tensor, label: Tensor, temperature: float) -> Tensor:
    """Mean, over texts with a fellow in the batch, of -log softmax of the fellows among all others.

    `states` are (batch, width), `label` (batch,).
    """
    unit = functional.normalize(states, dim=-1)
    alike = unit @ unit.T / temperature  # (batch, batch)
    itself = torch.eye(len(alike), dtype=torch.bool, device=alike.device)
    log_chance = functional.log_softmax(alike.masked_fill(itself, -1e9), dim=1)
    fellow = (label.unsqueeze(0) == label.unsqueeze(1)) & ~itself
    count = fellow.sum(1)
    each = -(log_chance * fellow).sum(1) / count.clamp(min=1)
    return each[count > 0].mean()


def batches(label: Array, plan: Contrast, rng: np.random.Generator) -> Iterator[Array]:
    """Text numbers of each step: `each` texts of each of some labels; in a round every label comes equally often.

    Raises TooFewExamples where no label has two texts.
    """
    of = [np.flatnonzero(label == one) for one in np.unique(label)]
    of = [mine for mine in of if len(mine) > 1]
    if not of:
        raise TooFewExamples(
            "No label has two texts to be drawn together.", mend="Label more texts, or set name_labels = True."
        )
    steps = -(-len(label) // (plan.labels * plan.each))
    for _ in range(plan.rounds):
        order = np.concatenate([rng.permutation(len(of)) for _ in range(-(-steps * plan.labels // len(of)))])
        for step in range(steps):
            chosen = order[step * plan.labels : (step + 1) * plan.labels]
            yield np.concatenate([rng.choice(of[one], min(plan.each, len(of[one])), replace=False) for one in chosen])


def shortened(stories: Sequence[Story], encoded: Sequence[Encoded], tokenizer: Any, budget: int) -> list[list[int]]:
    """The tokens of stories, encoded already, in at most `budget`: of a past so much that what is asked has its part.

    A text without a past is read from its beginning.
    """
    ids = [one.ids[:budget] for one in encoded]
    long = [row for row, one in enumerate(encoded) if len(one.ids) > budget and stories[row].past]
    for row, one in zip(long, encode([stories[row] for row in long], tokenizer, budget), strict=True):
        ids[row] = one.ids
    return ids


def draw_together(
    network: TextNetwork, ids: Sequence[Sequence[int]], label: Array, pad: int, plan: Contrast, run: Run
) -> list[float]:
    """Train the language model of a network in place on texts with labels (n,); gives the mean loss of each epoch."""
    steps = [
        padded([{"input_ids": ids[row][: plan.max_tokens], "labels": float(label[row])} for row in chosen], pad)
        for chosen in batches(label, plan, np.random.default_rng(run.recipe.seed))
    ]

    def loss(model: Any, batch: dict[str, Tensor]) -> Tensor:
        states = model.states(batch["input_ids"], batch["attention_mask"])
        return contrastive_loss(states, batch["labels"], plan.temperature)

    # The steps are made, and are taken in their order.
    recipe = replace(run.recipe, learning_rate=plan.learning_rate, epochs=1)
    mine = replace(run, recipe=recipe, loss=loss, phase="drawing texts of a label together")
    options = {"per_device_train_batch_size": 1, "train_sampling_strategy": "sequential"}
    return trained(network, Rows(steps), lambda chosen: chosen[0], mine, **options)
