"""LoRA on item texts, and a language model from a folder, on a model of two small layers made here."""

import numpy as np
import pytest

from intently.contract import Past
from intently.errors import ConfigError
from intently.learn.adapt import Lora, attention_layers, lora, pairs_of
from intently.tasks.purchase_intent import TASK
from intently.text.arrays import sequences
from intently.text.language_model import embed, load
from intently.text.verbalise import item_texts
from planted_shop import planted

from .conftest import UNTIL


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ";", "thing", "kind", "red", "green", "blue", "old"]
    (folder / "vocab.txt").write_text("\n".join([*words, *map(str, range(110))]))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    BertModel(BertConfig(vocab_size=len(words) + 110, **sizes)).save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


def shop_pairs(count=256):
    log = planted()
    texts, number = item_texts(log.items)
    examples = TASK.questions(log, UNTIL)
    return texts, pairs_of(sequences(Past(log, examples)), np.append(number, 0), count, np.random.default_rng(0))


def test_pairs_are_of_one_customer_and_near_in_time() -> None:
    texts, pairs = shop_pairs(2_000)
    kinds = np.array([text.rsplit("kind ", 1)[1] for text in texts])
    assert (pairs[:, 0] != pairs[:, 1]).all()
    # Customers like two of eight kinds: a pair is of one kind far more often than one in eight.
    assert (kinds[pairs[:, 0]] == kinds[pairs[:, 1]]).mean() > 0.3


def test_lora_changes_the_vectors_and_loads_again(model, tmp_path) -> None:
    texts, pairs = shop_pairs(4_000)
    plan = Lora(batch_size=32, learning_rate=4e-3)
    adapter = lora(model, texts, pairs, plan, folder=tmp_path / "adapter")
    assert {path.suffix for path in adapter.iterdir()} <= {".safetensors", ".json", ".md"}
    frozen = embed(texts, model, cache=tmp_path)
    tuned = embed(texts, model, adapter=adapter, cache=tmp_path)
    assert not np.allclose(frozen, tuned, atol=1e-3)
    assert np.array_equal(tuned, embed(texts, model, adapter=adapter, cache=tmp_path))
    kinds = np.array([text.rsplit("kind ", 1)[1] for text in texts])
    same = kinds[:, None] == kinds[None, :]

    def contrast(vectors):
        like = vectors @ vectors.T
        return like[same].mean() - like[~same].mean()

    assert contrast(tuned) > 2 * contrast(frozen)


def test_texts_are_read_once(model, tmp_path, monkeypatch) -> None:
    first = embed(["red thing 1", "blue thing 2"], model, cache=tmp_path)
    monkeypatch.setattr("intently.text.language_model.load", None)
    assert np.array_equal(embed(["blue thing 2", "red thing 1"], model, cache=tmp_path), first[::-1])


def test_attention_layers_are_found_by_what_they_are(model) -> None:
    _, network = load(model)
    assert {"query", "key", "value"} <= set(attention_layers(network))


def test_a_model_that_is_not_there_is_one_sentence(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load(str(tmp_path / "nothing"))
