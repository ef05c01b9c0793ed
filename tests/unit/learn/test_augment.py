"""Changes of stories: what they keep, and that they change what they say they do."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.contract import Examples, Past
from intently.learn.augment import (
    Augment,
    crop,
    drop_events,
    perturbed,
    reorder,
    replace_items,
    reworded,
    synonyms,
    typos,
)
from intently.tasks.purchase_intent import TASK
from intently.text.story import Piece, Story, Teller
from small_logs import Event, day, log_of

PAST = ["1 day ago: bought red tea", "viewed green tea", "2 weeks ago: searched rain jacket", "bought red tea"]


def story(words=tuple(PAST), asked="where is my red parcel"):
    starts = np.concatenate([[0], np.cumsum([len(word) + 2 for word in words])])
    pieces = tuple(Piece(int(a), int(a) + len(w), (n,)) for n, (a, w) in enumerate(zip(starts, words, strict=False)))
    return Story("; ".join(words), asked, pieces)


def words(told):
    return [told.past[piece.start : piece.stop] for piece in told.pieces]


CHANGES = {
    "drop": drop_events(0.5),
    "crop": crop(0.5),
    "reorder": reorder(3),
    "items": replace_items({"red tea": ["black tea"], "tea": ["mug"]}, 1.0),
    "typos": typos(0.3),
    "synonyms": synonyms({"red": ["crimson"], "parcel": ["package"]}, 1.0),
    "reworded": reworded(str.upper),
}


@given(count=st.integers(0, 8), seed=st.integers(0, 1000), name=st.sampled_from(sorted(CHANGES)))
def test_every_change_gives_a_story_whose_pieces_are_where_they_say(count, seed, name):
    before = story([f"bought red tea {n}" for n in range(count)])
    after = CHANGES[name](before, np.random.default_rng(seed))
    assert "; ".join(words(after)) == after.past
    assert {piece.rows for piece in after.pieces} <= {piece.rows for piece in before.pieces}
    assert bool(after.pieces) == bool(before.pieces)
    assert after == CHANGES[name](before, np.random.default_rng(seed))


def test_events_are_dropped_cropped_and_reordered():
    rng = np.random.default_rng(0)
    kept = [len(CHANGES["drop"](story(), rng).pieces) for _ in range(400)]
    assert 1.9 < np.mean(kept) < 2.4
    cropped = CHANGES["crop"](story(), rng)
    assert "; ".join(words(cropped)) in story().past
    assert len(cropped.pieces) == 2
    moved = [words(CHANGES["reorder"](story(), rng)) for _ in range(50)]
    assert any(one != PAST for one in moved)
    assert all(sorted(one) == sorted(PAST) for one in moved)
    assert story().asked == CHANGES["reorder"](story(), rng).asked


def test_items_and_words_are_replaced_by_what_is_like_them():
    rng = np.random.default_rng(0)
    # The longest name that stands there is the item's.
    assert words(CHANGES["items"](story(), rng)) == [
        "1 day ago: bought black tea",
        "viewed green mug",
        "2 weeks ago: searched rain jacket",
        "bought black tea",
    ]
    told = CHANGES["synonyms"](story(), rng)
    assert told.asked == "where is my crimson package"
    assert CHANGES["reworded"](story(), rng).asked == "WHERE IS MY RED PARCEL"


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_typos_are_as_frequent_as_asked(share):
    text = "abcdefghij" * 200
    found = typos(share)(Story("", text, ()), np.random.default_rng(0)).asked
    changed = sum(a != b for a, b in zip(text, found, strict=False)) > 0
    assert changed == (share > 0)
    assert abs(len(found) - len(text)) <= share * len(text) * 0.2


def test_copies_are_made_of_their_story():
    stories = [story(asked=f"number {n}") for n in range(5)]
    found, of = Augment((reworded(lambda text: text + "!"),), copies=2).apply(stories, seed=1)
    assert len(found) == 15
    assert found[:5] == stories
    assert [one.asked.rstrip("!") for one in found] == [stories[number].asked for number in of]
    assert all(one.asked.endswith("!") for one in found[5:])
    assert [one.asked for one in perturbed(stories, typos(0.5))] != [one.asked for one in stories]


def test_named_changes_are_made_again_from_what_is_told_of_them():
    plan = Augment((typos(0.5), drop_events(0.4), crop(0.5), reorder(2)), copies=2)
    again = Augment.of(json.loads(json.dumps(plan.told())))
    assert again == plan
    assert again.apply([story()] * 9, seed=3)[0] == plan.apply([story()] * 9, seed=3)[0]
    # A function of the user's own cannot be told of.
    assert Augment.of(Augment((reworded(str.upper),)).told()) is None
    assert Augment.of(None) is None


def in_time(rates):
    """A story of four times, of which two have two phrases."""
    days = ((1, "view"), (8, "search"), (8, "buy"), (18, "cart"), (19, "buy"), (19, "view"))
    rows = [Event("ann", None, kind, day(when), None, 1.0 + number) for number, (when, kind) in enumerate(days)]
    asked = Examples(TASK, pl.DataFrame({"user_id": ["ann"], "at": [day(20)]}))
    return Teller(rates=rates).tell(asked, Past(log_of(rows), asked))[0]


def dated(past):
    """Each phrase with the time that a reader takes it to be of; of rates none is said."""
    found = []
    for sentence in past.split(". "):
        when, _, phrases = sentence.rpartition(" ago: ")
        found += [(when, phrase) for phrase in phrases.split("; ")]
    return found


@pytest.mark.parametrize("rates", [False, True])
@pytest.mark.parametrize("name", ["drop", "crop", "reorder", "typos"])
def test_every_phrase_that_is_left_is_as_old_as_before(name, rates):
    whole = in_time(rates)
    before = dated(whole.past)
    assert len(before) == len(whole.pieces)
    assert len({when for when, _ in before}) == 4 + rates
    change = typos(0.0) if name == "typos" else CHANGES[name]
    for seed in range(60):
        told = change(whole, np.random.default_rng(seed))
        after = dated(told.past)
        assert set(after) <= set(before)
        kept = dict(zip(before, [piece.rows for piece in whole.pieces], strict=True))
        assert [kept[one] for one in after] == [piece.rows for piece in told.pieces]
        assert all(one[1] in text for one, text in zip(after, words(told), strict=True))
        # A changed story can be changed again.
        assert set(dated(CHANGES["drop"](told, np.random.default_rng(seed)).past)) <= set(before)
    assert typos(0.0)(whole, np.random.default_rng(0)) == whole


def test_a_time_is_said_again_where_nothing_shows_how_its_phrases_are_joined():
    pieces = (Piece(0, 9, (2,), "now: "), Piece(11, 20, (1,), "then: "), Piece(22, 31, (0,), "now: "))
    whole = Story("now: view. then: buy. now: leave", "", (pieces[0], pieces[1], replace(pieces[2], stop=32)))
    change = drop_events(0.5)

    class Lot:
        def random(self, _):
            return np.array([1.0, 0.0, 1.0])

    assert change(whole, Lot()).past == "now: view. now: leave"
