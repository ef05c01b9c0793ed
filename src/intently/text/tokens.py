"""Stories as tokens of a language model, within a budget, and which piece of the story each token tells of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from intently.errors import ConfigError
from intently.text.story import Piece, Story, within

Array = np.ndarray

# Texts read by the tokenizer at once.
_BLOCK = 512


@dataclass(frozen=True)
class Encoded:
    """Token `ids` of a story, for each token the number of its piece in `pieces`, -1 where it tells of no past."""

    ids: list[int]
    piece: Array
    pieces: tuple[Piece, ...]


def encode(stories: Sequence[Story], tokenizer: Any, budget: int) -> list[Encoded]:
    """Each story in at most `budget` tokens: its past, then what is asked about as the second part."""
    if not getattr(tokenizer, "is_fast", False):
        raise ConfigError(
            f"The tokenizer {type(tokenizer).__name__} cannot tell which token stands where in a text.",
            mend="Use a model with a fast tokenizer (a tokenizer.json).",
        )
    found: list[Encoded] = []
    for start in range(0, len(stories), _BLOCK):
        found += _block(stories[start : start + _BLOCK], tokenizer, budget)
    return found


def _block(stories: Sequence[Story], tokenizer: Any, budget: int) -> list[Encoded]:
    room = budget - tokenizer.num_special_tokens_to_add(pair=True)
    pasts, asked = ([part(story) for story in stories] for part in (_past, _asked))
    offsets = [_offsets(texts, tokenizer) for texts in (pasts, asked)]
    cut = [within(story, {"past": a, "asked": b}, max(room, 1)) for story, a, b in zip(stories, *offsets, strict=True)]
    return [_encoded(story, tokenizer, budget) for story in cut]


def _past(story: Story) -> str:
    return story.past


def _asked(story: Story) -> str:
    return story.asked


def _offsets(texts: Sequence[str], tokenizer: Any) -> list[list[tuple[int, int]]]:
    found = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(found["offset_mapping"])


def _encoded(story: Story, tokenizer: Any, budget: int) -> Encoded:
    # A line break parts the two where a tokenizer has no mark of its own between them.
    parts = (story.past, "\n" + story.asked) if story.past and story.asked else (story.past or story.asked,)
    found = tokenizer(*parts, truncation=True, max_length=budget, return_offsets_mapping=True, verbose=False)
    ids = list(found["input_ids"])
    if not ids:
        # A decoder's tokenizer adds nothing to an empty text, and a model cannot read nothing.
        return Encoded([tokenizer.pad_token_id], np.array([-1]), story.pieces)
    piece = np.full(len(ids), -1)
    if story.past:
        mine = np.array([sequence == 0 for sequence in found.sequence_ids(0)])
        starts = np.array([start for start, _ in found["offset_mapping"]])
        ends = np.array([end for _, end in found["offset_mapping"]])
        # The tokenizers of some decoders give a word the blank before it.
        piece[mine] = story.piece_of(np.maximum(starts, ends - 1)[mine])
    return Encoded(ids, piece, story.pieces)
