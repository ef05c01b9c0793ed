"""Words that are used alike stand beside each other before anything is learned."""

import numpy as np

from intently.learn.co_occurrence import counted_vectors

MARK, COLOURS, MOODS, NOUNS, NEVER = 0, (1, 2, 3), (4, 5, 6), (7, 8), 9
WORDS, WIDTH = 10, 3


def rows(count=2_000):
    """A colour stands before a noun, a mood after it."""
    rng = np.random.default_rng(0)
    return [
        [MARK, int(rng.choice(COLOURS)), int(rng.choice(NOUNS)), int(rng.choice(MOODS)), MARK] for _ in range(count)
    ]


def cosine(vectors, a, b):
    return float(vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]))


def test_words_of_like_neighbours_are_beside_each_other_and_others_are_not():
    vectors = counted_vectors(rows(), WORDS, WIDTH, marks=frozenset({MARK}), window=1)
    assert vectors.shape == (WORDS, WIDTH)
    assert min(cosine(vectors, 1, 2), cosine(vectors, 1, 3), cosine(vectors, 7, 8)) > 0.9
    assert max(abs(cosine(vectors, 1, 7)), abs(cosine(vectors, 4, 8))) < 0.5


def test_words_never_met_are_drawn_by_lot_at_the_same_scale():
    vectors = counted_vectors(rows(), WORDS, WIDTH, marks=frozenset({MARK}))
    assert np.isfinite(vectors).all()
    assert 0.005 < np.abs(vectors[NEVER]).mean() < 0.05
    assert (vectors[NEVER] != counted_vectors(rows(), WORDS, WIDTH, marks=frozenset({MARK}), seed=1)[NEVER]).any()


def test_the_same_texts_give_the_same_vectors():
    twice = [counted_vectors(rows(), WORDS, WIDTH, marks=frozenset({MARK})) for _ in range(2)]
    assert (twice[0] == twice[1]).all()


def test_texts_of_one_word_have_no_neighbours_to_count():
    vectors = counted_vectors([[MARK, 1, MARK]] * 5, WORDS, WIDTH, marks=frozenset({MARK}))
    assert vectors.shape == (WORDS, WIDTH)
    assert np.isfinite(vectors).all()
