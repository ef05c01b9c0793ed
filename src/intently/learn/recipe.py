"""How long and how hard a sequence reader is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How long and how hard to train. Epochs are passes over all histories.

    With `even_steps`, the steps of teaching what comes next hold as many moments each (those of `histories_per_step`
    histories on average), grouped anew every epoch; else as many histories each, in the same groups every epoch.
    """

    pretrain_epochs: int = 2
    epochs: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    adam_beta2: float = 0.999
    warmup: float = 0.1
    histories_per_step: int = 8
    even_steps: bool = False
    accumulation: int = 1
    negatives: int = 1024
    patience: int = 2
    # False trains the heads alone, on a reader that has learned nothing: the "before" of a report.
    train_reader: bool = True
    threads: int = 2
    seed: int = 0
