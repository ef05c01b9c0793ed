"""How much work a training may take, by one word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.errors import ConfigError
from intently.learn.next_item import NextItemReader
from intently.learn.recipe import Recipe


@dataclass(frozen=True)
class Preset:
    """How much work a training may take.

    `weeks` of cut-offs for boosters, `reader_weeks` between the end of the first reader's windows and
    `until`, `refresh_weeks` from one refreshing of the reader to the next, `reader_step` weeks between the
    reader's cut-offs, `item_weeks` of cut-offs for questions about items, `sizes` what a kind of booster is
    made with.
    """

    recipe: Recipe
    weeks: int = 40
    reader_weeks: int = 14
    refresh_weeks: int = 7
    reader_step: int = 1
    item_weeks: int = 10
    sizes: Mapping[type, Mapping[str, int]] = field(default_factory=dict)


_FAST = {LightGBMShares: {"weeks": 8, "at_most": 300}, LightGBMRanking: {"weeks": 6, "at_most": 900}}

PRESETS: Mapping[str, Preset] = {
    "fast": Preset(Recipe(pretrain_epochs=1, epochs=3), weeks=30, reader_step=2, sizes=_FAST),
    "balanced": Preset(Recipe(pretrain_epochs=2, epochs=10)),
    "best": Preset(Recipe(pretrain_epochs=4, epochs=20, learning_rate=1e-3, patience=3), item_weeks=16),
}


# For histories of which only the order is known; see docs/decisions/017.
_ORDER = {
    "width": 128,
    "item_width": 128,
    "blocks": 1,
    "dropout": 0.5,
    "input_dropout": 0.2,
    "item_dropout": 0.0,
    "cosine": True,
    "items_alone": True,
}
_ORDER_RECIPE = Recipe(
    pretrain_epochs=9,
    learning_rate=1e-3,
    weight_decay=0.01,
    # A rarely met item's step after a long rest is 1 / (1 - beta2) ** 0.5 times the usual one: .999 learns it by heart.
    adam_beta2=0.98,
    warmup=0.05,
    histories_per_step=128,
    even_steps=True,
    negatives=0,
    patience=2,
)
# Of a thousand items drawn by lot an epoch costs a third or less, and at twice the rate few epochs learn as much.
_DRAWN = replace(_ORDER_RECIPE, negatives=1024, learning_rate=2e-3)
ORDER_PRESETS: Mapping[str, NextItemReader] = {
    "fast": NextItemReader(replace(_DRAWN, pretrain_epochs=3), {**_ORDER, "width": 64, "item_width": 64}),
    "balanced": NextItemReader(replace(_DRAWN, pretrain_epochs=7, negatives=2048), _ORDER),
    "best": NextItemReader(_ORDER_RECIPE, _ORDER),
}


def plan_of(preset: str) -> Preset:
    """The preset of that name. Raises ConfigError where there is none."""
    if preset not in PRESETS:
        raise ConfigError(f"There is no preset {preset!r}.", mend=f"Choose one of {', '.join(PRESETS)}.")
    return PRESETS[preset]
