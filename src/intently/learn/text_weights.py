"""What of a text reader is in files: its trained weights, and the shape of its language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from intently.errors import BundleError, ConfigError
from intently.learn.methods.method import layers_of
from intently.learn.text_network import TextNetwork


def base_of(language_model: Any) -> Any:
    """The language model itself, inside whatever a method put around it."""
    inner = getattr(language_model, "get_base_model", None)
    return language_model if inner is None else inner()


@dataclass(frozen=True)
class Pruned:
    """Which layers of a language model are left, and of each of those which heads (all where None).

    Heads that share their keys and values count as one.
    """

    layers: tuple[int, ...]
    heads: tuple[tuple[int, ...], ...] | None = None

    @classmethod
    def told(cls, settings: Mapping[str, Any] | None) -> Self | None:
        """From JSON."""
        if settings is None:
            return None
        heads = settings["heads"]
        return cls(tuple(settings["layers"]), None if heads is None else tuple(tuple(one) for one in heads))


@dataclass(frozen=True)
class Attention:
    """The linear layers of one attention: `ins` to queries, keys and values, and `out`; and its `groups` of heads."""

    ins: tuple[Any, ...]
    out: Any
    groups: int


# By family: the names of query, key, value and what puts the heads together, inside a layer.
_FAMILIES = (
    ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
)
_HEAD = ("attention.self.attention_head_size", "self_attn.head_dim")


def attention(layer: Any) -> Attention:
    """The attention of a layer. Raises ConfigError for a model whose heads cannot be told apart."""
    for names, size in zip(_FAMILIES, _HEAD, strict=True):
        try:
            *ins, out = (layer.get_submodule(name) for name in names)
            owner, _, attribute = size.rpartition(".")
            head = getattr(layer.get_submodule(owner), attribute)
        except AttributeError:
            continue
        return Attention(tuple(ins), out, ins[1].out_features // head)
    raise ConfigError(
        f"The heads of a {type(layer).__name__} are not told apart.",
        mend="Take out layers alone, or use BERT or Llama.",
    )


def cut(base: Any, pruned: Pruned) -> None:
    """Take out of a language model, in place, what is not left; its config stays that of the whole one."""
    layers = layers_of(base, "Pruning")
    kept = [layers[number] for number in pruned.layers]
    del layers[:]
    layers.extend(kept)
    for number, layer in enumerate(kept):
        parts: list[Any] = list(layer.modules())
        for module in parts:
            if getattr(module, "layer_idx", None) is not None:
                module.layer_idx = number
        if pruned.heads is not None:
            _cut_heads(attention(layer), pruned.heads[number])


def _cut_heads(one: Attention, heads: Sequence[int]) -> None:
    import torch

    for linear, axis in (*((each, 0) for each in one.ins), (one.out, 1)):
        weight = linear.weight.data
        width = weight.shape[axis] // one.groups
        rows = torch.cat([torch.arange(width) + head * width for head in heads])
        linear.weight = torch.nn.Parameter(weight.index_select(axis, rows).contiguous())
        if axis == 0:
            linear.out_features = len(rows)
            if linear.bias is not None:
                linear.bias = torch.nn.Parameter(linear.bias.data[rows])
        else:
            linear.in_features = len(rows)


def weights_of(network: TextNetwork, *, whole: bool) -> dict[str, Any]:
    """What has to be written: every weight, or the trained ones and the head."""
    kept = {
        name: weight.detach().contiguous()
        for name, weight in network.named_parameters()
        if whole or weight.requires_grad or name.startswith("head.")
    }
    return kept | {f"head.{name}": buffer.contiguous() for name, buffer in network.head.named_buffers()}


def put_weights(network: TextNetwork, weights: Mapping[str, Any], folder: Path) -> None:
    """Put what `weights_of` gave, read from a folder, into a network. Raises BundleError where it does not fit."""
    import torch

    mine = dict(network.named_parameters()) | {f"head.{name}": one for name, one in network.head.named_buffers()}
    wrong = sorted(name for name, value in weights.items() if name not in mine or mine[name].shape != value.shape)
    needed = (name for name, one in mine.items() if one.requires_grad or name.startswith("head."))
    missing = sorted(name for name in needed if name not in weights)
    if wrong or missing:
        raise BundleError(
            f"{folder} does not fit its own settings: {(wrong or missing)[0]} is not what was trained.",
            mend="Train the bundle again.",
        )
    with torch.no_grad():
        for name, value in weights.items():
            mine[name].copy_(value)


def empty_model(folder: Path) -> tuple[Any, Any]:
    """The tokenizer and an untrained language model of the right shape."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.from_pretrained(folder)
    return tokenizer, AutoModel.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]
