"""A text reader made smaller: whole layers and attention heads taken out, and a short fine-tune to recover.

Which layers: one at a time, the one whose absence raises the loss least (layers are nearly independent, and there are
few of them). Which heads: those on whose strength the loss depends least (Michel et al. 2019, Are sixteen heads really
better than one?), as many from each layer. The reader as it was teaches the smaller one beside the truths.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from intently.contract import Examples, Past
from intently.errors import ConfigError
from intently.learn.continual import distilled
from intently.learn.methods import method_of
from intently.learn.methods.method import layers_of
from intently.learn.text_finetune import Lessons, Loss, Run, TextRecipe, finetune_text, trained_on
from intently.learn.text_network import TextNetwork, padded
from intently.learn.text_reader import TextReader
from intently.learn.text_truth import values_of
from intently.learn.text_weights import Pruned, attention, base_of, cut

# Texts on which layers and heads are weighed.
_WEIGHED = 256
_BATCH = 32


@dataclass(frozen=True)
class Pruning:
    """How much is left: so many `layers`, and of each so many `heads`; all of them where None.

    Then the smaller reader is trained for `epochs`, at `rate` times the usual learning rate; `keep` is how hard it is
    held to the answers of the larger one.
    """

    layers: int | None = None
    heads: int | None = None
    epochs: int = 2
    fewest_steps: int = 60
    rate: float = 0.5
    keep: float = 1.0


def pruned(reader: TextReader, examples: Examples, past: Past, pruning: Pruning) -> TextReader:
    """A smaller reader that has recovered on these examples with their truth, and is calibrated on the newest of them
    where they are enough (as is kept from a training); else it keeps the calibration of the larger one.

    Raises ConfigError for a method that cannot be merged into the model, and for more layers or heads than there are.
    """
    if method_of(reader.method).beside:
        raise ConfigError(
            f"What {reader.method} has added cannot be merged into the model, so it cannot be pruned.",
            mend="Train with full, last_layers or lora, and prune that.",
        )
    if reader.pruned is not None:
        raise ConfigError("The reader has been pruned already.", mend="Prune the one that it was made from.")
    large = reader.merged()
    network = copy.deepcopy(large.network)
    encoded = large.encoded(examples.hide(), past)
    kept = trained_on(examples, reader.recipe)
    taught = [encoded[row] for row in np.flatnonzero(kept)]
    lessons = Lessons(taught, values_of(examples)[kept], large.network_tokenizer.pad_token_id)
    loss = reader.objective.loss(reader.task.answer)
    for weight in network.parameters():
        weight.requires_grad = True
    left = _chosen(network, lessons, loss, pruning, reader.recipe.seed)
    cut(base_of(network.language_model), left)
    recipe = replace(
        reader.recipe, epochs=pruning.epochs, fewest_steps=pruning.fewest_steps, rate=pruning.rate, learning_rate=None
    )
    losses = _recovered(network, copy.deepcopy(large.network).eval(), lessons, loss, recipe, reader, pruning.keep)
    smaller = replace(large, method="full", pruned=left).with_network(network, losses)
    if kept.all():
        return smaller
    return smaller.calibrated_on(examples.where(~kept), [encoded[row] for row in np.flatnonzero(~kept)])


def _recovered(
    network: TextNetwork,
    teacher: TextNetwork,
    lessons: Lessons,
    loss: Loss,
    recipe: TextRecipe,
    reader: TextReader,
    keep: float,
) -> list[float]:
    held = distilled(loss, teacher, reader.task, keep) if keep else loss
    torch.manual_seed(recipe.seed)
    run = Run(method_of("full"), recipe, held, progress=reader.progress, phase="recovering from pruning")
    return finetune_text(network, lessons, run)


def _chosen(network: TextNetwork, lessons: Lessons, loss: Loss, pruning: Pruning, seed: int) -> Pruned:
    """What is left, by what is lost on some of the lessons."""
    base = base_of(network.language_model)
    layers = layers_of(base, "Pruning")
    wanted = len(layers) if pruning.layers is None else pruning.layers
    if not 1 <= wanted <= len(layers):
        raise ConfigError(f"The model has {len(layers)} layers.", mend=f"Keep between 1 and {len(layers)} of them.")
    batches = list(_batches(lessons, seed))
    kept, whole = list(range(len(layers))), list(layers)
    network.eval()
    while len(kept) > wanted:
        lost = {}
        for number in kept:
            _put(layers, [whole[place] for place in kept if place != number])
            with torch.no_grad():
                lost[number] = sum(float(loss(network, batch)) for batch in batches)
        kept.remove(min(lost, key=lambda number: lost[number]))
    _put(layers, whole)
    heads: tuple[tuple[int, ...], ...] | None = None
    if pruning.heads is not None:
        strength = _strengths(network, [whole[place] for place in kept], batches, loss)
        most = len(strength[0])
        if not 1 <= pruning.heads <= most:
            raise ConfigError(f"Its layers have {most} heads each.", mend=f"Keep between 1 and {most} of them.")
        heads = tuple(tuple(sorted(np.argsort(-one)[: pruning.heads].tolist())) for one in strength)
    return Pruned(tuple(kept), heads)


def _put(layers: nn.ModuleList, chosen: list[Any]) -> None:
    """Let the model consist of these layers."""
    del layers[:]
    layers.extend(chosen)


def _strengths(network: TextNetwork, layers: list[Any], batches: list[dict[str, Tensor]], loss: Loss) -> list[Any]:
    """How much the loss would move with the strength of each head, one array a layer."""
    parts = [attention(layer) for layer in layers]
    found = [np.zeros(part.groups) for part in parts]
    heard: dict[int, Tensor] = {}

    def listen(number: int) -> Any:
        def hook(_module: nn.Module, given: tuple[Tensor, ...]) -> None:
            heard[number] = given[0]
            given[0].retain_grad()

        return hook

    hooks = [part.out.register_forward_pre_hook(listen(number)) for number, part in enumerate(parts)]
    try:
        for batch in batches:
            network.zero_grad()
            loss(network, batch).backward()  # type: ignore[no-untyped-call]
            for number, part in enumerate(parts):
                # The slope by a factor before each head is the sum of value times slope over what it says.
                slope = heard[number].grad
                assert slope is not None
                by_text = (heard[number] * slope).sum(1)  # (texts, width)
                found[number] += by_text.view(len(by_text), part.groups, -1).sum(2).abs().sum(0).detach().numpy()
    finally:
        for hook in hooks:
            hook.remove()
    network.zero_grad()
    return found


def _batches(lessons: Lessons, seed: int) -> Iterator[dict[str, Tensor]]:
    order = np.random.default_rng(seed).permutation(len(lessons))[:_WEIGHED]
    rows = [{"input_ids": lessons.encoded[row].ids, "labels": float(lessons.values[row])} for row in order]
    for begin in range(0, len(rows), _BATCH):
        yield padded(rows[begin : begin + _BATCH], lessons.pad)
