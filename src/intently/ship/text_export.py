"""A text reader as ONNX: tokens in, the head's answer out. Answering from it needs neither torch nor transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intently.log.pack import Array
from intently.ship import onnx_file
from intently.text.tokens import Encoded

if TYPE_CHECKING:
    from intently.learn.text_reader import TextReader

ONNX = "text_reader.onnx"
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
