"""Low-rank matrices beside the linear layers of attention and feed-forward (Hu et al. 2021)."""

from __future__ import annotations

from typing import Any

from intently.learn.methods.method import Method, Sizes, linear_layers, merged


def _apply(network: Any, sizes: Sizes, _steps: int) -> Any:
    from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=sizes.rank,
        lora_alpha=sizes.alpha,
        target_modules=linear_layers(network, "The method lora"),
    )
    return get_peft_model(network, config)


METHOD = Method("lora", _apply, learning_rate=1e-3, merge=merged)
