"""A sequence reader answered for by what `ship/export.py` wrote of it: onnxruntime and numpy, no torch.

What goes into the file is what `learn.batches` collates, one question for each history, with the vectors of the items
met. What comes out is what `FittedReader.read` gives, before calibration.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from intently.contract import Ranking, Task
from intently.errors import BundleError, ConfigError
from intently.learn.answering import remembered
from intently.learn.batches import remembers
from intently.log.pack import Array
from intently.ship.gate import EXPORTED, REPORT
from intently.text.exported_model import session

EXACT, WHOLE = "reader.onnx", "reader.int8.onnx"
_ITEMS = "reader.items."
_PLAIN = (
    *("moment_numbers", "moment_hour", "moment_age", "line_slot", "line_type", "line_numbers", "line_vector"),
    *("now_visible", "now_age", "now_hour", "now_told", "now_numbers"),
)


def names_of(tasks: Sequence[Task]) -> tuple[list[str], list[str]]:
    """The names of inputs and of outputs, in order."""
    ins, outs = list(_PLAIN), ["state"]
    for task in tasks:
        outs.append(task.name)
        if remembers(task):
            ins += [f"memory.{task.name}.now", f"memory.{task.name}.features"]
            if isinstance(task.answer, Ranking):
                ins += [f"memory.{task.name}.vector", f"memory.{task.name}.bias"]
                outs.append(f"{task.name}.memory_more")
            else:
                ins.append(f"memory.{task.name}.value")
    return ins, outs


def fed(tasks: Sequence[Task], batch: Mapping[str, Array], vectors: Array, bias: Array) -> dict[str, Array]:
    """The inputs for a batch of histories that are each asked once, whose items are numbers of these vectors
    and biases.

    Raises ConfigError where one is asked twice.
    """
    histories = len(batch["moment_hour"])
    if not np.array_equal(batch["now_history"], np.arange(histories)):
        raise ConfigError("A customer is asked twice.", mend="Ask each customer at one time.")
    found = {name: batch[name] for name in _PLAIN if name in batch}
    found["line_vector"] = vectors[batch["line_item"]]
    for task in filter(remembers, tasks):
        name = f"memory.{task.name}."
        found |= {name + part: batch[name + part] for part in ("now", "features")}
        value = batch[name + "value"]
        if isinstance(task.answer, Ranking):
            found |= {name + "vector": vectors[value], name + "bias": bias[value]}
            if not len(value):
                # A sum over the width of no cells at all fails in onnxruntime: one cell, which nobody asks about.
                for part in ("now", "features", "vector", "bias"):
                    found[name + part] = np.zeros((1, *found[name + part].shape[1:]), found[name + part].dtype)
        else:
            found[name + "value"] = value
    return found


@dataclass
class Items:
    """Items as vectors and biases, in numpy: what `learn.network.Items` computes when it does not learn.

    `weights` are the network's of its items, by name; `text` (texts, width) are the texts' vectors by text number.
    """

    weights: Mapping[str, Array]
    text: Array

    @classmethod
    def read(cls, network: Path, text: Array) -> Self:
        """From a reader's safetensors, of which nothing else is read."""
        from safetensors import safe_open

        with safe_open(network, framework="numpy") as file:
            names = [name for name in file.keys() if name.startswith(_ITEMS)]  # noqa: SIM118  (not a dict)
            return cls({name.removeprefix(_ITEMS): file.get_tensor(name) for name in names}, text)

    def of(self, told: Mapping[str, Array]) -> tuple[Array, Array]:
        """Vectors (items, item_width) and biases (items,)."""
        weights, count = self.weights, told["item_count"]
        new = count == 0
        own = np.where(new, 0, told["item_delta"])
        vectors = weights["delta.weight"][own]  # (items, item_width)
        slope, fresh = weights["popularity"]
        known = weights["level.weight"][own, 0] if "level.weight" in weights else slope * np.log1p(count)
        bias = np.where(new, fresh, known)
        if "project.weight" in weights:
            words = self.text[told["item_text"]]
            vectors = vectors + (words @ weights["project.weight"].T + weights["project.bias"])
            bias = bias + words @ weights["text_bias.weight"][0]
        return vectors, bias


@dataclass
class OnnxAnswers:
    """What answers for a reader without its network; one customer is asked once in a batch."""

    running: Any
    made: Items
    tasks: Sequence[Task]
    histories_at_once: int = 64

    @classmethod
    def open(cls, bundle: Path, tasks: Sequence[Task], text: Array, threads: int) -> Self:
        """A bundle's exported reader. Raises BundleError where there is none, or it was made of another network."""
        network, exported = bundle / "reader" / "network.safetensors", bundle / "onnx"
        if not (exported / REPORT).is_file():
            raise BundleError(
                f"{bundle} holds no exported reader, and torch is not used.",
                mend=f"Run `intently export {bundle} --data LOG` where torch is installed, or pip install "
                "'intently[train]'.",
            )
        if json.loads((exported / REPORT).read_text()).get("made_of") != made_of(network):
            raise BundleError(f"{exported} was made of another reader.", mend="Run `intently export` again.")
        return cls(session(exported / EXACT, threads), Items.read(network, text), tasks)

    def items(self, told: Mapping[str, Array]) -> tuple[Array, Array]:
        """Vectors and biases of items."""
        return self.made.of(told)

    def answers(self, batch: Mapping[str, Array], vectors: Array, bias: Array) -> dict[str, Array]:
        """Every task's answers."""
        found = run(self.running, fed(self.tasks, batch, vectors, bias))
        for task in self.tasks:
            if isinstance(task.answer, Ranking):
                more = found.pop(f"{task.name}.memory_more")
                found |= remembered(task, batch, more[: len(batch[f"memory.{task.name}.now"])])
        return found

    def retext(self, vectors: Array) -> None:
        """Texts were added."""
        self.made.text = vectors


def made_of(*files: Path) -> str:
    """Which weights an exported reader was made of."""
    digest = hashlib.sha256()
    for one in files:
        with one.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def items_made_of(bundle: Path) -> str:
    """Which language model reads a bundle's items: told by the vectors that it gave, and by what was tuned of it."""
    reader = bundle / "reader"
    return made_of(reader / "texts.safetensors", *sorted((reader / "adapter").glob("*.safetensors")))


def items_read_by(bundle: Path) -> Path:
    """The folder of the language model that was exported from a bundle, which may be missing until an item is new.

    Raises BundleError where it was made of another.
    """
    folder = bundle / EXPORTED[2]
    report = folder / REPORT
    told = json.loads(report.read_text()).get("made_of") if report.is_file() else None
    if folder.is_dir() and told != items_made_of(bundle):
        raise BundleError(f"{folder} was made of another language model.", mend="Run `intently export` again.")
    return folder


def run(loaded: Any, given: Mapping[str, Array]) -> dict[str, Array]:
    """Answers by name, before calibration."""
    wanted = {one.name for one in loaded.get_inputs()}
    names = [one.name for one in loaded.get_outputs()]
    return dict(zip(names, loaded.run(names, {name: given[name] for name in wanted}), strict=True))
