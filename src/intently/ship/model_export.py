"""The language model that reads items' texts as ONNX, so that new items can be read without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from intently.errors import ConfigError
from intently.learn.texts import Text
from intently.ship import onnx_file
from intently.ship.gate import Gate, passed
from intently.text.exported_model import MODEL, TOKENIZER, encode
from intently.text.language_model import load, pooled

if TYPE_CHECKING:
    import torch

_MOST_TOKENS = 64
_SHOWN = 8


def export(text: Text, texts: Sequence[str], folder: Path, made_of: str = "") -> Gate:
    """Write the language model of a reader to a folder, or nothing where it does not read some texts alike.

    Vectors are of length 1. They are compared in single precision, whatever the network computes in elsewhere.
    `made_of` names the model. Raises BundleError where they are apart, ConfigError for a tokenizer that is not a
    `tokenizer.json`.
    """
    import torch

    tokenizer, network = load(text.model, text.adapter)
    network.eval()
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(f"The tokenizer of {text.model} has no tokenizer.json.", mend="Serve it with torch.")

    class Vectors(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return pooled(self.network, {"input_ids": input_ids, "attention_mask": attention_mask})

    def write(part: Path) -> Gate:
        tokenizer.backend_tokenizer.save(str(part / TOKENIZER))
        ids = torch.ones((2, 4), dtype=torch.long)
        shape = {0: torch.export.Dim("texts", min=1), 1: torch.export.Dim("tokens", min=1, max=_MOST_TOKENS)}
        file = onnx_file.write(
            Vectors(),
            (ids, torch.ones_like(ids)),
            part / MODEL,
            inputs=("input_ids", "attention_mask"),
            outputs=("vectors",),
            dynamic_shapes=(shape, shape),
        )
        found, wanted = encode(texts, part, max_tokens=_MOST_TOKENS), []
        with torch.inference_mode():
            for begin in range(0, len(texts), _SHOWN):
                told = tokenizer(
                    list(texts[begin : begin + _SHOWN]),
                    padding=True,
                    truncation=True,
                    max_length=_MOST_TOKENS,
                    return_tensors="pt",
                )
                # As `encode` has it: a text without a token is 0.
                some = np.zeros((len(told["input_ids"]), found.shape[1]), dtype=np.float32)
                read = told["attention_mask"].bool().any(dim=1)
                if read.any():
                    some[read.numpy()] = pooled(network, {name: part[read] for name, part in told.items()}).numpy()
                wanted.append(some)
        apart = float(np.abs(found - np.concatenate(wanted)).max())
        return Gate({"items": apart}, {}, len(texts), file.stat().st_size, 0, made_of)

    return passed(folder, write)
