"""Dropout that draws a byte a number: torch's own draws a double each, and so costs more than what it is for."""

from __future__ import annotations

import torch
from torch import Tensor

# A chance is a number of 256ths.
_CHANCES = 256


def dropout(x: Tensor, chance: float, training: bool = True) -> Tensor:
    """`x` with that share of its numbers at 0 and the others enlarged to make up for it; `x` if not `training`.

    The share is `chance`, to the nearest 256th. Drawn from torch's generator, whose state a checkpoint keeps.
    """
    kept = _CHANCES - round(_CHANCES * chance)
    if not training or kept == _CHANCES:
        return x
    if kept <= 0:
        return x * 0
    n = x.numel()
    drawn = torch.empty(-(-n // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None).view(torch.uint8)
    return x * (drawn[:n].view(x.shape) < kept).to(x.dtype).mul_(_CHANCES / kept)
