"""What an exported reader must keep of the one it was made from, and what is written only if it does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from intently.errors import BundleError

REPORT = "export.json"
# Where in a bundle the sequence reader is exported to, the text readers, a folder for each task, and the language model
# that reads items.
EXPORTED = ("onnx", "onnx_texts", "onnx_items")
# Of a probability or share outright; of amounts and vectors by the largest number of the same example.
MOST_APART = 1e-4
# Points (of 1) of a metric that the reader in eight bits may lose.
MOST_LOST = 0.004


@dataclass(frozen=True)
class Gate:
    """What was found: the greatest distance of the exact one, and by task what the other loses of its first metric.

    `made_of` names the weights that it was made of, where a bundle keeps them beside it.
    """

    apart: Mapping[str, float]
    lost: Mapping[str, float]
    examples: int
    exact_bytes: int
    whole_bytes: int
    made_of: str = ""

    @property
    def faults(self) -> list[str]:
        """Why it may not be written."""
        found = [f"{name} is {value:.2g} apart" for name, value in self.apart.items() if not value <= MOST_APART]
        return found + [f"{name} loses {value:.4f}" for name, value in self.lost.items() if not value <= MOST_LOST]


def passed(folder: Path, write: Callable[[Path], Gate]) -> Gate:
    """Let both forms be written and judged beside a folder, which they replace with a report, or nothing does.

    Raises BundleError where a form does not pass; what was in the folder before stays.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        gate = write(part)
        if gate.faults:
            raise BundleError(f"The export does not pass: {'; '.join(gate.faults)}.", mend="Serve the bundle as it is.")
        (part / REPORT).write_text(json.dumps(asdict(gate), indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return gate
