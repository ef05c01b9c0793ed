"""Where a long answer stops for what is more urgent."""

from __future__ import annotations

import threading

import pytest

from intently.learn.breath import breathe, breathing


def test_only_within_and_only_in_the_same_thread() -> None:
    done: list[str] = []
    breathe()
    with breathing(lambda: done.append("urgent")):
        breathe()
        thread = threading.Thread(target=breathe)
        thread.start()
        thread.join()
    breathe()
    assert done == ["urgent"]


def test_what_is_urgent_is_not_interrupted_itself() -> None:
    done: list[str] = []

    def urgent() -> None:
        done.append("urgent")
        breathe()

    with breathing(urgent):
        breathe()
        breathe()
    assert done == ["urgent", "urgent"]


def test_a_fault_in_between_ends_what_stopped_for_it_and_leaves_nothing_behind() -> None:
    def urgent() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), breathing(urgent):
        breathe()
    breathe()
