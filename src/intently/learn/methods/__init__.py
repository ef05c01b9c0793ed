"""Ways of fine-tuning a language model, one file each, and listed here."""

from __future__ import annotations

from difflib import get_close_matches

from intently.errors import ConfigError
from intently.learn.methods import (
    adalora,
    bottleneck,
    frozen,
    full,
    ia3,
    last_layers,
    lora,
    p_tuning,
    prefix,
    prompt,
    qlora,
)
from intently.learn.methods.method import Method as Method
from intently.learn.methods.method import Sizes as Sizes
from intently.learn.methods.method import applied as applied

METHODS: tuple[Method, ...] = (
    frozen.METHOD,
    full.METHOD,
    last_layers.METHOD,
    lora.METHOD,
    adalora.METHOD,
    qlora.METHOD,
    ia3.METHOD,
    prefix.METHOD,
    prompt.METHOD,
    p_tuning.METHOD,
    bottleneck.METHOD,
)


def method_of(name: str) -> Method:
    """The method of that name. Raises ConfigError that names the nearest where there is none."""
    known = {method.name: method for method in METHODS}
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"There is no method {name!r}.", mend=f"Did you mean {near!r}? There are {', '.join(known)}.")
    return known[name]
