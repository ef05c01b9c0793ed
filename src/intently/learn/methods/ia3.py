"""Learned factors on keys, values and the inside of the feed-forward layers (Liu et al. 2022)."""

from __future__ import annotations

from typing import Any

from torch import nn

from intently.errors import ConfigError
from intently.learn.methods.method import Method, Sizes, merged

_KEYS_AND_VALUES = ("key", "value", "k_proj", "v_proj", "k_lin", "v_lin", "query_key_value", "qkv_proj")


def _apply(network: Any, _sizes: Sizes, _steps: int) -> Any:
    from peft import IA3Config, TaskType, get_peft_model

    linear = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    scaled = [name for name in linear if name.rsplit(".", 1)[-1] in _KEYS_AND_VALUES]
    if not scaled:
        raise ConfigError("The language model has no keys and values that IA3 could scale.", mend="Use method = full.")
    width = network.config.hidden_size
    # What comes back from the wider inside of a feed-forward layer.
    back = [name for name, layer in linear.items() if layer.out_features == width < layer.in_features]
    config = IA3Config(task_type=TaskType.FEATURE_EXTRACTION, target_modules=[*scaled, *back], feedforward_modules=back)
    return get_peft_model(network, config)


METHOD = Method("ia3", _apply, learning_rate=1e-2, merge=merged)
