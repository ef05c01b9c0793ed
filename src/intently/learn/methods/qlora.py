"""Low-rank matrices beside linear layers whose own weights are held in eight bits (after Dettmers et al. 2023).

Each row of a weight matrix is 127 steps either way of its largest number. What bitsandbytes has in four bits is not
used: on a processor it brings MiniLM's states to a cosine of .968 of what they were, eight bits to .999, and its layers
cannot be merged there. So any machine will do.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.learn.methods.method import Method, Sizes, linear_layers, only_these_train


class _Rounded(torch.autograd.Function):
    """x times weights in eight bits: they are made whole for one product at a time and never kept so."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return functional.linear(x, (weight * scale).to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *slope: Tensor) -> tuple[Tensor, None, None]:
        weight, scale = ctx.saved_tensors
        return slope[0] @ (weight * scale).to(slope[0].dtype), None, None


class _EightBits(nn.Module):
    """A linear layer in eight bits, and low-rank matrices that are trained and at first change nothing."""

    def __init__(self, linear: nn.Linear, rank: int, alpha: int) -> None:
        super().__init__()
        largest = linear.weight.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-12)
        rounded = (linear.weight.detach() / largest * 127).round().to(torch.int8)
        # Parameters, so that they are saved and read like any other; none has a gradient.
        self.weight = nn.Parameter(rounded, requires_grad=False)
        self.scale = nn.Parameter(largest / 127, requires_grad=False)
        self.bias: Tensor | None = linear.bias
        self.down = nn.Parameter(torch.empty(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.times = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            # Half precision is for products; what a function of ours is given is not cast by itself.
            kind = x.device.type
            half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
            whole: Tensor = _Rounded.apply(x.to(half), self.weight, self.scale)  # type: ignore[no-untyped-call]
        else:
            whole = functional.linear(x, self.weight * self.scale)
        found = whole + functional.linear(functional.linear(x, self.down), self.up) * self.times
        return found if self.bias is None else found + self.bias

    def merged(self) -> nn.Linear:
        """One linear layer that gives the same."""
        rows, columns = self.weight.shape
        made = nn.Linear(columns, rows, bias=self.bias is not None)
        with torch.no_grad():
            made.weight.copy_(self.weight * self.scale + self.times * self.up @ self.down)
            if self.bias is not None:
                made.bias.copy_(self.bias)
        return made


def _apply(network: Any, sizes: Sizes, _steps: int) -> Any:
    for name in linear_layers(network, "The method qlora"):
        _put(network, name, _EightBits(network.get_submodule(name), sizes.rank, sizes.alpha))
    only_these_train(network, lambda name: name.endswith((".down", ".up")))
    return network


def _merge(network: Any) -> nn.Module:
    for name, module in list(network.named_modules()):
        if isinstance(module, _EightBits):
            _put(network, name, module.merged())
    plain: nn.Module = network
    return plain


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    outer, _, last = name.rpartition(".")
    setattr(network.get_submodule(outer), last, module)


METHOD = Method("qlora", _apply, learning_rate=1e-3, merge=_merge)
