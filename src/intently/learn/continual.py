"""A trained text reader taken further with new months, without forgetting the old ones, and a report of what it cost.

`naive` trains on the new examples alone. `replay` mixes old ones in. `anchor` holds each weight near where it was, the
more the old examples hang on it (elastic weight consolidation, Kirkpatrick et al. 2017). `distil` keeps the old
reader's answers to the new texts (learning without forgetting, Li and Hoiem 2016).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from intently import metrics
from intently.contract import Examples, OneOf, Past, Task, YesNo, pooled
from intently.errors import ConfigError
from intently.evaluate.compare import encode as judged
from intently.learn.adversarial import Loss
from intently.learn.methods import method_of
from intently.learn.text_finetune import Lessons, Run, finetune_text
from intently.learn.text_network import TextNetwork, padded
from intently.learn.text_reader import TextReader
from intently.log.log import Log

Way = Literal["naive", "replay", "anchor", "distil"]
WAYS: dict[str, Way] = {"replay": "replay", "anchor": "anchor", "distil": "distil", "naive": "naive"}


@dataclass(frozen=True)
class Update:
    """How a reader is taken further.

    `replayed` is how many old examples are mixed in for each new one, `pull` how hard weights are held where they
    were, `keep` the weight of the old answers, and `judged` how many old examples say what hangs on a weight.
    """

    way: Way = "replay"
    replayed: float = 1.0
    pull: float = 1.0
    keep: float = 1.0
    judged: int = 200


@dataclass(frozen=True)
class Forgetting:
    """The task's first metric on old and on new examples, before and after an update; more is better.

    A metric of which less is better stands with its sign turned, one with a target as how far it is from there;
    `values` are the four as the metric itself has them, where they are not the same.
    """

    metric: str
    old_before: float
    old_after: float
    new_before: float
    new_after: float
    values: tuple[float, float, float, float] | None = None

    def measured(self) -> dict[str, float]:
        """The four values as the metric itself has them."""
        names = ("old_before", "old_after", "new_before", "new_after")
        found = self.values or (self.old_before, self.old_after, self.new_before, self.new_after)
        return dict(zip(names, found, strict=True))

    @property
    def forgot(self) -> float:
        """What the old examples lost; below 0 where they gained."""
        return self.old_before - self.old_after

    @property
    def gained(self) -> float:
        """What the new examples gained."""
        return self.new_after - self.new_before

    def promotes(self, at_most: float) -> bool:
        """Whether the update may be served: it forgets no more than this, and gains."""
        return self.forgot <= at_most and self.gained > 0


def updated(reader: TextReader, new: Examples, old: Examples, log: Log, update: Update | None = None) -> TextReader:
    """A fitted reader taken further on new examples. What it was calibrated by is kept.

    `old` are examples of the time before, of which the way may need some. Raises ConfigError for a method whose
    adapter cannot go on learning (AdaLoRA has pruned it).
    """
    update = update or Update()
    if reader.method == "adalora":
        raise ConfigError("An AdaLoRA adapter is pruned and cannot go on learning.", mend="Train again, or use lora.")
    task, recipe, method = reader.task, reader.recipe, method_of(reader.method)
    torch.manual_seed(recipe.seed)
    network = copy.deepcopy(reader.network)
    loss = reader.objective.loss(task.answer)
    lessons = _lessons(reader, new, log)
    match update.way:
        case "naive":
            pass
        case "replay":
            lessons = _lessons(reader, pooled([new, _some(old, round(update.replayed * len(new)), recipe.seed)]), log)
        case "anchor":
            # What hangs on a weight is told by what was said, not by copies of it.
            some = _lessons(replace(reader, augment=None), _some(old, update.judged, recipe.seed), log)
            loss = _anchored(loss, network, some, update.pull)
        case "distil":
            loss = distilled(loss, copy.deepcopy(network).eval(), task, update.keep)
    losses = finetune_text(
        network, lessons, Run(method, recipe, loss, progress=reader.progress, tracker=reader.tracker)
    )
    return reader.with_network(network, losses)


def forgetting(before: TextReader, after: TextReader, old: Examples, new: Examples, log: Log) -> Forgetting:
    """What an update cost and brought, on examples that it was not trained on."""
    task = before.task
    metric = metrics.of(type(task.answer).__name__, task.metrics)[0]

    def score(reader: TextReader, examples: Examples) -> float:
        hidden = examples.hide()
        return metric.value(*judged(task, examples, reader.predict(hidden, Past(log, hidden))))

    values = (score(before, old), score(after, old), score(before, new), score(after, new))
    old_before, old_after, new_before, new_after = map(metric.goodness, values)
    return Forgetting(metric.name, old_before, old_after, new_before, new_after, values)


def _lessons(reader: TextReader, examples: Examples, log: Log) -> Lessons:
    return reader.lessons(examples, Past(log, examples.hide()))


def _some(examples: Examples, count: int, seed: int) -> Examples:
    order = np.random.default_rng(seed).permutation(len(examples))
    return examples.take(np.sort(order[:count]))


def _anchored(loss: Loss, network: TextNetwork, some: Lessons, pull: float) -> Loss:
    """The loss, and half of `pull` times how far each weight went, squared, by the old examples' squared slopes on it,
    which are 1 on average.
    """
    trained = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    place = {name: weight.detach().clone() for name, weight in trained.items()}
    hangs = {name: torch.zeros_like(weight) for name, weight in trained.items()}
    network.eval()
    for number, value in enumerate(some.values.tolist()):
        network.zero_grad()
        loss(network, padded([{"input_ids": some.encoded[number].ids, "labels": value}], some.pad)).backward()  # type: ignore[no-untyped-call]
        for name, weight in trained.items():
            if weight.grad is not None:
                hangs[name] += weight.grad.square() / len(some)
    network.zero_grad()
    # A reader that has learned its examples has hardly a slope left: what counts is how weights compare.
    usual = torch.cat([slopes.flatten() for slopes in hangs.values()]).mean().clamp(min=1e-30)
    hangs = {name: slopes / usual for name, slopes in hangs.items()}

    def held(mine: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
        far = [
            (hangs[name] * (weight - place[name]).square()).sum()
            for name, weight in mine.named_parameters()
            if name in place
        ]
        return loss(mine, batch) + pull / 2 * torch.stack(far).sum()

    return held


def distilled(loss: Loss, teacher: TextNetwork, task: Task, keep: float) -> Loss:
    """The loss, and how far answers went from the old reader's (cross-entropy of labels; squares of amounts)."""
    labelled = isinstance(task.answer, OneOf | YesNo)

    def kept(mine: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            before = teacher.answer(teacher.states(batch["input_ids"], batch["attention_mask"]))
        after = mine.answer(mine.states(batch["input_ids"], batch["attention_mask"]))
        if not labelled:
            apart = (after - before).square().mean() / before.square().mean().clamp(min=1e-12)
        elif before.shape[1] == 1:
            apart = torch.nn.functional.binary_cross_entropy(after.clamp(1e-6, 1 - 1e-6), before)
        else:
            apart = -(before * after.clamp(min=1e-9).log()).sum(dim=1).mean()
        return loss(mine, batch) + keep * apart

    return kept
