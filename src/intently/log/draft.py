"""What was guessed of a shop's files, and the commented `intently.toml` that says so for a person to correct."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Guess:
    """One line of the mapping: what is taken, why, what came second, and whether nobody need look."""

    ours: str
    theirs: str
    why: str
    second: str = ""
    sure: bool = True


@dataclass(frozen=True)
class Draft:
    """A guessed `[data]`, section by section; `left`, `items_left` and `users_left` are columns of each table that were
    not taken, each with its reason.
    """

    options: tuple[Guess, ...]
    columns: tuple[Guess, ...] = ()
    item_columns: tuple[Guess, ...] = ()
    user_columns: tuple[Guess, ...] = ()
    event_types: tuple[Guess, ...] = ()
    left: tuple[Guess, ...] = ()
    items_left: tuple[Guess, ...] = ()
    users_left: tuple[Guess, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def sections(self) -> dict[str, tuple[Guess, ...]]:
        """The sections that hold something, by their name in the file."""
        named = {
            "data": self.options,
            "data.columns": self.columns,
            "data.item_columns": self.item_columns,
            "data.user_columns": self.user_columns,
            "data.event_types": self.event_types,
        }
        return {name: guesses for name, guesses in named.items() if guesses}

    @property
    def unsure(self) -> tuple[Guess, ...]:
        """What a person should look at."""
        return tuple(guess for guesses in self.sections.values() for guess in guesses if not guess.sure)


def toml(draft: Draft) -> str:
    """The draft as a TOML file; it reads back as the same mapping."""
    lines = [
        "# Written by `intently init` from the data alone. Every line says why; CHECK marks those to look at.",
        "# Our names stand left; right is a column of yours, or an SQL expression over your columns.",
        *(f"# {_one_line(note)}" for note in draft.notes),
    ]
    left = {"data.columns": draft.left, "data.item_columns": draft.items_left, "data.user_columns": draft.users_left}
    for name, guesses in draft.sections.items():
        lines += ["", f"[{name}]", *(line for guess in guesses for line in _lines(guess))]
        if left.get(name):
            lines += ["# Not taken; a line without its # would be:"]
            lines += [f"# {_key(one.ours)} = {_value(one.theirs)}  # {_one_line(one.why)}" for one in left[name]]
    return "\n".join(lines) + "\n"


def _lines(guess: Guess) -> Sequence[str]:
    mark = "" if guess.sure else "CHECK: "
    second = f" Otherwise: {guess.second}." if guess.second else ""
    return [f"# {mark}{_one_line(guess.why)}.{_one_line(second)}", f"{_key(guess.ours)} = {_value(guess.theirs)}"]


def _one_line(text: str) -> str:
    # A line break or control character in a column's name would end the comment.
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(name)


def _value(text: str) -> str:
    return text if text in ("true", "false") else _quoted(text)


def _quoted(text: str) -> str:
    # What JSON escapes, TOML escapes alike, but for the delete character, which only TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
