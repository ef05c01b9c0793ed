"""A narrow network after every layer, added to what the layer gives (Houlsby et al. 2019).

It is not linear, and so cannot be merged.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.learn.methods.method import Method, Sizes, layers_of, only_these_train


class _Bottleneck(nn.Module):
    """Down to `width`, and up again from nothing: at first it changes nothing."""

    def __init__(self, outside: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(outside, width), nn.Linear(width, outside)
        nn.init.normal_(self.down.weight, std=0.02)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.up(functional.gelu(self.down(hidden)))


def _hook(layer: Any, _inputs: Any, output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return layer.bottleneck(output)
    return (layer.bottleneck(output[0]), *output[1:])


def _apply(network: Any, sizes: Sizes, _steps: int) -> Any:
    for layer in layers_of(network, "The method bottleneck"):
        layer.bottleneck = _Bottleneck(network.config.hidden_size, sizes.width)
        layer.register_forward_hook(_hook)
    only_these_train(network, lambda name: ".bottleneck." in name)
    return network


METHOD = Method("bottleneck", _apply, learning_rate=1e-3, beside=True)
