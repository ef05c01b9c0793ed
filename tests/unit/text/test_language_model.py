"""The language model of a shop: what it has read once is kept."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from intently.text.language_model import _fingerprint, embed


def test_texts_that_several_threads_read_at_once_are_kept_whole(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INTENTLY_CACHE", str(tmp_path))
    texts = [f"thing {number}" for number in range(300)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: embed(texts), range(3)))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(embed(texts), found[0])


def test_a_model_kept_in_another_form_is_told_from_the_one_before_it_too(tmp_path) -> None:
    seen = set()
    for name, content in (("pytorch_model.bin", b"1"), ("pytorch_model.bin", b"2"), ("tokenizer.json", b"{}")):
        (tmp_path / name).write_bytes(content)
        seen.add(_fingerprint(str(tmp_path), None, None))
    assert len(seen) == 3
    assert _fingerprint(str(tmp_path), None, None) in seen
