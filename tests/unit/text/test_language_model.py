"""The language model of a shop: what it has read once is kept."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from intently.text.language_model import embed


def test_texts_that_several_threads_read_at_once_are_kept_whole(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INTENTLY_CACHE", str(tmp_path))
    texts = [f"thing {number}" for number in range(300)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: embed(texts), range(3)))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(embed(texts), found[0])
