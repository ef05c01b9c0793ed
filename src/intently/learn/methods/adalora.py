"""Low-rank matrices in the form of a singular value decomposition, whose ranks are pruned where they matter least
(Zhang et al. 2023).

The ranks begin at one and a half times `rank` and come down to it between a tenth and seven tenths of the training.
The schedule runs only where somebody calls it after every step; transformers.Trainer does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from intently.learn.methods.method import Method, Sizes, linear_layers, merged

# What peft's allocator of ranks keeps of each matrix: its importance now, the running mean of that, and its spread.
_IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")
_LEFT = "left"
# What the paper weighs the departure from orthogonal matrices by is .1 to .5.
_ORTHOGONAL = 0.1


def _apply(network: Any, sizes: Sizes, steps: int) -> Any:
    from peft import AdaLoraConfig, TaskType, get_peft_model

    steps = max(steps, 10)
    config = AdaLoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        init_r=sizes.rank + (sizes.rank + 1) // 2,
        target_r=sizes.rank,
        lora_alpha=sizes.alpha,
        target_modules=linear_layers(network, "The method adalora"),
        total_step=steps,
        tinit=steps // 10,
        tfinal=steps * 3 // 10,
        deltaT=max(1, steps // 100),
    )
    return get_peft_model(network, config)


def _penalty(network: nn.Module) -> Tensor:
    """How far the singular vectors are from orthogonal: mean over matrices of the Frobenius norm of P'P - I."""
    far = []
    for name, matrix in network.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            gram = matrix @ matrix.T if "lora_A" in name else matrix.T @ matrix  # (rank, rank)
            far.append(torch.linalg.matrix_norm(gram - torch.eye(len(gram), device=gram.device)))
    return _ORTHOGONAL * torch.stack(far).mean()


def _after_step(network: Any, step: int) -> None:
    network.base_model.update_and_allocate(step)


def _memory(network: Any) -> dict[str, Tensor]:
    """What the schedule goes by: the importance of every matrix, and which ranks are left once that is settled."""
    tuner = network.base_model
    importance = {
        f"{kind}/{name}": value for kind in _IMPORTANCE for name, value in getattr(tuner.rankallocator, kind).items()
    }
    left = tuner.peft_config[tuner.trainable_adapter_name].rank_pattern or {}
    return importance | {f"{_LEFT}/{name}": torch.tensor(row) for name, row in left.items()}


def _recall(network: Any, memory: Mapping[str, Tensor]) -> None:
    tuner = network.base_model
    of: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*_IMPORTANCE, _LEFT)}
    for place, value in memory.items():
        kind, name = place.split("/", 1)
        of[kind][name] = value
    for kind in _IMPORTANCE:
        setattr(tuner.rankallocator, kind, of[kind])
    left = {name: row.tolist() for name, row in of[_LEFT].items()}
    tuner.peft_config[tuner.trainable_adapter_name].rank_pattern = left or None


def ranks(network: nn.Module) -> list[int]:
    """The rank that is left to each adapted layer."""
    return [int(values.count_nonzero()) for name, values in network.named_parameters() if "lora_E" in name]


METHOD = Method(
    "adalora",
    _apply,
    learning_rate=3e-3,
    merge=merged,
    penalty=_penalty,
    after_step=_after_step,
    memory=_memory,
    recall=_recall,
)
