"""Learned keys and values that every layer attends to before the text (Li and Liang 2021)."""

from __future__ import annotations

from typing import Any

from intently.errors import ConfigError
from intently.learn.methods.method import Method, Sizes, shape_of

# Their attention takes no keys and values from outside, or forgets them.
_DEAF = ("deberta-v2", "modernbert", "distilbert")


def _apply(network: Any, sizes: Sizes, _steps: int) -> Any:
    from peft import PrefixTuningConfig, TaskType, get_peft_model

    if network.config.model_type in _DEAF:
        raise ConfigError(
            f"Prefix tuning does not work with {network.config.model_type}, which takes no keys from outside.",
            mend="Use prompt or lora.",
        )
    config = PrefixTuningConfig(
        task_type=TaskType.FEATURE_EXTRACTION, num_virtual_tokens=sizes.tokens, **shape_of(network)
    )
    return get_peft_model(network, config)


METHOD = Method("prefix", _apply, learning_rate=1e-2, positions=lambda sizes: sizes.tokens, beside=True)
