"""The text reader as a predictor: it learns from words, keeps its promises, and says in one sentence what is wrong."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from intently.contract import Examples, OneOf, Past
from intently.errors import BundleError, ConfigError, TooFewExamples
from intently.learn import few_shot
from intently.learn.few_shot import Contrast, batches, contrastive_loss, label_words
from intently.learn.methods import METHODS, Sizes, method_of
from intently.learn.methods.adalora import ranks
from intently.learn.objective import Objective
from intently.learn.text_finetune import TextRecipe, _arguments
from intently.learn.text_reader import FORMAT, SETTINGS, TextReader
from intently.learn.text_truth import values_of
from intently.log import schema
from intently.tasks import BUILT_IN
from intently.tasks.purchasing_power import TASK as POWER
from intently.text.story import Teller
from small_logs import day
from text_shop import SAID, TASK, URGENT, shop
from tiny_models import decoder, encoder, tokenizer

WEEKS = [day(7 * week) for week in range(1, 12)]
RECIPE = TextRecipe(epochs=8, fewest_steps=0, learning_rate=3e-3, batch_size=16, max_tokens=32, held_out=0.0)


@pytest.fixture(scope="module")
def log():
    return shop(240)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("text") / "encoder")


def made(model, **more):
    return TextReader(**({"model": model, "method": "full", "recipe": RECIPE, "teller": Teller(last=2)} | more))


def fitted(reader, log, task=TASK, until=60):
    examples = task.examples(log.before(day(until)), WEEKS)
    return reader.fit(examples, Past(log.before(day(until)), examples))


def judged(reader, log, task=TASK):
    examples = task.examples(log, [day(63), day(70)])
    return examples, reader.predict(examples.hide(), Past(log, examples.hide()))


def right(examples, scores):
    return (np.array(scores.labels)[scores.values.argmax(1)] == examples.truth.to_numpy()).mean()


@pytest.fixture(scope="module")
def reader(model, log):
    return fitted(made(model), log)


@pytest.mark.parametrize("asked", [True, False])
def test_half_precision_reaches_training_where_it_is_asked_for(asked, model, log, monkeypatch):
    capabilities = dict(torch.cpu.get_capabilities()) | {"avx512_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    seen: set[bool] = set()
    plain = torch.nn.Embedding.forward

    def watched(self, ids):
        seen.add(torch.is_autocast_enabled("cpu"))
        return plain(self, ids)

    monkeypatch.setattr(torch.nn.Embedding, "forward", watched)
    reader = fitted(made(model, recipe=replace(RECIPE, epochs=1, bfloat16=asked)), log)
    # What is not training, the head's beginning and the answers, is in full precision.
    assert seen == ({True, False} if asked else {False})
    assert {weight.dtype for weight in reader.network.parameters()} == {torch.float32}


@pytest.mark.parametrize(("by_length", "strategy"), [(True, "group_by_length"), (False, "random")])
def test_batches_are_of_any_length_where_length_says_something(by_length, strategy, tmp_path):
    told = _arguments(replace(RECIPE, by_length=by_length), tmp_path, keep=False, options={})
    assert told.train_sampling_strategy == strategy


def test_it_learns_what_messages_want(reader, log):
    examples, scores = judged(reader, log)
    assert len(examples) > 25
    assert scores.labels == tuple(SAID)
    assert scores.values.dtype == np.float32
    np.testing.assert_allclose(scores.values.sum(1), 1, atol=1e-5)
    # Every message of a kind has words of its own.
    assert right(examples, scores) > 0.9
    assert reader.losses[-1] < 0.5 * reader.losses[0]


def test_a_frozen_model_with_a_head_learns_less_than_a_tuned_one_and_more_than_nothing(model, log):
    examples, scores = judged(fitted(made(model, method="frozen"), log), log)
    assert right(examples, scores) > 0.6


def test_the_same_training_gives_the_same_weights(model, log, reader):
    again = fitted(made(model), log)
    for name, weight in reader.network.state_dict().items():
        assert weight.equal(again.network.state_dict()[name]), name


class Stop(Exception):
    """Somebody ended a training."""


def interrupted(reader, log, share):
    """The folder of checkpoints of a training that was ended after this share of it."""

    def stop(_what, fraction):
        if fraction > share:
            raise Stop

    with pytest.raises(Stop):
        fitted(replace(reader, progress=stop), log)
    (folder,) = {path.parent for path in reader.checkpoints.rglob("checkpoint-*")}
    return folder


def same_weights(one, other):
    mine, theirs = one.network.state_dict(), other.network.state_dict()
    return mine.keys() == theirs.keys() and all(weight.equal(theirs[name]) for name, weight in mine.items())


@pytest.fixture(scope="module")
def pruned(model, log):
    """Twelve layers begin with rank three, and are left two on average."""
    return fitted(made(model, method="adalora", sizes=Sizes(rank=2)), log)


@pytest.mark.parametrize(("method", "share"), [("full", 0.6), ("adalora", 0.4), ("adalora", 0.9)])
def test_an_interrupted_training_ends_with_the_same_weights(reader, pruned, log, tmp_path, method, share):
    """AdaLoRA prunes from a tenth of the training on, and has settled which ranks are left at seven tenths."""
    whole = {"full": reader, "adalora": pruned}[method]
    again = replace(whole, fitted=None, checkpoints=tmp_path)
    interrupted(again, log, share)
    gone_on = fitted(again, log)
    assert same_weights(whole, gone_on)
    assert gone_on.losses == whole.losses


def test_a_half_written_checkpoint_is_not_gone_on_from(model, log, reader, tmp_path):
    again = made(model, checkpoints=tmp_path)
    folder = interrupted(again, log, 0.6)
    half = folder / "checkpoint-9999"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"cut off")
    assert same_weights(reader, fitted(again, log))


def test_another_training_begins_anew_in_the_same_folder(model, log, tmp_path):
    """Another recipe, other examples, and another model under the same name."""
    import shutil

    quick = replace(RECIPE, epochs=1)
    shutil.copytree(model, tmp_path / "model")
    kept = made(str(tmp_path / "model"), recipe=quick, checkpoints=tmp_path / "kept")
    fitted(kept, log)
    others = (
        (replace(kept, recipe=replace(quick, learning_rate=1e-3)), 60),
        (replace(kept, objective=Objective(smoothing=0.1)), 60),
        (kept, 50),
    )
    for other, until in others:
        assert same_weights(fitted(other, log, until=until), fitted(replace(other, checkpoints=None), log, until=until))
    (tmp_path / "other").mkdir()
    encoder(tmp_path / "other", seed=1)
    shutil.copy(tmp_path / "other" / "model.safetensors", tmp_path / "model" / "model.safetensors")
    assert same_weights(fitted(kept, log), fitted(replace(kept, checkpoints=None), log))


def test_who_watches_is_told_what_it_will_take_and_the_weights_stay_the_same(model, log, reader):
    heard = []
    watched = fitted(made(model, progress=lambda what, fraction: heard.append((what, fraction))), log)
    assert same_weights(watched, reader)
    assert re.fullmatch(r"fine-tuning on words \(about \d+ seconds and \d\.\d GB of memory\)", heard[0][0])
    assert heard[0][1] == 0
    assert {what for what, _ in heard} == {heard[0][0]}


def test_what_happens_after_a_question_changes_no_answer(reader, log):
    asked = TASK.questions(log.before(day(63)), day(56))
    before = reader.predict(asked, Past(log.before(day(63)), asked)).values
    assert len(before) > 5
    np.testing.assert_array_equal(reader.predict(asked, Past(log, asked)).values, before)


def test_a_batch_answers_as_one_at_a_time(reader, log):
    examples, scores = judged(reader, log)
    alone = [
        reader.predict(one.hide(), Past(log, one.hide())).values[0]
        for one in (examples.take(np.array([row])) for row in range(5))
    ]
    np.testing.assert_allclose(np.stack(alone), scores.values[:5], atol=1e-6)


def test_yes_or_no_and_amounts_are_answered_too(model, log):
    _, scores = judged(fitted(made(model), log, URGENT), log, URGENT)
    assert scores.values.shape[1] == 1
    assert ((scores.values >= 0) & (scores.values <= 1)).all()
    quick = made(model, recipe=replace(RECIPE, epochs=1))
    examples = POWER.examples(log.before(day(60)), WEEKS)
    power = quick.fit(examples, Past(log.before(day(60)), examples))
    questions = POWER.questions(log, day(60))
    values = power.predict(questions, Past(log, questions)).values
    assert values.shape == (len(questions), 20)
    assert (np.diff(values[:, 1:], axis=1) >= 0).all()


def test_it_says_what_it_answers():
    answers = {task.name: TextReader().answers(task) for task in BUILT_IN}
    assert answers == {
        "purchase_intent": True,
        "purchasing_power": True,
        "interest": False,
        "next_item": False,
        "demand": False,
    }
    assert TextReader().answers(TASK)


def test_what_was_held_out_calibrates_it(model):
    log = shop(1_300)
    reader = fitted(made(model, recipe=replace(RECIPE, epochs=1, held_out=0.2)), log, until=90)
    assert set(reader.calibration.numbers) == {"temperature"}
    assert not fitted(made(model, recipe=replace(RECIPE, epochs=1)), log, until=30).calibration.numbers


def test_few_labels_are_drawn_together(model, log):
    known = log.before(day(60))
    some = TASK.examples(known, WEEKS).frame.group_by("truth", maintain_order=True).head(4)
    examples = Examples(TASK, some)
    plan = Contrast(rounds=30, labels=3, each=4, learning_rate=2e-3)
    few = made(model, contrast=plan, name_labels=True).fit(examples, Past(known, examples))
    left = made(model, method="frozen").fit(examples, Past(known, examples))
    judge, scores = judged(few, log)
    assert right(judge, scores) > max(0.7, right(*judged(left, log)))


def test_every_label_is_in_as_many_batches():
    label = np.repeat(np.arange(5), [2, 9, 3, 3, 1])
    plan = Contrast(rounds=40, labels=2, each=3)
    found = list(batches(label, plan, np.random.default_rng(0)))
    often = np.bincount(np.concatenate([np.unique(label[rows]) for rows in found]), minlength=5)
    # The fifth has nobody to be drawn to.
    assert often[4] == 0
    assert often[:4].max() - often[:4].min() <= 2 * plan.rounds * 0.1
    assert all(len(np.unique(rows)) == len(rows) for rows in found)


def test_contrast_reads_what_is_asked_where_the_past_is_long(model, log, monkeypatch):
    seen, real = [], few_shot.draw_together

    def together(network, ids, label, pad, plan, run):
        seen.append([one[: plan.max_tokens] for one in ids])
        return real(network, ids, label, pad, plan, run)

    monkeypatch.setattr("intently.learn.text_reader.draw_together", together)
    plan, examples = Contrast(rounds=1, max_tokens=12), TASK.examples(log.before(day(60)), WEEKS)
    past = Past(log.before(day(60)), examples)
    reader = made(model, contrast=plan, teller=Teller(last=48), recipe=replace(RECIPE, max_tokens=64), name_labels=True)
    reader = reader.fit(examples, past)
    told = reader.encoded(examples, past)
    assert min(len(one.ids) for one in told) < 12 * 2 < max(len(one.ids) for one in told)
    tokenizer = reader.network_tokenizer
    for text, ids in zip(examples.frame[schema.TEXT], seen[0], strict=False):
        asked = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids[-len(asked) - 1 : -1] == asked
    # Where no past is told, a text is read from its beginning, as it is.
    reader = replace(reader, teller=Teller(last=0), contrast=replace(plan, max_tokens=4)).fit(examples, past)
    whole = [one.ids[:4] for one in reader.encoded(examples, past)]
    assert seen[1][: len(whole)] == whole
    assert any(len(one.ids) > 4 for one in reader.encoded(examples, past))


def test_the_contrastive_loss_is_a_softmax_over_the_others():
    import torch

    states, label = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]), torch.tensor([0, 0, 1])
    near, far = np.cos(np.pi / 4) / 0.5, 0.0
    one = -np.log(np.exp(near) / (np.exp(near) + np.exp(far)))
    two = -np.log(np.exp(near) / (np.exp(near) + np.exp(near)))
    assert contrastive_loss(states, label, 0.5).item() == pytest.approx((one + two) / 2, abs=1e-6)


def test_a_label_is_read_as_one_would_write_it():
    assert label_words("card_payment-fee__charged") == "card payment fee charged"


# --- methods ---


def test_adalora_prunes_ranks_while_it_trains(pruned):
    left = ranks(pruned.network.language_model)
    # Without the schedule all would keep three.
    assert len(left) == 12
    assert sum(left) == 2 * 12
    assert min(left) < max(left)


def test_a_method_that_is_not_there_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'lora'"):
        method_of("loar")
    with pytest.raises(ConfigError, match=f"There are {', '.join(method.name for method in METHODS)}"):
        method_of("magic")


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_a_model_that_does_not_go_with_a_method_is_one_sentence(tmp_path, log, method):
    """DistilBERT takes no keys from outside; every method either trains it or says that it does not."""
    import torch
    from transformers import DistilBertConfig, DistilBertModel

    words = tokenizer()
    torch.manual_seed(0)
    DistilBertModel(
        DistilBertConfig(
            vocab_size=len(words), dim=32, n_layers=2, n_heads=2, hidden_dim=48, max_position_embeddings=64
        )
    ).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    reader = made(str(tmp_path), method=method, recipe=replace(RECIPE, epochs=1), sizes=Sizes(layers=1, tokens=3))
    if method != "prefix":
        assert judged(fitted(reader, log), log)[1].values.shape[1] == 3
        return
    with pytest.raises(ConfigError, match="distilbert") as raised:
        fitted(reader, log)
    assert raised.value.problem.count(".") == 1


# --- bad input ---

STRANGE = ("", " ", None, "x" * 100_000, "refund 退款 возврат 🎁\x00\u202e", "a\n" * 50_000, "\ud7ff" * 10)


def test_one_class_only_is_one_sentence(model, log):
    examples = TASK.examples(log, WEEKS).where(pl.col("truth") == "refund")
    with pytest.raises(TooFewExamples, match="the same for all"):
        made(model).fit(examples, Past(log, examples))


def test_a_label_that_the_task_does_not_know_is_named(model, log):
    task = replace(TASK, answer=OneOf(("refund", "parcel")))
    examples = task.examples(log, WEEKS)
    with pytest.raises(ConfigError, match="a truth is 'other'"):
        made(model).fit(examples, Past(log, examples))


def test_a_label_never_seen_in_training_can_still_be_answered(model, log):
    task = replace(TASK, answer=OneOf((*SAID, "praise")))
    _, scores = judged(fitted(made(model), log, task), log, task)
    assert scores.values.shape[1] == 4
    assert 0 < scores.values[:, 3].mean() < 0.2


def test_texts_of_any_kind_are_read(reader, log):
    frame = pl.DataFrame(
        {
            "event_id": [f"s{n}" for n in range(len(STRANGE))],
            "user_id": ["u1"] * len(STRANGE),
            schema.TEXT: STRANGE,
            "at": pl.Series([day(63)] * len(STRANGE), dtype=schema.CLOCK),
        }
    )
    examples = Examples(TASK, frame)
    values = reader.predict(examples, Past(log, examples)).values
    np.testing.assert_allclose(values.sum(1), 1, atol=1e-5)
    told = reader.encoded(examples, Past(log, examples))
    assert max(len(one.ids) for one in told) <= RECIPE.max_tokens


def with_texts(log, texts):
    """Training examples with these texts in turn."""
    frame = TASK.examples(log.before(day(60)), WEEKS).frame
    told = pl.Series(schema.TEXT, (list(texts) * len(frame))[: len(frame)], dtype=pl.String)
    return Examples(TASK, frame.with_columns(told))


@pytest.mark.parametrize("kind", [encoder, decoder])
def test_texts_of_any_kind_can_be_learned_from(log, tmp_path, kind):
    quick = made(kind(tmp_path), recipe=replace(RECIPE, epochs=1), teller=Teller(last=0))
    examples = with_texts(log, STRANGE)
    assert np.isfinite(quick.fit(examples, Past(log, examples)).losses).all()


def test_texts_that_all_say_the_same_are_one_sentence(model, log):
    examples = with_texts(log, ["", " ", None])
    with pytest.raises(TooFewExamples, match="say the same") as raised:
        made(model, teller=Teller(last=0)).fit(examples, Past(log, examples))
    assert "in the column text" in raised.value.mend


def test_where_nobody_is_asked_nothing_is_answered(reader, log):
    nobody = TASK.questions(log, day(63)).take(np.zeros(0, dtype=np.int64))
    assert reader.predict(nobody, Past(log, nobody)).values.shape == (0, 3)


def test_settings_that_do_not_go_together_are_one_sentence(model, log):
    plan = Contrast(rounds=1)
    with pytest.raises(ConfigError, match="the method frozen leaves it as it is"):
        fitted(made(model, method="frozen", contrast=plan), log)
    with pytest.raises(ConfigError, match="asks for an amount"):
        fitted(made(model, contrast=plan), log, POWER)
    with pytest.raises(ConfigError, match="no names to be read"):
        fitted(made(model, contrast=plan, name_labels=True), log, URGENT)
    assert judged(fitted(made(model, contrast=plan), log, URGENT), log, URGENT)[1].values.shape[1] == 1


def test_a_single_text_a_label_cannot_be_drawn_together(model, log):
    some = TASK.examples(log.before(day(60)), WEEKS).frame.group_by("truth", maintain_order=True).head(1)
    examples = Examples(TASK, some)
    reader = made(model, contrast=Contrast(rounds=1))
    with pytest.raises(TooFewExamples, match="No label has two texts") as raised:
        reader.fit(examples, Past(log, examples))
    assert "name_labels" in raised.value.mend
    assert replace(reader, name_labels=True).fit(examples, Past(log, examples)).losses


def test_weights_that_are_cut_off_are_one_sentence(model, log, tmp_path):
    import shutil

    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        fitted(made(str(tmp_path / "model")), log)


def test_a_folder_without_a_tokenizer_is_one_sentence(tmp_path, log, model):
    import shutil

    shutil.copytree(model, tmp_path / "bare")
    for file in (tmp_path / "bare").iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    with pytest.raises(ConfigError) as raised:
        fitted(made(str(tmp_path / "bare")), log)
    assert "has no tokenizer" in str(raised.value)


def test_a_decoder_without_a_pad_token_is_read(tmp_path, log):
    reader = fitted(made(decoder(tmp_path / "decoder"), recipe=replace(RECIPE, epochs=1)), log)
    assert judged(reader, log)[1].values.shape[1] == 3


def test_an_encoder_with_a_decoder_is_refused(tmp_path, log):
    from transformers import T5Config, T5Model

    T5Model(T5Config(vocab_size=80, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8)).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="reads no text on its own"):
        fitted(made(str(tmp_path)), log)


def test_it_has_to_be_fitted_and_a_saved_one_has_to_be_whole(model, log, reader, tmp_path):
    with pytest.raises(ConfigError, match="has not been fitted"):
        judged(made(model), log)
    reader.save(tmp_path)
    with pytest.raises(BundleError, match="answers 'asked_for'"):
        TextReader.read_from(tmp_path, URGENT)
    (tmp_path / "weights.safetensors").write_bytes(b"broken")
    with pytest.raises(BundleError, match="holds no text reader"):
        TextReader.read_from(tmp_path, TASK)


@pytest.mark.parametrize(("earlier", "number"), [({}, 1), ({"format": 2}, 2)])
def test_a_saved_reader_of_an_earlier_format_is_refused(reader, tmp_path, earlier, number):
    """Those of format 2 were told sums where this version tells rates."""
    reader.save(tmp_path)
    file = tmp_path / SETTINGS
    told = json.loads(file.read_text())
    teller = {"language": "en", "last": 48, "sums": True}
    file.write_text(
        json.dumps({name: one for name, one in told.items() if name != "format"} | {"teller": teller} | earlier)
    )
    with pytest.raises(BundleError, match=f"format {number}; this version reads {FORMAT}") as raised:
        TextReader.read_from(tmp_path, TASK)
    assert "Train it again" in raised.value.mend


@pytest.mark.parametrize("task", [TASK, URGENT, POWER], ids=["labels", "yes or no", "amount"])
def test_a_loaded_reader_has_the_same_loss(model, log, tmp_path, task):
    """What a loss is divided by comes from the training truths, and has to come back with the weights."""
    from intently.learn.objective import head_loss
    from intently.learn.text_network import padded

    quick = fitted(made(model, recipe=replace(RECIPE, epochs=1)), log, task)
    quick.save(tmp_path)
    examples = task.examples(log, [day(56)])
    rows = [
        {"input_ids": one.ids, "labels": value}
        for one, value in zip(quick.encoded(examples.hide(), Past(log, examples)), values_of(examples), strict=True)
    ]
    batch = padded(rows, quick.network_tokenizer.pad_token_id)
    loss, again = (head_loss(one.network, batch) for one in (quick, TextReader.read_from(tmp_path, task)))
    assert loss.item() == again.item()


def test_a_loaded_reader_is_fitted_again_from_the_model_it_began_with(model, log, reader, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(model).parent)
    near = fitted(made(Path(model).name), log)
    near.save(tmp_path / "saved")
    monkeypatch.chdir(tmp_path)
    assert same_weights(fitted(TextReader.read_from(tmp_path / "saved", TASK), log), reader)


def test_a_loaded_reader_whose_first_model_is_gone_answers_and_says_so_when_fitted(model, log, tmp_path):
    import shutil

    shutil.copytree(model, tmp_path / "model")
    quick = fitted(made(str(tmp_path / "model"), recipe=replace(RECIPE, epochs=1)), log)
    quick.save(tmp_path / "saved")
    shutil.rmtree(tmp_path / "model")
    loaded = TextReader.read_from(tmp_path / "saved", TASK)
    np.testing.assert_array_equal(judged(loaded, log)[1].values, judged(quick, log)[1].values)
    with pytest.raises(ConfigError, match=r"The language model .*model' cannot be loaded"):
        fitted(loaded, log)
