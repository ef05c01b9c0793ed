"""Adversarial training: the loss at the words as they are, and at the nearby vectors where it is worst.

What is moved are the vectors of the words, not the words: fast gradient (FGM, Miyato et al. 2017) takes one step up the
loss, projected gradient descent (PGD, Madry et al. 2018) several within the same distance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from intently.learn.text_network import TextNetwork

Loss = Callable[[TextNetwork, dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Attack:
    """How far the vectors of a text are moved: `size` times the mean length of its own word vectors, all together.

    `steps` is 1 for FGM; with more, each goes `stride` of the way and what has left the ball is put back on it (PGD).
    """

    size: float = 0.5
    steps: int = 1
    stride: float = 0.4

    def worst(self, loss: Loss, network: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
        """What to add to the word vectors of a batch so that its loss is high, (batch, tokens, width)."""
        moved: Tensor | None = None
        for _ in range(self.steps):
            with _moved(network, moved) as seen:
                value = loss(network, batch)
            (slope,) = torch.autograd.grad(value, seen.shift)
            radius = self.size * _length_of_words(seen.vectors, batch["attention_mask"])
            stride = radius if self.steps == 1 else self.stride * radius
            moved = (torch.zeros_like(slope) if moved is None else moved) + stride * _unit(slope)
            far = moved.flatten(1).norm(dim=1)[:, None, None]
            moved = (moved * (radius / far.clamp(min=1e-12)).clamp(max=1.0)).detach()
        assert moved is not None
        return moved

    def loss_at(self, moved: Tensor, loss: Loss, network: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
        """The loss of a batch whose word vectors are moved."""
        with _moved(network, moved):
            return loss(network, batch)


def adversarial(loss: Loss, attack: Attack) -> Loss:
    """A loss that is the mean of the given one at the words and at their worst neighbours."""

    def both(network: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
        moved = attack.worst(loss, network, batch)
        return (loss(network, batch) + attack.loss_at(moved, loss, network, batch)) / 2

    return both


@dataclass
class _Seen:
    vectors: Tensor
    shift: Tensor


@contextlib.contextmanager
def _moved(network: TextNetwork, moved: Tensor | None) -> Iterator[_Seen]:
    """While it lasts, word vectors are given with what they are moved by, to which a gradient can be taken."""
    seen = _Seen(torch.zeros(0), torch.zeros(0))

    def hook(_module: Any, _inputs: Any, vectors: Tensor) -> Tensor:
        seen.vectors = vectors.detach()
        shift = torch.zeros_like(seen.vectors) if moved is None else moved.to(vectors.dtype)
        seen.shift = shift.detach().requires_grad_()
        return vectors + seen.shift

    handle = network.language_model.get_input_embeddings().register_forward_hook(hook)
    try:
        yield seen
    finally:
        handle.remove()


def _length_of_words(vectors: Tensor, mask: Tensor) -> Tensor:
    """The mean length of each text's word vectors, (batch, 1, 1)."""
    length = vectors.norm(dim=-1) * mask
    return (length.sum(1) / mask.sum(1).clamp(min=1))[:, None, None]


def _unit(slope: Tensor) -> Tensor:
    return slope / slope.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
