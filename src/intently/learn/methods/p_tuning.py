"""Vectors before the text that a small network gives (Liu et al. 2021)."""

from __future__ import annotations

from typing import Any

from intently.learn.methods.method import Method, Sizes, shape_of


def _apply(network: Any, sizes: Sizes, _steps: int) -> Any:
    from peft import PromptEncoderConfig, TaskType, get_peft_model

    config = PromptEncoderConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        num_virtual_tokens=sizes.tokens,
        **shape_of(network),
        encoder_hidden_size=network.config.hidden_size,
    )
    return get_peft_model(network, config)


METHOD = Method("p_tuning", _apply, learning_rate=3e-3, positions=lambda sizes: sizes.tokens, beside=True)
