"""What a way of fine-tuning is: a name, and what it does to a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from intently.errors import ConfigError, IntentlyError


@dataclass(frozen=True)
class Sizes:
    """How large what is added may be: `rank` and `alpha` of low-rank matrices, virtual `tokens`, the `layers` at the
    end that are unfrozen, and the `width` of a bottleneck.
    """

    rank: int = 8
    alpha: int = 16
    tokens: int = 10
    layers: int = 2
    width: int = 32


@dataclass(frozen=True)
class Method:
    """A way of fine-tuning.

    `apply(language model, sizes, steps)` gives the network to train, with `requires_grad` set on what is trained;
    `steps` is how many the training will take. `learning_rate` is what it needs by default
    on a model of width 384. `merge` folds what was
    learned into the model's own weights, where that can be done. `penalty` is added to the loss. `after_step` is
    called with the number of each step done, while its gradients are still there. What it keeps from step to step
    beside the weights, `memory` gives by name, and `recall` puts back where an interrupted training goes on.
    `positions` says how many of the model's positions it takes from the text. With `beside`, it leaves something beside
    the model's own weights that cannot be folded into them.
    """

    name: str
    apply: Callable[[Any, Sizes, int], Any]
    learning_rate: float
    merge: Callable[[Any], Any] | None = None
    penalty: Callable[[nn.Module], Tensor] | None = None
    after_step: Callable[[Any, int], None] | None = None
    memory: Callable[[Any], dict[str, Tensor]] | None = None
    recall: Callable[[Any, Mapping[str, Tensor]], None] | None = None
    positions: Callable[[Sizes], int] = lambda _: 0
    beside: bool = False


def merged(network: Any) -> nn.Module:
    """A peft model with its adapter folded into the weights."""
    plain: nn.Module = network.merge_and_unload()
    return plain


def shape_of(network: Any) -> dict[str, Any]:
    """What peft asks of a model's shape, whatever its config calls it."""
    config = network.config
    return {
        "token_dim": config.hidden_size,
        "num_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
    }


def layers_of(network: nn.Module, wanted: str) -> nn.ModuleList:
    """The layers of a transformer. Raises ConfigError, naming what wanted them, where there are none to find."""
    found = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    longest = max(found, key=len, default=None)
    if longest is None:
        raise ConfigError(
            f"{wanted} needs a model made of layers; {type(network).__name__} is not.", mend="Use method = full."
        )
    return longest


def linear_layers(network: nn.Module, wanted: str) -> list[str]:
    """Full names of the linear layers of attention and feed-forward; what a model has after its layers (a pooler that
    nothing here reads) is not among them. Raises ConfigError, naming what wanted them, where there are none.
    """
    layers = layers_of(network, wanted)
    inside = {id(module) for module in layers.modules() if isinstance(module, nn.Linear)}
    names = [name for name, module in network.named_modules() if id(module) in inside]
    if not names:
        raise ConfigError(
            f"{wanted} needs linear layers; {type(network).__name__} has none.", mend="Use method = full or bottleneck."
        )
    return names


def only_these_train(network: nn.Module, trained: Callable[[str], bool]) -> None:
    """Freeze every parameter but those whose name is among the trained."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad = trained(name)


def applied(method: Method, network: Any, sizes: Sizes, steps: int) -> Any:
    """What `method` makes of a language model, once a text of three tokens has been read and a gradient has reached
    what is to be trained.

    Raises ConfigError where the method and the model do not go together.
    """
    kind = getattr(getattr(network, "config", None), "model_type", type(network).__name__)
    refused = ConfigError(
        f"The method {method.name} does not work with a model of type {kind!r}.",
        mend="Choose full, last_layers or bottleneck, which work with any, or another model.",
    )
    ids = torch.tensor([[1, 2, 3]])
    try:
        network = method.apply(network, sizes, steps)
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if not trained:
            return network
        network(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.square().mean().backward()
    except IntentlyError:
        raise
    except Exception as error:  # whatever a foreign architecture does, it is told in one sentence
        raise refused from error
    reached = any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in trained)
    for parameter in trained:
        parameter.grad = None
    if not reached:
        raise refused
    return network
