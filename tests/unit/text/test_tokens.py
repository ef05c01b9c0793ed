"""Stories as tokens: within the budget, in two parts, each token with its piece."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.errors import ConfigError
from intently.text.story import Piece, Story
from intently.text.tokens import encode
from tiny_models import tokenizer

STORY = Story(
    "1 day ago: bought red thing. 2 weeks ago: viewed old thing",
    "where is my parcel",
    (Piece(0, 27, (1,)), Piece(29, 58, (0,))),
)


@pytest.fixture(scope="module")
def words():
    made = tokenizer()
    made.pad_token = made.convert_ids_to_tokens(0)
    return made


def test_a_story_is_read_whole_where_there_is_room(words):
    (found,) = encode([STORY], words, 64)
    said = " ".join(words.convert_ids_to_tokens(found.ids))
    assert said == "1 day ago : bought red thing . 2 weeks ago : viewed old thing where is my parcel"
    # Seven tokens of the first piece, the full stop of none, seven of the second, and what is asked of none.
    assert found.piece.tolist() == [0] * 7 + [-1] + [1] * 7 + [-1] * 4


def test_the_oldest_piece_goes_first(words):
    (found,) = encode([STORY], words, 14)
    assert " ".join(words.convert_ids_to_tokens(found.ids)) == "1 day ago : bought red thing where is my parcel"
    assert [piece.rows for piece in found.pieces] == [(1,)]


def test_an_empty_text_is_one_token_that_tells_of_nothing(words):
    (found,) = encode([Story("", "", ())], words, 8)
    assert found.ids == [words.pad_token_id]
    assert found.piece.tolist() == [-1]


@given(past=st.text(max_size=60), asked=st.text(max_size=60), budget=st.integers(4, 30), cut=st.integers(0, 60))
def test_no_text_breaks_the_budget(past, asked, budget, cut):
    words = tokenizer()
    words.pad_token = "[UNK]"
    cut = min(cut, len(past))
    pieces = tuple(Piece(a, b, (a,)) for a, b in ((0, cut), (cut, len(past))) if a < b)
    (found,) = encode([Story(past, asked, pieces)], words, budget)
    assert 0 < len(found.ids) <= budget
    assert len(found.piece) == len(found.ids)
    assert np.all(found.piece < max(len(found.pieces), 1))


def test_a_tokenizer_without_offsets_is_one_sentence():
    with pytest.raises(ConfigError, match="which token stands where"):
        encode([STORY], object(), 8)
