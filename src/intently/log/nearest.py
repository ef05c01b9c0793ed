"""The nearest known name to one that is not known, for messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like this one (letter case aside), or None."""
    by_fold = {one.casefold(): one for one in known}
    found = get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def hint(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    found = nearest(name, known)
    return "" if found is None else f" (did you mean {found!r}?)"
