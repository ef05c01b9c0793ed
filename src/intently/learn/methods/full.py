"""Every weight is trained."""

from __future__ import annotations

from typing import Any

from intently.learn.methods.method import Method, Sizes, only_these_train


def _apply(network: Any, _sizes: Sizes, _steps: int) -> Any:
    only_these_train(network, lambda _: True)
    return network


METHOD = Method("full", _apply, learning_rate=1e-4)
