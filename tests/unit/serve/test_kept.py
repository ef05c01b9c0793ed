"""Which kept answers are made anew next."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.contract import Scores, YesNo
from intently.serve.kept import Kept, Key
from intently.serve.pasts import nothing
from intently.serve.told import Told

WINDOW = 100
MICROS = 1_000_000


class Shop:
    """A few customers whose answers are kept, and a clock."""

    def __init__(self, users: str) -> None:
        self.at = MICROS
        self.served = SimpleNamespace(version="v", shelf=SimpleNamespace(edition=0))
        self.kept = Kept(WINDOW, lambda: self.at, lambda: None)
        for user in users:
            answer = Scores(YesNo(), np.array([[0.5]], dtype=np.float32))
            told = Told("v", self.at, {"intent": answer}, 0)
            self.kept.put(Key(user, ("intent",), self.served, 0), nothing(), told, self.at, 0)

    def ask(self, user: str) -> None:
        self.kept.get(user, nothing(), self.served, ("intent",), 1, None)

    def due(self) -> str:
        """Everybody who is due, in order."""
        found = iter(lambda: self.kept.due(), None)
        return "".join(key.user for key, _ in found)


def test_who_did_something_last_is_next_and_who_only_ages_is_last() -> None:
    shop = Shop("abcd")
    shop.at += 70 * MICROS
    shop.ask("a")
    shop.ask("b")
    for user in "cdc":
        shop.kept.stir([user])
    assert shop.due() == "cdab"
    assert shop.due() == ""


@pytest.mark.parametrize("late", [True, False])
def test_who_is_not_asked_about_any_more_is_not_due(late: bool) -> None:
    shop = Shop("ab")
    shop.at += 50 * MICROS
    shop.ask("b")
    shop.at += (60 if late else 40) * MICROS
    shop.kept.stir(["a", "b"])
    assert sorted(shop.due()) == (["b"] if late else ["a", "b"])


@given(st.lists(st.sampled_from(["stir a", "stir b", "stir c", "ask a", "ask b", "ask c", "due"]), max_size=30))
def test_nobody_is_due_twice_and_nobody_is_lost(acts: list[str]) -> None:
    shop = Shop("abc")
    shop.at += 70 * MICROS
    stirred: list[str] = []
    aged: set[str] = set()
    for act, user in ([*one.split(), ""][:2] for one in acts):
        if act == "stir":
            stirred = [*(one for one in stirred if one != user), user]
            aged.discard(user)
            shop.kept.stir([user])
        elif act == "ask":
            shop.ask(user)
            if user not in stirred:
                aged.add(user)
        else:
            found = shop.kept.due()
            if stirred:
                assert found is not None
                assert found[0].user == stirred.pop()
            elif aged:
                assert found is not None
                aged.remove(found[0].user)
            else:
                assert found is None
    left = list(shop.due())
    assert left[: len(stirred)] == stirred[::-1]
    assert sorted(itertools.islice(left, len(stirred), None)) == sorted(aged)
