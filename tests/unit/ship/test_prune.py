"""A text reader with fewer layers and heads: what is left, that it answers the same when read again, and the gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from intently.cli import console
from intently.cli import prune as prune_verb
from intently.contract import Past
from intently.errors import BundleError, ConfigError
from intently.evaluate.compare import Report
from intently.learn import text_finetune
from intently.learn.calibrate import Calibration
from intently.learn.ensemble import Ensemble
from intently.learn.methods.method import layers_of
from intently.learn.prune import Pruning, pruned
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.learn.text_weights import Pruned, attention, base_of, cut
from intently.learn.trained import Trained
from intently.ship import bundle as bundle_module
from intently.ship import gate as gate_of
from intently.ship.bundle import load, save
from intently.ship.prune import earlier, good, prune
from small_logs import day
from text_shop import TASK, shop
from tiny_models import decoder, encoder

RECIPE = TextRecipe(epochs=2, fewest_steps=60, max_tokens=48, learning_rate=3e-3, threads=1)
UNTIL = day(80)


@pytest.fixture(scope="module")
def log():
    return shop(240)


@pytest.fixture(scope="module")
def taught(log):
    known = log.before(UNTIL)
    examples = TASK.examples(known, [day(number) for number in range(1, 75, 7)])
    return examples, Past(known, examples)


@pytest.fixture(scope="module", params=["encoder", "decoder"])
def reader(request, tmp_path_factory, taught):
    make = {"encoder": encoder, "decoder": decoder}[request.param]
    model = make(tmp_path_factory.mktemp("model") / request.param)
    return TextReader(model=model, method="full", recipe=RECIPE).fit(*taught)


def sizes(reader):
    return [
        (attention(layer).groups, attention(layer).ins[0].out_features, attention(layer).out.in_features)
        for layer in layers_of(base_of(reader.network.language_model), "this test")
    ]


def trained(reader) -> Trained:
    name = TASK.name
    return Trained(UNTIL, (TASK,), None, None, {name: {"text": reader}}, {name: "text"}, {name: "text"}, Report())


def test_a_layer_and_a_head_are_gone_and_the_reader_is_read_again_as_it_was(reader, taught, tmp_path) -> None:
    smaller = pruned(reader, *taught, Pruning(layers=1, heads=1, epochs=1, fewest_steps=10))
    (before, *_), (after,) = sizes(reader), sizes(smaller)
    assert len(sizes(reader)) == 2
    assert after[0] == 1
    assert after[1] * before[0] == before[1], "one of so many groups of heads asks"
    assert after[2] * before[0] == before[2]
    smaller.save(tmp_path)
    again = TextReader.read_from(tmp_path, TASK)
    assert again.pruned == smaller.pruned
    assert again.predict(*taught).values == pytest.approx(smaller.predict(*taught).values, abs=1e-5)


def test_all_that_is_there_may_be_left_and_nothing_has_moved(reader, taught) -> None:
    base = base_of(reader.network.language_model)
    groups = attention(layers_of(base, "this test")[0]).groups
    ids = torch.tensor([[5, 6, 7, 8]])
    before = base(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.detach()
    cut(base, Pruned((0, 1), (tuple(range(groups)),) * 2))
    after = base(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state.detach()
    assert torch.allclose(before, after, atol=1e-6)


def test_the_layer_that_does_nothing_is_the_one_that_goes(reader, taught) -> None:
    mute = replace(reader, fitted=reader.fitted)
    network = reader.merged().network
    idle = layers_of(base_of(network.language_model), "this test")[0]
    state = {name: weight.clone() for name, weight in idle.state_dict().items()}
    with torch.no_grad():
        # A residual block whose parts say nothing gives what it was given (a norm of a normed thing, in a BERT).
        for name, weight in idle.named_parameters():
            if name.endswith(("output.dense.weight", "output.dense.bias", "o_proj.weight", "down_proj.weight")):
                weight.zero_()
    try:
        assert pruned(mute, *taught, Pruning(layers=1, epochs=1, fewest_steps=1)).pruned == Pruned((1,))
    finally:
        idle.load_state_dict(state)


def test_the_head_that_says_nothing_is_the_one_that_goes(reader, taught) -> None:
    layers = layers_of(base_of(reader.network.language_model), "this test")
    kept = []
    for number, layer in enumerate(layers):
        part = attention(layer)
        width = part.out.in_features // part.groups
        kept.append(part.out.weight.detach().clone())
        with torch.no_grad():
            part.out.weight[:, (number % part.groups) * width : (number % part.groups + 1) * width] = 0
    groups = attention(layers[0]).groups
    try:
        left = pruned(reader, *taught, Pruning(heads=groups - 1, epochs=1, fewest_steps=1)).pruned
        assert left.heads == tuple(
            tuple(head for head in range(groups) if head != number % groups) for number in range(len(layers))
        )
    finally:
        for layer, weight in zip(layers, kept, strict=True):
            with torch.no_grad():
                attention(layer).out.weight.copy_(weight)


def test_a_bundle_is_written_with_what_it_loses(reader, log, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gate_of, "MOST_LOST", 1.0)
    gates = prune(trained(reader), log, tmp_path / "smaller", Pruning(layers=1), most=60)
    gate = gates[TASK.name]
    assert gate.whole_bytes < gate.exact_bytes
    again = load(tmp_path / "smaller", [TASK]).predictors[TASK.name]["text"]
    assert len(sizes(again)) == 1
    judged, past = _judged(log)
    assert good(reader, judged, past) - good(again, judged, past) == pytest.approx(gate.lost[TASK.name], abs=1e-5)
    found = load(tmp_path / "smaller", [TASK])
    assert found.pruned == {TASK.name: {"lost": gate.lost[TASK.name], "layers": 1, "heads": None}}
    said = (tmp_path / "smaller" / "README.md").read_text(encoding="utf-8")
    assert f"| {TASK.name} | 1 | all | {gate.lost[TASK.name]:.4f} |" in said
    save(found, log, tmp_path / "again")
    assert load(tmp_path / "again", [TASK]).pruned == found.pruned


def test_without_torch_a_text_reader_is_left_out_and_its_question_says_why(reader, log, tmp_path, capsys) -> None:
    save(trained(reader), log, tmp_path / "bundle")
    found = load(tmp_path / "bundle", [TASK], exported=True)
    assert found.tasks == ()
    with pytest.raises(ConfigError, match=r"asked_for is answered by its text, which needs torch.*intently\[train\]"):
        found.task(TASK.name)
    with pytest.raises(ConfigError, match=r"asked_for.*needs torch.*Leave --exported out"):
        found.predict_all(log, UNTIL)
    console.say_unread(found)
    assert "asked_for is left out: it is answered by its text, which needs torch" in capsys.readouterr().err


def test_a_smaller_reader_is_calibrated_by_what_it_did_not_recover_on(reader, taught, monkeypatch) -> None:
    monkeypatch.setattr(text_finetune, "_ENOUGH", 100)
    halves = replace(reader, recipe=replace(RECIPE, held_out=0.6))
    given = replace(halves.fitted, calibration=Calibration({"temperature": 50.0}))
    smaller = pruned(replace(halves, fitted=given), *taught, Pruning(layers=1, epochs=1, fewest_steps=10))
    assert 0 < smaller.calibration.numbers["temperature"] < 50
    kept = text_finetune.trained_on(taught[0], halves.recipe)
    assert taught[0].where(kept).at.max() <= taught[0].where(~kept).at.min()


def test_a_bundle_that_cannot_be_written_leaves_nothing_behind(reader, log, tmp_path, monkeypatch) -> None:
    def broken(*_given) -> str:
        raise OSError("no space")

    monkeypatch.setattr(bundle_module, "card", broken)
    with pytest.raises(OSError, match="no space"):
        save(trained(reader), log, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_bundle_is_refused_before_anything_is_read(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(ConfigError, match="holds something that is not a bundle"):
        prune_verb.command(tmp_path / "none", str(tmp_path), tmp_path / "out", layers=1)


def test_an_ensemble_is_named(reader, log, tmp_path) -> None:
    several = Ensemble(reader, 2, fitted=(reader, reader))
    with pytest.raises(BundleError, match="asked_for is answered by an ensemble"):
        prune(trained(several), log, tmp_path / "smaller", Pruning(layers=1))


def test_one_that_loses_too_much_is_not_written(reader, log, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(gate_of, "MOST_LOST", -1.0)
    with pytest.raises(BundleError, match="asked_for loses"):
        prune(trained(reader), log, tmp_path / "smaller", Pruning(layers=1, epochs=1, fewest_steps=1), most=60)
    assert not list(tmp_path.iterdir())


def test_what_it_recovers_on_is_earlier_than_what_it_is_judged_on(log) -> None:
    judged, _ = _judged(log)
    taught = earlier(TASK, log, UNTIL, judged)
    assert len(taught) > 60
    assert taught.at.max() < judged.at.min()


def _judged(log):
    from intently.ship.export import examples_of

    return examples_of([TASK], log, UNTIL, 60)[TASK.name]


@pytest.mark.parametrize(("pruning", "said"), [(Pruning(layers=3), "has 2 layers"), (Pruning(heads=9), "heads each")])
def test_more_than_there_is_cannot_be_kept(reader, taught, pruning, said) -> None:
    with pytest.raises(ConfigError, match=said):
        pruned(reader, *taught, pruning)


def test_what_was_pruned_or_has_something_added_is_refused(reader, taught) -> None:
    with pytest.raises(ConfigError, match="already"):
        pruned(replace(reader, pruned=Pruned((0,))), *taught, Pruning(layers=1))
    with pytest.raises(ConfigError, match="cannot be merged"):
        pruned(replace(reader, method="prefix"), *taught, Pruning(layers=1))
