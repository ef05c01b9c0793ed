"""What answers for a reader: its network, or (`ship/onnx_reader.py`) what was exported of it, which needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from intently.contract import Ranking, Shares, Task
from intently.learn.batches import DESCRIBED, tensors
from intently.log.pack import Array

if TYPE_CHECKING:
    from intently.learn.finetune import Network


class Answering(Protocol):
    """Items as vectors, and batches of histories as answers before calibration."""

    @property
    def histories_at_once(self) -> int:
        """How many histories make a good batch."""

    def items(self, told: Mapping[str, Array]) -> tuple[Array, Array]:
        """Vectors (items, item_width) and biases (items,) of items as `Catalogue.described` tells of them."""

    def answers(self, batch: Mapping[str, Array], vectors: Array, bias: Array) -> dict[str, Array]:
        """What `FittedReader.read` gives, of one batch of `Batches.arrays`; memories' nows are numbered within it.

        The batch's items are numbers of `vectors` (items, item_width) and `bias`.
        """

    def retext(self, vectors: Array) -> None:
        """Texts were added: their vectors (texts, width) by text number, number 0 of which is no text."""


@dataclass(frozen=True)
class NetworkAnswers:
    """A reader's network, which needs torch."""

    network: Network
    tasks: Sequence[Task]
    histories_at_once: int = 64

    def __post_init__(self) -> None:
        # Going through all modules takes longer than reading one customer.
        if self.network.training:
            self.network.eval()

    def items(self, told: Mapping[str, Array]) -> tuple[Array, Array]:
        """Vectors and biases of items."""
        import torch

        with torch.inference_mode():
            vectors, bias = self.network.reader.items(*(tensors(told).get(name) for name in DESCRIBED))
        return vectors.numpy(), bias.numpy()

    def answers(self, batch: Mapping[str, Array], vectors: Array, bias: Array) -> dict[str, Array]:
        """Every task's answers."""
        import torch

        fed, found = tensors(batch), {}
        with torch.inference_mode():
            items = torch.from_numpy(vectors), torch.from_numpy(bias)
            states = self.network.reader.nows(fed, items[0])
            found["state"] = states.numpy()
            for task in self.tasks:
                head: Any = self.network.heads[task.name]
                if isinstance(task.answer, Ranking):
                    now = fed[f"memory.{task.name}.now"]
                    answer = head.query(states)
                    met = fed[f"memory.{task.name}.value"]
                    plain = (answer[now] * items[0][met]).sum(-1) + items[1][met]
                    more = head.memory(states, now, fed[f"memory.{task.name}.features"], plain)
                    found |= remembered(task, batch, more.numpy())
                elif isinstance(task.answer, Shares):
                    answer = torch.softmax(head.logits(states, fed, task.name), dim=-1)
                else:
                    answer = head.answer(states)
                found[task.name] = answer.numpy()
        return found

    def retext(self, vectors: Array) -> None:
        """Texts were added."""
        import torch

        self.network.reader.items.text = torch.from_numpy(vectors)


def remembered(task: Task, batch: Mapping[str, Array], more: Array) -> dict[str, Array]:
    """What a ranking remembers of single items: (now, item code, what to add to the logit)."""
    name = task.name
    return {
        f"{name}.memory_now": batch[f"memory.{name}.now"],
        f"{name}.memory_item": batch[f"memory.{name}.code"],
        f"{name}.memory_more": np.asarray(more),
    }
