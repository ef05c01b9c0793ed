"""Few labels by a prompt: what a model learned in guessing words answers before anything is trained."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intently.contract import Amount, Past
from intently.errors import ConfigError
from intently.learn.methods import Sizes
from intently.learn.pretrain import Pretraining, pretrain
from intently.learn.prompt import Guess, Prompt, guesser_of
from intently.learn.search import Space, search
from intently.learn.sturdy import sturdiness
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_plan import TextPlan
from intently.learn.text_reader import TextReader
from intently.text.language_model import PACKAGED
from intently.text.story import Teller
from small_logs import day
from text_shop import SAID, TASK, URGENT, shop
from tiny_models import decoder, encoder

WEEKS = [day(7 * week) for week in range(1, 11)]
RECIPE = TextRecipe(epochs=1, fewest_steps=0, batch_size=16, max_tokens=32, held_out=0.0, rate=1e-6)
# The small models do not know the word "other".
ABOUT = Prompt(words={"other": "thing"})


@pytest.fixture(scope="module")
def log():
    return shop(90)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model that has read what each message is about, an untaught BERT that guesses words, and a Llama."""
    from transformers import AutoModelForMaskedLM, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("prompt")
    texts = [
        f"{hello} {text}. It is about {label}." for label, all_ in SAID.items() for text in all_ for hello in HELLO
    ]
    pretrain(texts, folder / "taught", Pretraining(epochs=20, width=32, layers=1, batch_size=16, learning_rate=4e-3))
    for name, kind, make in (("bert", AutoModelForMaskedLM, encoder), ("llama", LlamaForCausalLM, decoder)):
        where = make(folder / name)
        torch.manual_seed(1)
        kind.from_pretrained(where).save_pretrained(where)
    return {name: str(folder / name) for name in ("taught", "bert", "llama")}


HELLO = ("hello", "good day", "hi there", "dear shop", "please", "well", "sorry but", "now", "look", "hm", "so", "ok")


def fitted(model, log, task=TASK, **more):
    examples = task.examples(log, WEEKS)
    reader = TextReader(model=model, method="full", recipe=RECIPE, teller=Teller(last=0), prompt=ABOUT)
    return replace(reader, **more).fit(examples, Past(log, examples))


@pytest.mark.parametrize("model", ["bert", "llama"])
def test_before_it_is_trained_it_answers_what_the_model_guesses(models, log, model):
    """At a rate of nearly nothing an answer is what the model itself says of the labels' words, and nothing else."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    whole = (AutoModelForMaskedLM if model == "bert" else AutoModelForCausalLM).from_pretrained(models[model]).eval()
    words = {"refund": "refund", "parcel": "late parcel", "other": "thing"}
    reader = fitted(models[model], log, prompt=Prompt(words=words))
    asked, tokenizer = TASK.questions(log, day(40)), reader.network_tokenizer
    values = reader.predict(asked, Past(log, asked)).values
    tokens = [tokenizer(" " + word, add_special_tokens=False)["input_ids"] for word in words.values()]
    for one, found in zip(reader.encoded(asked, Past(log, asked)), values, strict=True):
        place = one.ids.index(tokenizer.mask_token_id) if model == "bert" else -1
        with torch.no_grad():
            logits = whole(input_ids=torch.tensor([one.ids])).logits[0, place]
        wanted = torch.softmax(torch.stack([logits[ids].mean() for ids in tokens]), dim=0)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    urgent = fitted(models[model], log, URGENT, prompt=Prompt(words={"yes": "refund", "no": "thing"}))
    yes = urgent.predict(asked, Past(log, asked)).values[:, 0]
    np.testing.assert_allclose(yes, values[:, 0] / (values[:, 0] + values[:, 2]), atol=1e-4)


def test_a_model_that_was_pretrained_here_guesses_words(models):
    guesser = guesser_of(models["taught"])
    ids = guesser.tokenizer("where is my parcel. It is [MASK] parcel.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = guesser.network.eval()(input_ids=ids).last_hidden_state
        logits = guesser.guess(hidden, ids, torch.ones_like(ids)) @ guesser.vectors.T + guesser.bias
    # Every text it read says "it is about" something: of its hundred words few are likely here.
    chance = torch.softmax(logits[0], dim=0)[guesser.tokenizer.convert_tokens_to_ids("about")]
    assert chance > 0.05 > 3 / len(guesser.tokenizer)


@pytest.mark.parametrize("model", ["taught", "bert", "llama"])
def test_it_is_kept_and_gives_the_same_when_loaded(models, log, tmp_path, model):
    reader = fitted(models[model], log, method="lora", sizes=Sizes(rank=2), recipe=replace(RECIPE, rate=1.0, epochs=3))
    reader.save(tmp_path)
    asked = TASK.questions(log, day(40))
    values = reader.predict(asked, Past(log, asked)).values
    loaded = TextReader.read_from(tmp_path, TASK)
    assert loaded.prompt == ABOUT
    np.testing.assert_allclose(loaded.predict(asked, Past(log, asked)).values, values, atol=1e-5)
    onnx = pytest.importorskip("intently.ship.text_export")
    from intently.text.exported_model import session

    file = onnx.export(reader, tmp_path / "x" / onnx.ONNX)
    np.testing.assert_allclose(onnx.answer(session(file), reader.encoded(asked, Past(log, asked))), values, atol=1e-4)


def test_the_prompt_stands_after_the_text_and_within_the_budget(models, log):
    reader = fitted(models["bert"], log, recipe=replace(RECIPE, max_tokens=14))
    tokenizer = reader.network_tokenizer
    asked = TASK.questions(log, day(40))
    for one in reader.encoded(asked, Past(log, asked)):
        assert len(one.ids) == len(one.piece) <= 14
        assert one.ids[-1] == tokenizer.sep_token_id
        assert tokenizer.decode(one.ids).endswith("[MASK]. [SEP]")


def test_a_change_that_changes_nothing_moves_no_score_of_a_prompted_reader(models, log):
    reader, examples = fitted(models["bert"], log), TASK.examples(log, WEEKS)
    table = sturdiness(reader, examples, Past(log, examples), {"nothing": lambda story, rng: story})
    assert table["movement"].to_list() == [0, 0]
    assert table["loss"].to_list() == [0, 0]


def test_the_last_mask_is_the_one_that_is_asked_for():
    guess = Guess(2, mask=9, layered=False)
    ids = torch.tensor([[9, 1, 9, 2], [9, 3, 0, 0]])
    hidden = torch.arange(16.0).view(2, 4, 2)
    found = guess(hidden, ids, (ids > 0).long())
    assert found.tolist() == [hidden[0, 2].tolist(), hidden[1, 0].tolist()]
    last = Guess(2, mask=None, layered=False)(hidden, ids, (ids > 0).long())
    assert last.tolist() == [hidden[0, 3].tolist(), hidden[1, 1].tolist()]


def test_what_cannot_be_prompted_is_refused(models, log, tmp_path, caplog):
    with pytest.raises(ConfigError, match="saved without the layers by which it guesses words"):
        guesser_of(PACKAGED)
    with pytest.raises(ConfigError, match="saved without the layers"):
        guesser_of(encoder(tmp_path / "e"))
    assert not caplog.records
    for more, says in (
        ({"prompt": Prompt("About what?")}, "has no {word}"),
        ({"prompt": Prompt(words={"refnd": "money"})}, "has no label 'refnd'"),
        ({"prompt": Prompt(words={"refund": "钱"}), "model": models["bert"]}, "does not know the word '钱'"),
        ({"method": "frozen"}, "neither with contrast nor"),
        (
            {"prompt": Prompt("a " * 40 + "{word}", words=ABOUT.words)},
            "The prompt is 4. tokens long, and a text has 32",
        ),
    ):
        with pytest.raises(ConfigError, match=says):
            fitted(models["taught"], log, **more) if "model" not in more else fitted(log=log, **more)
    with pytest.raises(ConfigError, match="guesses labels"):
        Prompt().check(Amount("EUR"), "spend")


def test_words_of_labels_that_are_none_are_refused_before_anything_is_trained():
    TextPlan(few_labels="prompt", words={"refund": "money"}).check([TASK], "full")
    for words, says in (
        ({"words": {"refnd": "money"}}, "no label 'refnd'"),
        ({"prompt": "It is so."}, "has no {word}"),
    ):
        with pytest.raises(ConfigError, match=says):
            TextPlan(few_labels="prompt", **words).check([TASK], "full")


def test_a_search_with_a_model_that_cannot_guess_tries_nothing(log, tmp_path, monkeypatch):
    reader = TextReader(model=encoder(tmp_path / "e"), prompt=ABOUT)
    examples = TASK.examples(log, WEEKS)
    monkeypatch.setattr(TextReader, "fit", None)
    with pytest.raises(ConfigError, match="saved without the layers"):
        search(reader, examples, log, space=Space(methods=("full",)), trials=1)


def test_a_word_that_the_model_does_not_know_is_refused_before_anything_is_trained(models):
    ABOUT.try_on(models["bert"], TASK.answer, TASK.name, 32)
    with pytest.raises(ConfigError, match="does not know the word 'kangaroo'"):
        Prompt(words={"refund": "kangaroo"}).try_on(models["bert"], TASK.answer, TASK.name, 32)
