"""What a text reader is trained for beyond its head's own loss: smoothed labels, hard cases, agreement, adversaries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from intently.contract import Amount, Answer, OneOf, Ranking, Shares, YesNo
from intently.errors import ConfigError
from intently.learn.adversarial import Attack, Loss, adversarial
from intently.learn.text_network import ASKED, TextNetwork, truths

# A chance is not taken to be nearer to 1 than this.
_LEAST = 1e-6


@dataclass(frozen=True)
class Objective:
    """Changes to the loss, each off by default.

    `smoothing` gives that share of a label to all labels alike (Szegedy et al. 2016). `focus` lets what is already
    right count less, by (1 - chance) to this power (focal loss, Lin et al. 2017): for rare positives. `agreement` is
    the weight of how far two readings under different dropout are apart (R-Drop, Liang et al. 2021). `attack` trains
    against moved word vectors. The first three are for yes or no and for labels.
    """

    smoothing: float = 0.0
    focus: float = 0.0
    agreement: float = 0.0
    attack: Attack | None = None

    @property
    def plain(self) -> bool:
        """Whether the head's own loss is taken as it is."""
        return not (self.smoothing or self.focus or self.agreement)

    def loss(self, answer: Answer) -> Loss:
        """The loss of a network and a batch of texts. Raises ConfigError where the answer has no labels to change."""
        match answer:
            case YesNo() | OneOf():
                mean = self._of_labels(isinstance(answer, YesNo))
            case Amount() | Ranking() | Shares():
                if not self.plain:
                    raise ConfigError(
                        "Smoothing, focus and agreement change the loss of labels, and an amount has none.",
                        mend="Leave them out, or use attack.",
                    )
                mean = head_loss
        return mean if self.attack is None else adversarial(mean, self.attack)

    def _of_labels(self, yes_no: bool) -> Loss:
        if self.plain:
            return head_loss

        def loss(network: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
            first = self._scores(network, batch, yes_no)
            value = self._mean(first, batch["labels"])
            if self.agreement:
                second = self._scores(network, batch, yes_no)
                value = (value + self._mean(second, batch["labels"])) / 2 + self.agreement * _apart(first, second)
            return value / network.head.scale

        return loss

    def _scores(self, network: TextNetwork, batch: dict[str, Tensor], yes_no: bool) -> Tensor:
        """Log chances (batch, labels); of yes or no, those of no and of yes."""
        logits = network.head.out(network.states(batch["input_ids"], batch["attention_mask"]))
        if yes_no:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return functional.log_softmax(logits, dim=1)

    def _mean(self, log_chance: Tensor, labels: Tensor) -> Tensor:
        true = log_chance.gather(1, labels.long().unsqueeze(1)).squeeze(1)
        each = -(1 - self.smoothing) * true - self.smoothing * log_chance.mean(dim=1)
        if self.focus:
            # At a chance of 1 the slope of a power below 1 is infinite.
            each = each * (1 - true.exp()).clamp(min=_LEAST) ** self.focus
        return each.mean()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """From plain values, as `dataclasses.asdict` gives them."""
        attack = told["attack"]
        return cls(**{**told, "attack": None if attack is None else Attack(**attack)})


def head_loss(network: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
    """The head's own loss."""
    states = network.states(batch["input_ids"], batch["attention_mask"])
    loss: Tensor = network.head.loss(states, truths(batch["labels"]), ASKED)
    return loss


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """Mean over texts of half the divergence of two log chances both ways (Jeffreys)."""
    return ((a.exp() - b.exp()) * (a - b)).sum(dim=1).mean() / 2
