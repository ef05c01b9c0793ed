"""Learned vectors that stand before the text like words (Lester et al. 2021)."""

from __future__ import annotations

from typing import Any

from intently.learn.methods.method import Method, Sizes, shape_of


def _apply(network: Any, sizes: Sizes, _steps: int) -> Any:
    from peft import PromptTuningConfig, TaskType, get_peft_model

    config = PromptTuningConfig(
        task_type=TaskType.FEATURE_EXTRACTION, num_virtual_tokens=sizes.tokens, **shape_of(network)
    )
    return get_peft_model(network, config)


METHOD = Method("prompt", _apply, learning_rate=3e-2, positions=lambda sizes: sizes.tokens, beside=True)
