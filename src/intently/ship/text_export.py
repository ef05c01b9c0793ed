"""A text reader as ONNX: tokens in, the head's answer out. Answering from it needs neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intently import metrics
from intently.contract import Examples, Past
from intently.evaluate.compare import encode
from intently.log.pack import Array
from intently.ship import onnx_file
from intently.ship.gate import Gate, passed
from intently.text.exported_model import session
from intently.text.tokens import Encoded

if TYPE_CHECKING:
    from intently.learn.text_reader import TextReader

ONNX, WHOLE = "text_reader.onnx", "text_reader.int8.onnx"
INPUTS = ("input_ids", "attention_mask")


def export(reader: TextReader, file: Path) -> Path:
    """Write a fitted text reader as ONNX, merged where its method can be, for any number of texts of any length.

    The one output is what `TextReader.read` gives: (texts, answers) before calibration.
    """
    import torch

    reader = reader.merged()
    network = reader.network

    class Answer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return network.answer(network.states(input_ids, attention_mask))

    ids = torch.ones((2, 4), dtype=torch.long)
    texts, tokens = torch.export.Dim("texts", min=1), torch.export.Dim("tokens", min=1, max=reader.longest)
    shape = {0: texts, 1: tokens}
    given = (ids, torch.ones_like(ids))
    return onnx_file.write(Answer(), given, file, inputs=INPUTS, outputs=["answer"], dynamic_shapes=(shape, shape))


def export_both(reader: TextReader, examples: Examples, past: Past, folder: Path) -> Gate:
    """Write both forms of a fitted text reader to a folder, or nothing where one does not pass on some examples.

    Raises BundleError for a form that does not pass.
    """
    encoded = reader.encoded(examples.hide(), past)
    task = examples.task
    metric = metrics.of(type(task.answer).__name__, task.metrics[:1])[0]

    def good(values: Array) -> float:
        return float(metric.goodness(metric.value(*encode(task, examples, reader.calibrated(values)))))

    def write(part: Path) -> Gate:
        exact = export(reader, part / ONNX)
        whole = onnx_file.in_eight_bits(exact, part / WHOLE)
        wanted = reader.read(encoded)
        found, rounded = (answer(session(file), encoded) for file in (exact, whole))
        size = np.maximum(1.0, np.abs(wanted).max(axis=1, keepdims=True))
        return Gate(
            {task.name: float((np.abs(found - wanted) / size).max(initial=0.0))},
            {task.name: good(found) - good(rounded)},
            len(examples),
            exact.stat().st_size,
            whole.stat().st_size,
        )

    return passed(folder, write)


def answer(running: Any, encoded: Sequence[Encoded], batch_size: int = 64) -> Array:
    """The answers of an exported reader to stories, (n, answers) float32, in the shape of `TextReader.read`."""
    order = sorted(range(len(encoded)), key=lambda number: len(encoded[number].ids))
    found: list[Array] = []
    for start in range(0, len(order), batch_size):
        rows = [encoded[number].ids for number in order[start : start + batch_size]]
        longest = max(len(row) for row in rows)
        ids = np.array([row + [0] * (longest - len(row)) for row in rows], dtype=np.int64)
        mask = np.array([[1] * len(row) + [0] * (longest - len(row)) for row in rows], dtype=np.int64)
        found.append(running.run(None, {"input_ids": ids, "attention_mask": mask})[0])
    values = np.concatenate(found)
    result = np.empty_like(values)
    result[order] = values
    return result
