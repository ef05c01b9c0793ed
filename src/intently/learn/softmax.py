"""The softmax over a whole catalogue, made affordable: products in bfloat16, and no pass that is not needed.

The logits of n queries over all items are n x items numbers, and it is reading and writing them that costs. Forward
makes them once, in place: product, exponential, sum. Backward needs that one array and two products. What belongs to a
row (its gradient over its sum) or to an item (the exponential of its bias) is folded into the smaller factor. Only
where a logit may be too large for its exponential are there more passes: the bias added, the row's peak taken away.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# So many logits are held as one array, at most: more rows are taken in turns.
_AT_ONCE = 64_000_000
# A row's sum is taken in so many parts, so that rounding them does not matter.
_SUMS = 4
# Exponentials of numbers no further from 0 than this, and sums of them over a catalogue, are numbers in bfloat16 too.
_SAFE = 60.0


def fast_dtype() -> torch.dtype:
    """What catalogue products are made in: bfloat16 where the processor multiplies it natively, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return torch.bfloat16 if supported is not None and supported() else torch.float32


class _LogTotal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, vectors: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
        low = vectors.to(dtype)
        top = bias.max()
        furthest = query.norm(dim=1).max() * vectors.norm(dim=1).max() + top - bias.min()
        near = bool(furthest <= _SAFE)
        share = (bias - top).exp() if near else torch.ones_like(bias)  # (items,)
        low_bias, low_share = bias.to(dtype), share.to(dtype).unsqueeze(1)
        rows = max(1, _AT_ONCE // max(len(vectors), 1))
        parts, totals, found = [], [], []
        for some in torch.split(query.to(dtype), rows):
            grown = some @ low.T  # (rows, items)
            shift = top
            if not near:
                peak = grown.add_(low_bias).amax(dim=1, keepdim=True)
                grown.sub_(peak)
                shift = peak.squeeze(1).float()
            grown.exp_()
            pieces = zip(grown.chunk(_SUMS, dim=1), low_share.chunk(_SUMS), strict=True)
            total = torch.cat([piece @ its_share for piece, its_share in pieces], dim=1).float().sum(dim=1)
            parts.append(grown)
            totals.append(total)
            found.append(total.log() + shift)
        ctx.parts, ctx.dtype = parts, dtype
        ctx.save_for_backward(query, vectors, share, torch.cat(totals))
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, vectors, share, total = ctx.saved_tensors
        weight = (grads[0] / total).unsqueeze(1)  # (n, 1)
        low = (vectors * share.unsqueeze(1)).to(ctx.dtype)
        # The bias is a dimension of its own, by which every query asks with 1.
        weighed = torch.cat([query * weight, weight], dim=1).to(ctx.dtype)
        to_query = torch.cat([part @ low for part in ctx.parts]).float() * weight
        to_items = vectors.new_zeros(len(vectors), vectors.shape[1] + 1)
        begin = 0
        for part in ctx.parts:
            to_items += part.T @ weighed[begin : begin + len(part)]
            begin += len(part)
        to_items *= share.unsqueeze(1)
        ctx.parts = None
        return to_query, to_items[:, :-1], to_items[:, -1], None


def log_total(query: Tensor, vectors: Tensor, bias: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The log of the sum over items of exp(query . vector + bias), (n,) float32.

    `query` (n, width), `vectors` (items, width), `bias` (items,), all float32; `dtype` as by `fast_dtype` without it.
    Backward once only: the exponentials are let go of.
    """
    return _LogTotal.apply(query, vectors, bias, dtype or fast_dtype())  # type: ignore[no-untyped-call]
