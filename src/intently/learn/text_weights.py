"""What of a text reader is in files: its trained weights, and the shape of its language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from intently.errors import BundleError
from intently.learn.text_network import TextNetwork


def base_of(language_model: Any) -> Any:
    """The language model itself, inside whatever a method put around it."""
    inner = getattr(language_model, "get_base_model", None)
    return language_model if inner is None else inner()


def weights_of(network: TextNetwork, *, whole: bool) -> dict[str, Any]:
    """What has to be written: every weight, or the trained ones and the head."""
    kept = {
        name: weight.detach().contiguous()
        for name, weight in network.named_parameters()
        if whole or weight.requires_grad or name.startswith("head.")
    }
    return kept | {f"head.{name}": buffer.contiguous() for name, buffer in network.head.named_buffers()}


def put_weights(network: TextNetwork, weights: Mapping[str, Any], folder: Path) -> None:
    """Put what `weights_of` gave, read from a folder, into a network. Raises BundleError where it does not fit."""
    import torch

    mine = dict(network.named_parameters()) | {f"head.{name}": one for name, one in network.head.named_buffers()}
    wrong = sorted(name for name, value in weights.items() if name not in mine or mine[name].shape != value.shape)
    needed = (name for name, one in mine.items() if one.requires_grad or name.startswith("head."))
    missing = sorted(name for name in needed if name not in weights)
    if wrong or missing:
        raise BundleError(
            f"{folder} does not fit its own settings: {(wrong or missing)[0]} is not what was trained.",
            mend="Train the bundle again.",
        )
    with torch.no_grad():
        for name, value in weights.items():
            mine[name].copy_(value)


def empty_model(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and an untrained language model of the right shape."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.from_pretrained(folder)
    return tokenizer, AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
