"""Losses beyond the head's own, against what they claim to be; and that they do what they are for on a planted case."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intently.contract import Amount, OneOf, Past, YesNo
from intently.errors import ConfigError
from intently.learn.adversarial import Attack
from intently.learn.augment import Augment, perturbed, typos
from intently.learn.objective import Objective, head_loss
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_network import padded
from intently.learn.text_reader import TextReader
from intently.text.story import Teller
from intently.text.tokens import encode
from small_logs import day
from text_shop import TASK, URGENT, shop
from tiny_models import encoder

WEEKS = [day(7 * week) for week in range(1, 8)]


@pytest.fixture(scope="module")
def log():
    return shop(200)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return encoder(tmp_path_factory.mktemp("objective") / "encoder")


def fitted(model, log, task=TASK, **more):
    recipe = TextRecipe(epochs=12, fewest_steps=0, learning_rate=3e-3, batch_size=16, max_tokens=24, held_out=0.0)
    examples = task.examples(log, WEEKS)
    made = TextReader(**({"model": model, "method": "full", "recipe": recipe, "teller": Teller(last=0)} | more))
    return made.fit(examples, Past(log, examples))


@pytest.fixture(scope="module")
def reader(model, log):
    return fitted(model, log)


def batch_of(reader, log, task=TASK, change=None):
    examples = task.examples(log, [day(56), day(63), day(70)])
    stories = reader.teller.tell(examples, Past(log, examples))
    stories = stories if change is None else perturbed(stories, change)
    told = encode(stories, reader.network_tokenizer, reader.longest)
    labels = (
        examples.truth.cast(float).to_list()
        if isinstance(task.answer, YesNo)
        else [float(task.answer.labels.index(label)) for label in examples.truth]
    )
    rows = [{"input_ids": one.ids, "labels": label} for one, label in zip(told, labels, strict=True)]
    return padded(rows, reader.network_tokenizer.pad_token_id)


def value(loss, reader, batch):
    reader.network.eval()
    return float(loss(reader.network, batch).detach())


@pytest.mark.parametrize("task", [TASK, URGENT], ids=["labels", "yes or no"])
def test_without_any_change_the_losses_agree(model, log, task):
    reader = fitted(model, log, task)
    batch, answer = batch_of(reader, log, task), task.answer
    plain = value(head_loss, reader, batch)
    assert value(Objective().loss(answer), reader, batch) == plain
    assert value(Objective(smoothing=1e-9).loss(answer), reader, batch) == pytest.approx(plain, rel=1e-4)
    # Without dropout two readings agree, and agreement costs nothing.
    assert value(Objective(agreement=3.0).loss(answer), reader, batch) == pytest.approx(plain, rel=1e-4)


def test_smoothing_and_focus_are_what_their_papers_say(reader, log):
    batch = batch_of(reader, log)
    with torch.no_grad():
        chance = reader.network.answer(reader.network.states(batch["input_ids"], batch["attention_mask"])).numpy()
    true = chance[np.arange(len(chance)), batch["labels"].long().numpy()]
    scale = float(reader.network.head.scale)
    smooth = -(0.9 * np.log(true) + 0.1 * np.log(chance).mean(1)).mean() / scale
    assert value(Objective(smoothing=0.1).loss(TASK.answer), reader, batch) == pytest.approx(smooth, rel=1e-3)
    focal = -((1 - true) ** 2 * np.log(true)).mean() / scale
    assert value(Objective(focus=2.0).loss(TASK.answer), reader, batch) == pytest.approx(focal, rel=1e-3)


@pytest.mark.parametrize("focus", [0.5, 1.0, 2.0])
def test_a_text_that_is_certain_does_not_break_what_is_learned(focus):
    logits = torch.tensor([[40.0, 0.0, 0.0], [0.2, 0.0, 0.0]], requires_grad=True)
    Objective(focus=focus)._mean(torch.log_softmax(logits, dim=1), torch.tensor([0, 1])).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[1].abs().min() > 0


def test_agreement_costs_where_dropout_makes_two_readings_differ(reader, log):
    batch = batch_of(reader, log)
    loss = Objective(agreement=5.0).loss(TASK.answer)
    calm = value(loss, reader, batch)
    torch.manual_seed(0)
    reader.network.train()
    stirred = float(loss(reader.network, batch).detach())
    reader.network.eval()
    assert stirred > calm


@pytest.mark.parametrize("attack", [Attack(0.3), Attack(0.3, steps=3)], ids=["fgm", "pgd"])
def test_an_attack_stays_within_its_ball_and_raises_the_loss(reader, log, attack):
    batch = batch_of(reader, log)
    reader.network.eval()
    moved = attack.worst(head_loss, reader.network, batch)
    words = reader.network.language_model.get_input_embeddings().weight[batch["input_ids"]]
    mask = batch["attention_mask"]
    radius = 0.3 * (words.norm(dim=-1) * mask).sum(1) / mask.sum(1)
    assert (moved.flatten(1).norm(dim=1) <= radius * 1.1).all()
    worst = float(attack.loss_at(moved, head_loss, reader.network, batch).detach())
    anywhere = torch.randn(moved.shape, generator=torch.Generator().manual_seed(0))
    anywhere *= (moved.flatten(1).norm(dim=1) / anywhere.flatten(1).norm(dim=1))[:, None, None]
    by_lot = float(attack.loss_at(anywhere, head_loss, reader.network, batch).detach())
    assert worst > value(head_loss, reader, batch)
    assert worst > by_lot
    # The hook is gone, and no word vector has been changed.
    assert not reader.network.language_model.get_input_embeddings()._forward_hooks


def test_several_steps_find_what_is_at_least_as_bad_as_one(reader, log):
    batch = batch_of(reader, log)
    losses = [
        float(attack.loss_at(attack.worst(head_loss, reader.network, batch), head_loss, reader.network, batch).detach())
        for attack in (Attack(1.0), Attack(1.0, steps=6))
    ]
    assert losses[1] > losses[0] * 0.98


def under(attack, reader, batch):
    reader.network.eval()
    moved = attack.worst(head_loss, reader.network, batch)
    return float(attack.loss_at(moved, head_loss, reader.network, batch).detach())


@pytest.mark.parametrize("steps", [1, 3])
def test_training_against_an_attack_lowers_the_loss_under_it_by_a_fifth(model, log, reader, steps):
    attack = Attack(1.0, steps=steps)
    hardened = fitted(model, log, objective=Objective(attack=attack))
    batch = batch_of(reader, log)
    assert under(attack, hardened, batch) < 0.8 * under(attack, reader, batch)
    assert value(head_loss, hardened, batch) < 0.2


def test_training_on_typos_lowers_the_loss_under_typos_by_a_fifth(model, log, reader):
    change = typos(0.15)
    sturdy = fitted(model, log, augment=Augment((change,), copies=3))
    mistyped = batch_of(reader, log, change=change)
    assert value(head_loss, sturdy, mistyped) < 0.8 * value(head_loss, reader, mistyped)
    assert value(head_loss, sturdy, batch_of(reader, log)) < 0.2


def test_an_amount_has_no_labels_to_smooth():
    with pytest.raises(ConfigError, match="an amount has none"):
        Objective(smoothing=0.1).loss(Amount("money"))
    assert Objective(attack=Attack()).loss(Amount("money")) is not head_loss
    assert Objective().loss(OneOf(("a", "b"))) is head_loss


def test_an_objective_is_kept_with_its_reader(model, log, tmp_path):
    objective = Objective(smoothing=0.1, attack=Attack(0.2, steps=2))
    quick = TextRecipe(epochs=1, fewest_steps=0, max_tokens=16, held_out=0.0)
    reader = fitted(model, log, objective=objective, recipe=quick)
    reader.save(tmp_path)
    assert TextReader.read_from(tmp_path, TASK).objective == objective
    assert replace(objective, attack=None) != objective
