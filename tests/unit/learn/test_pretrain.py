"""Pre-training from nothing and from a given model: it learns, it is repeatable, and a text reader takes the result."""

import numpy as np
import pytest

from intently.contract import Past
from intently.errors import ConfigError, TooFewExamples
from intently.learn.pretrain import Pretraining, own_tokenizer, pretrain
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.text.language_model import load
from intently.text.story import Teller
from small_logs import day
from text_shop import TASK, shop
from tiny_models import decoder, encoder

SMALL = {"width": 32, "layers": 1, "attention_heads": 2, "words": 200, "max_tokens": 24, "batch_size": 32}


def texts(count=400):
    """Sentences in which the last word follows from the first."""
    rng = np.random.default_rng(0)
    pairs = [("red", "thing"), ("blue", "parcel"), ("old", "refund"), ("这个", "很好"), ("那个", "不好")]
    return [f"{a} {n} {b}" for n, (a, b) in ((n, pairs[rng.integers(5)]) for n in range(count))]


def test_a_model_from_nothing_learns_its_texts_and_is_repeatable(tmp_path):
    plan = Pretraining(epochs=4, learning_rate=5e-3, **SMALL)
    losses = pretrain(texts(), tmp_path / "a", plan)
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]
    assert pretrain(texts(), tmp_path / "b", plan) == losses
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    tokenizer, network = load(str(tmp_path / "a"))
    assert network.config.hidden_size == 32
    assert tokenizer.mask_token == "[MASK]"


def test_words_that_begin_where_counts_put_them_are_learned_sooner(tmp_path):
    plans = [Pretraining(epochs=1, counted=counted, **SMALL) for counted in (False, True)]
    by_lot, counted = (pretrain(texts(), tmp_path / str(plan.counted), plan)[0] for plan in plans)
    assert counted < 0.9 * by_lot


def test_what_was_pretrained_is_a_model_for_a_text_reader(tmp_path):
    pretrain(texts(), tmp_path / "model", Pretraining(epochs=1, **SMALL))
    log = shop()
    examples = TASK.examples(log, [day(7 * week) for week in range(1, 11)])
    recipe = TextRecipe(epochs=1, fewest_steps=0, max_tokens=16, held_out=0)
    made = TextReader(model=str(tmp_path / "model"), method="full", recipe=recipe, teller=Teller(last=0))
    assert made.fit(examples, Past(log, examples)).predict(examples, Past(log, examples)).values.shape == (
        len(examples),
        3,
    )


@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_a_given_model_is_taken_further_with_its_own_words(tmp_path, objective):
    given = (encoder if objective == "masked" else decoder)(tmp_path / "given")
    plan = Pretraining(objective=objective, epochs=3, learning_rate=5e-3, max_tokens=16, batch_size=32)
    losses = pretrain(texts(), tmp_path / "further", plan, model=given)
    assert losses[-1] < losses[0]
    before, after = load(given)[1].state_dict(), load(str(tmp_path / "further"))[1].state_dict()
    assert set(before) == set(after)
    assert not all(before[name].equal(after[name]) for name in before)
    assert load(given)[0].get_vocab() == load(str(tmp_path / "further"))[0].get_vocab()


def test_chinese_is_cut_into_words_and_nothing_of_it_is_lost():
    reviews = [f"手机{n}很好用,物流很快。" for n in range(50)] + ["质量不好,很失望!"] * 50
    tokenizer = own_tokenizer(reviews, 150, 32)
    words = tokenizer.tokenize("手机很好用,Nice 12")
    assert "手机" in words
    assert "".join(words).startswith("手机很好用,")
    assert words[-2:] == ["1", "2"]
    ids = tokenizer("手机很好用")["input_ids"]
    assert ids[0] == tokenizer.cls_token_id
    assert ids[-1] == tokenizer.sep_token_id


def test_a_handful_of_texts_is_refused(tmp_path):
    with pytest.raises(TooFewExamples, match="3 different texts"):
        pretrain(["a", "b", " b ", "c", ""], tmp_path)


def test_a_decoder_cannot_guess_what_is_masked(tmp_path):
    with pytest.raises(ConfigError, match="no mask token"):
        pretrain(texts(), tmp_path / "x", model=decoder(tmp_path / "d"))
