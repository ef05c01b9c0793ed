"""More stories out of few: events dropped, cropped or moved by a few places, items replaced, and words mistyped.

A change keeps the answer and alters the words. The same changes, made to what is judged, show how sturdy a reader is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from intently.text.story import Piece, Story

Array = np.ndarray

# Changes one story, by lot.
Change = Callable[[Story, np.random.Generator], Story]


@dataclass(frozen=True)
class Named:
    """A change that a name and a number say all of: whoever keeps these can make it again."""

    name: str
    number: float
    change: Change = field(repr=False, compare=False)

    def __call__(self, story: Story, rng: np.random.Generator) -> Story:
        """The story changed."""
        return self.change(story, rng)


def drop_events(share: float = 0.2) -> Change:
    """Each event is forgotten with this chance; one is always kept."""

    def change(story: Story, rng: np.random.Generator) -> Story:
        kept = np.flatnonzero(rng.random(len(story.pieces)) >= share)
        return _of_pieces(story, kept if len(kept) else np.array([0]) if story.pieces else kept)

    return Named("drop_events", share, change)


def crop(share: float = 0.6) -> Change:
    """A run of this share of the events, wherever it begins."""

    def change(story: Story, rng: np.random.Generator) -> Story:
        count = len(story.pieces)
        length = max(1, round(share * count)) if count else 0
        begin = int(rng.integers(count - length + 1)) if count else 0
        return _of_pieces(story, np.arange(begin, begin + length))

    return Named("crop", share, change)


def reorder(within: int = 3) -> Change:
    """Events change places with others not further away than this."""

    def change(story: Story, rng: np.random.Generator) -> Story:
        place = np.arange(len(story.pieces)) + rng.uniform(0, within, len(story.pieces))
        return _of_pieces(story, np.argsort(place, kind="stable"))

    return Named("reorder", within, change)


def replace_items(nearest: Mapping[str, Sequence[str]], share: float = 0.2) -> Change:
    """An item's text is replaced by that of one that reads like it, with this chance at each event.

    `nearest` gives for an item's text those nearest to it (`learn.nearest`).
    """

    def change(story: Story, rng: np.random.Generator) -> Story:
        words = []
        for piece in story.pieces:
            told = story.past[piece.start : piece.stop]
            if rng.random() < share:
                own = max((text for text in nearest if text and text in told), key=len, default=None)
                if own is not None and nearest[own]:
                    told = told.replace(own, nearest[own][int(rng.integers(len(nearest[own])))], 1)
            words.append(told)
        return _of_words(story, words)

    return change


def typos(share: float = 0.05) -> Change:
    """Letters are left out, doubled, or change places with the next, with this chance at each."""
    return Named("typos", share, _on_words(lambda text, rng: _mistyped(text, share, rng)))


def synonyms(alike: Mapping[str, Sequence[str]], share: float = 0.2) -> Change:
    """Words between blanks are replaced by one of those given as alike, with this chance where there is one."""

    def text(words: str, rng: np.random.Generator) -> str:
        found = []
        for word in words.split(" "):
            others = alike.get(word.lower(), ())
            found.append(others[int(rng.integers(len(others)))] if len(others) and rng.random() < share else word)
        return " ".join(found)

    return _on_words(text)


def reworded(by: Callable[[str], str]) -> Change:
    """What was written is put through a function of the user's own, such as into another language and back."""
    return lambda story, _: replace(story, asked=by(story.asked)) if story.asked else story


@dataclass(frozen=True)
class Augment:
    """How training stories are multiplied: `copies` of each, each by one of the `changes` by lot."""

    changes: tuple[Change, ...] = field(default_factory=lambda: (typos(), drop_events()))
    copies: int = 1

    def apply(self, stories: Sequence[Story], seed: int) -> tuple[list[Story], Array]:
        """The stories and their changed copies, and for each the number of the story it was made of."""
        rng = np.random.default_rng(seed)
        found, of = list(stories), np.tile(np.arange(len(stories)), 1 + self.copies)
        for _ in range(self.copies):
            found += [self.changes[int(rng.integers(len(self.changes)))](story, rng) for story in stories]
        return found, of

    def told(self) -> dict[str, Any]:
        """It as plain values, but for changes that are functions of the user's own."""
        named = [one for one in self.changes if isinstance(one, Named)]
        return {"changes": [[one.name, one.number] for one in named], "copies": self.copies}

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> Self | None:
        """From what `told` gave; None where no change was told of."""
        if told is None or not told["changes"]:
            return None
        return cls(tuple(_NAMED[name](number) for name, number in told["changes"]), told["copies"])


_NAMED: Mapping[str, Callable[[Any], Change]] = {
    "drop_events": drop_events,
    "crop": crop,
    "reorder": reorder,
    "typos": typos,
}


def perturbed(stories: Sequence[Story], change: Change, seed: int = 0) -> list[Story]:
    """Every story changed, for a judgement of how sturdy a reader is."""
    rng = np.random.default_rng(seed)
    return [change(story, rng) for story in stories]


def _mistyped(text: str, share: float, rng: np.random.Generator) -> str:
    letters = list(text)
    for place in np.flatnonzero(rng.random(len(letters)) < share):
        if not letters[place].isalpha():
            continue
        match rng.integers(3):
            case 0:
                letters[place] = ""
            case 1:
                letters[place] *= 2
            case _ if place + 1 < len(letters) and letters[place + 1].isalpha():
                letters[place], letters[place + 1] = letters[place + 1], letters[place]
            case _:
                pass
    return "".join(letters)


def _on_words(text: Callable[[str, np.random.Generator], str]) -> Change:
    """A change of what is asked about, and of each event's words."""

    def change(story: Story, rng: np.random.Generator) -> Story:
        words = [text(story.past[piece.start : piece.stop], rng) for piece in story.pieces]
        return replace(_of_words(story, words), asked=text(story.asked, rng))

    return change


def _of_pieces(story: Story, numbers: Array) -> Story:
    """The story told of these pieces alone, in this order, each of them at its own time.

    The first phrase of a time says it. It is said again where nothing shows how phrases of one time are joined.
    """
    marks, begins = _marks(story), _begins(story)
    comma = next((mark for mark, begin in zip(marks, begins, strict=True) if mark and not begin), None)
    stop = next((mark for mark, begin in zip(marks, begins, strict=True) if mark and begin), "; ")
    words, between, before = [], [], None
    for number in numbers:
        piece = story.pieces[number]
        told = story.past[piece.start : piece.stop]
        if piece.when == before and comma is not None:
            words.append(told.removeprefix(piece.when) if begins[number] else told)
            between.append(comma)
        else:
            words.append(told if begins[number] else piece.when + told)
            between.append(stop if words[1:] else "")
        before = piece.when
    return _laid(story, words, between, [story.pieces[number] for number in numbers])


def _of_words(story: Story, words: Sequence[str]) -> Story:
    """The story with other words for each of its pieces."""
    return _laid(story, words, _marks(story), story.pieces)


def _laid(story: Story, words: Sequence[str], marks: Sequence[str], pieces: Sequence[Piece]) -> Story:
    """The words, each after its mark, as the pieces of a story."""
    past, placed = "", []
    for word, mark, piece in zip(words, marks, pieces, strict=True):
        past += mark
        placed.append(replace(piece, start=len(past), stop=len(past) + len(word)))
        past += word
    return replace(story, past=past, pieces=tuple(placed))


def _marks(story: Story) -> list[str]:
    """What stands before each piece."""
    stops = [0, *(piece.stop for piece in story.pieces)]
    return [story.past[stop : piece.start] for stop, piece in zip(stops, story.pieces, strict=False)]


def _begins(story: Story) -> list[bool]:
    """Whether each piece is the first of its time, and says it."""
    before = [None, *(piece.when for piece in story.pieces)]
    return [piece.when != when for when, piece in zip(before, story.pieces, strict=False)]
