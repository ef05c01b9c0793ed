"""What a training will take, measured on a few of its own steps before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from intently.evaluate.cost import peak_megabytes

Clock = Callable[[], float]

_TIMED = 4


@dataclass(frozen=True)
class Estimate:
    """What a whole training takes: `seconds`, and the peak of the process's memory in `megabytes`."""

    seconds: float
    megabytes: float

    def __str__(self) -> str:
        time = f"{self.seconds:.0f} seconds" if self.seconds < 100 else f"{self.seconds / 60:.0f} minutes"
        return f"about {time} and {self.megabytes / 1024:.1f} GB of memory"


def estimate(
    network: nn.Module,
    batches: Sequence[Any],
    epochs: int,
    loss: Callable[[Any], Tensor],
    clock: Clock = time.perf_counter,
) -> Estimate:
    """What `epochs` over `batches` take, a step for each batch by its `loss`: a few steps are done, to no effect.

    Batches come with the shortest texts first. The last says what memory is needed, and others, spread evenly, how
    long a step takes. Weights and the state of the random generator are left as they were.
    """
    # At a rate of nothing a step costs what any other does and changes no weight.
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.0, weight_decay=0.0)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        loss(batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    timed = [batches[(2 * part + 1) * len(batches) // (2 * _TIMED)] for part in range(_TIMED)]
    network.train()
    with torch.random.fork_rng():
        step(batches[-1])
        begun = clock()
        for batch in timed:
            step(batch)
        spent = clock() - begun
    optimizer.zero_grad()
    return Estimate(spent / len(timed) * len(batches) * epochs, peak_megabytes())
