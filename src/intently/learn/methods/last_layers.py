"""The last layers are trained, with whatever the model has after them."""

from __future__ import annotations

from typing import Any

from intently.learn.methods.method import Method, Sizes, layers_of, only_these_train


def _apply(network: Any, sizes: Sizes, _steps: int) -> Any:
    layers = layers_of(network, "The method last_layers")
    last = {id(weight) for layer in list(layers)[-sizes.layers :] for weight in layer.parameters()}
    # A decoder's norm after the last layer belongs to it.
    last |= {id(weight) for name, child in network.named_children() if "norm" in name for weight in child.parameters()}
    trained = {name for name, weight in network.named_parameters() if id(weight) in last}
    only_these_train(network, trained.__contains__)
    return network


METHOD = Method("last_layers", _apply, learning_rate=2e-4)
