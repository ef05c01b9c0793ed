"""Several text readers as one: their answers averaged, or their weights."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from intently.contract import Examples, Past, Scores, Task
from intently.errors import BundleError, ConfigError
from intently.learn.text_finetune import trained_on
from intently.learn.text_network import TextNetwork
from intently.learn.text_reader import TextReader
from intently.log.pack import Array

SETTINGS = "ensemble.json"


@dataclass(frozen=True)
class Ensemble:
    """Readers of one question whose answers are averaged: of several seeds, or of folds of customers.

    With `folds`, member i learns from the customers that are not in fold i; else all learn from everything, with seeds
    from the reader's own on.
    """

    reader: TextReader
    members: int = 3
    folds: bool = False
    name: str = "text_ensemble"
    fitted: tuple[TextReader, ...] = ()

    def answers(self, task: Task) -> bool:
        """Whatever its members answer."""
        return self.reader.answers(task)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Fit every member."""
        fold = folds(examples, self.members)
        fitted = []
        for number in range(self.members):
            recipe = replace(self.reader.recipe, seed=self.reader.recipe.seed + number)
            member = replace(self.reader, recipe=recipe)
            rows = np.flatnonzero(fold != number) if self.folds else np.arange(len(examples))
            fitted.append(member.fit(examples.take(rows), past.take(rows)))
        return replace(self, fitted=tuple(fitted))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The mean of the members' answers: of chances, of amounts and of their quantiles."""
        if not self.fitted:
            raise ConfigError("This ensemble has not been fitted.", mend="Call fit with examples and their past.")
        scores = [member.predict(examples, past) for member in self.fitted]
        mean: Array = np.stack([one.values for one in scores]).mean(axis=0)
        return replace(scores[0], values=mean.astype(np.float32))

    def save(self, folder: Path) -> None:
        """Write every member into a folder of its own, and their number."""
        for number, member in enumerate(self.fitted):
            member.save(folder / str(number))
        told = {"name": self.name, "members": len(self.fitted), "folds": self.folds}
        (folder / SETTINGS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read_from(cls, folder: Path, task: Task) -> Self:
        """The ensemble that `save` wrote, for the question it was fitted on. Raises BundleError where broken."""
        try:
            told = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BundleError(f"{folder} holds no ensemble: {error}.", mend="Train the bundle again.") from error
        fitted = tuple(TextReader.read_from(folder / str(number), task) for number in range(told["members"]))
        return cls(fitted[0], told["members"], told["folds"], told["name"], fitted)


def of_folds(reader: TextReader, members: int, examples: Examples, past: Past) -> TextReader:
    """One reader of the mean weights of `members`, each without a fold of the customers, all of one seed.

    It is calibrated on what none of them was trained on, where that is enough.
    """
    fold = folds(examples, members)
    rows = [np.flatnonzero(fold != number) for number in range(members)]
    fitted = [reader.fit(examples.take(mine), past.take(mine)) for mine in rows]
    one = averaged(fitted, examples.task)
    learned = np.zeros(len(examples), dtype=bool)
    for mine in rows:
        learned[mine[trained_on(examples.take(mine), reader.recipe)]] = True
    left = np.flatnonzero(~learned)
    if not len(left):
        return one
    held = examples.take(left)
    return one.calibrated_on(held, one.encoded(held.hide(), past.take(left)))


def averaged(readers: Sequence[TextReader], task: Task) -> TextReader:
    """One reader whose weights are the mean of several that began alike (Wortsman et al. 2022): as fast as one.

    What calibrates each of them does not fit their mean: it has no calibration (see `TextReader.calibrated_on`).
    Raises ConfigError where they are not of one question, method, size and model.
    """
    first = readers[0]
    alike = {(one.task.name, one.method, one.sizes, one.model) for one in readers}
    if len(alike) > 1 or first.task.name != task.name:
        raise ConfigError(
            "Weights can be averaged only of readers of one question, model, method and size.",
            mend="Average the answers instead: learn.ensemble.Ensemble.",
        )
    network = copy.deepcopy(first.network)
    others = [_numbers(one.network) for one in readers]
    with torch.no_grad():
        for name, weight in _numbers(network).items():
            each = [other[name] for other in others]
            if weight.is_floating_point():
                weight.copy_(torch.stack(each).mean(0))
            elif not all(weight.equal(one) for one in each):
                raise ConfigError(
                    f"The readers hold other whole numbers in {name}, and these have no mean.",
                    mend="Average the answers instead: learn.ensemble.Ensemble.",
                )
    return first.with_network(network, list(first.losses)).uncalibrated()


def _numbers(network: TextNetwork) -> dict[str, Tensor]:
    """The weights of a network, and what its head measures by, such as the unit of an amount."""
    return {**dict(network.named_parameters()), **{f"head.{name}": one for name, one in network.head.named_buffers()}}


def folds(examples: Examples, count: int) -> Array:
    """A fold for each example, the same for all of one customer."""
    who = examples.household.rank("dense").to_numpy().astype(np.int64)
    # A fixed mixing of the rank, so that neighbours in the id order do not stay together.
    return (who * 2_654_435_761 >> 7) % count
