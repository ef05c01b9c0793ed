"""The language model of a shop: what it has read once is kept."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from transformers import OPTConfig, OPTModel

import tiny_models
from intently.text import language_model
from intently.text.language_model import _fingerprint, embed, encode, load


def test_texts_that_several_threads_read_at_once_are_kept_whole(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INTENTLY_CACHE", str(tmp_path))
    texts = [f"thing {number}" for number in range(300)]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: embed(texts), range(3)))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(embed(texts), found[0])


def test_each_of_several_threads_keeps_what_the_others_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("INTENTLY_CACHE", str(tmp_path))
    texts = [f"thing {number}" for number in range(90)]
    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(lambda first: embed(texts[first::3]), range(3)))
    monkeypatch.setattr(language_model, "load", lambda *_: 1 / 0)
    found = embed(texts)
    for first, part in enumerate(parts):
        assert np.array_equal(found[first::3], part)


def test_each_text_gets_its_own_vector_whatever_it_is_read_beside(monkeypatch) -> None:
    monkeypatch.setattr(language_model, "_CUT_AT_ONCE", 5)
    texts = ["a", "红茶 " * 9, "tea", "green tea with mint", "b" * 40, "茶", "tea cup", ""]
    told, tokenizer, network = [], *load(language_model.PACKAGED)
    found = encode(texts, tokenizer, network, batch_size=3, progress=lambda _what, fraction: told.append(fraction))
    alone = np.concatenate([encode([text], tokenizer, network) for text in texts])
    # The products are made in bfloat16 where the processor has it.
    assert np.allclose(found, alone, atol=0.02)
    assert np.linalg.norm(found[:, None] - alone, axis=2).argmin(axis=1).tolist() == list(range(len(texts)))
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_read_in_several_threads_texts_are_the_same_by_one_model_and_kept(tmp_path, monkeypatch) -> None:
    texts, loaded = [f"thing {number}" for number in range(200)], []
    wanted = encode(texts, *load(language_model.PACKAGED))
    monkeypatch.setattr(language_model, "load", lambda *said: loaded.append(said) or load(*said))
    told: list[float] = []
    with ThreadPoolExecutor(3) as pool:
        found = embed(texts, cache=tmp_path, progress=lambda _what, fraction: told.append(fraction), run=pool.map)
    assert np.array_equal(found, wanted)
    assert len(loaded) == 1
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert np.array_equal(embed(texts, cache=tmp_path), wanted)
    assert len(loaded) == 1


def test_a_text_without_a_token_is_nothing_alone_and_beside_others(tmp_path) -> None:
    tokenizer, network = load(tiny_models.decoder(tmp_path))
    beside, alone = encode(["tea", "", "red"], tokenizer, network), encode([""], tokenizer, network)
    assert not beside[1].any()
    assert np.isfinite(beside).all()
    assert np.linalg.norm(beside[[0, 2]], axis=1) == pytest.approx(1, abs=0.01)
    assert alone.shape == (1, 32)
    assert not alone.any()


def test_a_model_whose_output_is_narrower_than_its_hidden_states_is_read(tmp_path) -> None:
    tokenizer = tiny_models.tokenizer()
    tokenizer.pad_token = "[UNK]"
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 32, "max_position_embeddings": 64}
    network = OPTModel(OPTConfig(vocab_size=len(tokenizer), hidden_size=32, word_embed_proj_dim=16, **sizes))
    vectors = encode(["red tea", "blue"], tokenizer, network)
    assert vectors.shape == (2, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=0.01)


def test_a_model_kept_in_another_form_is_told_from_the_one_before_it_too(tmp_path) -> None:
    seen = set()
    for name, content in (("pytorch_model.bin", b"1"), ("pytorch_model.bin", b"2"), ("tokenizer.json", b"{}")):
        (tmp_path / name).write_bytes(content)
        seen.add(_fingerprint(str(tmp_path), None, None))
    assert len(seen) == 3
    assert _fingerprint(str(tmp_path), None, None) in seen
