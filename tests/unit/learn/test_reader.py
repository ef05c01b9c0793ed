"""The sequence reader: causal, deterministic, and better for having been trained."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest
import torch

from intently.contract import Past
from intently.learn.reader import SequenceReader
from intently.learn.recipe import Recipe
from intently.learn.rolling import Rolling
from intently.learn.stack import ReaderColumns
from intently.log.log import Log
from intently.text.arrays import newest
from planted_shop import START

from .conftest import RECIPE, SHAPE, TASKS, UNTIL, fit, parts

AT = START + timedelta(weeks=30)


def asked(log, task, at=AT):
    examples = task.questions(log, at)
    return examples, Past(log, examples)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_one_customer_alone_is_answered_as_in_the_batch(shop, reader, task) -> None:
    examples, past = asked(shop, task)
    together = reader.predict(examples, past)
    rows = np.array([0, len(examples) // 2, len(examples) - 1])
    alone = [reader.predict(examples.take(rows[i : i + 1]), past.take(rows[i : i + 1])) for i in range(3)]
    for i, row in enumerate(rows):
        assert np.allclose(alone[i].values[0], together.values[row], atol=1e-4)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_what_comes_later_changes_nothing(shop, reader, task) -> None:
    examples, past = asked(shop, task)
    cut = Log.of(shop.before(AT).events, shop.items, shop.users, observed_from=START, observed_until=AT)
    a = reader.predict(examples, past)
    b = reader.predict(examples, Past(cut, examples))
    assert np.array_equal(a.values, b.values)
    if a.ids is not None:
        assert np.array_equal(a.ids, b.ids)


@pytest.mark.parametrize("longest", [256, 3])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_an_earlier_question_is_answered_as_alone(shop, reader, task, longest, monkeypatch) -> None:
    """Several cut-offs share a history, of which only the newest moments are read."""
    monkeypatch.setattr("intently.learn.fitted.newest", partial(newest, longest=longest))
    examples = task.examples(shop, [START + timedelta(weeks=w) for w in (12, 20)]).hide()
    both = reader.predict(examples, Past(shop, examples))
    first = np.flatnonzero((examples.at == examples.cutoffs[0]).to_numpy())
    alone = reader.predict(examples.take(first), Past(shop, examples.take(first)))
    assert np.allclose(both.values[first], alone.values, atol=1e-3)


def test_two_trainings_with_one_seed_are_identical_and_another_seed_is_not(shop, reader) -> None:
    again, other = fit(shop), fit(shop, replace(RECIPE, seed=1))
    mine, same, different = (one.fitted.state_dict() for one in (reader, again, other))
    assert all(torch.equal(mine[name], same[name]) for name in mine)
    assert not all(torch.equal(mine[name], different[name]) for name in mine)


@pytest.mark.parametrize("negatives", [32, 0], ids=["sampled", "whole"])
def test_training_lowers_the_held_out_loss(shop, negatives) -> None:
    later = {}
    for task in TASKS:
        examples = task.examples(shop, [UNTIL])
        later[task.name] = (examples, Past(shop, examples))
    trained = fit(shop, replace(RECIPE, epochs=6, learning_rate=5e-3, negatives=negatives), validation=later)
    losses = trained.curve["finetune"]
    assert min(losses) < losses[0]
    assert set(trained.calibration) == {"purchase_intent", "purchasing_power", "interest"}


def test_before_trains_the_heads_alone(shop) -> None:
    recipe = Recipe(pretrain_epochs=1, epochs=1, negatives=32, threads=1, train_reader=False)
    from intently.learn import reader as module

    captured = {}
    original = module.finetune

    def watched(network, *rest, **more):
        captured.update({name: value.clone() for name, value in network.state_dict().items()})
        return original(network, *rest, **more)

    module.finetune = watched
    try:
        found = fit(shop, recipe)
    finally:
        module.finetune = original
    for name, value in found.fitted.state_dict().items():
        changed = not torch.equal(value, captured[name])
        assert not changed or name.startswith("heads"), name


def test_a_customer_never_seen_is_answered(shop, reader) -> None:
    import polars as pl

    from intently.contract import AT as AT_COLUMN
    from intently.contract import Examples

    for task in TASKS:
        frame = pl.DataFrame({"user_id": ["nobody"]}).with_columns(
            pl.lit(AT).cast(pl.Datetime("us", "UTC")).alias(AT_COLUMN)
        )
        examples = Examples(task, frame)
        assert np.isfinite(reader.predict(examples, Past(shop, examples)).values).all()


def test_columns_are_empty_before_the_reader_was_fitted(shop, reader) -> None:
    train = parts(shop)
    reading = ReaderColumns.of(Rolling(((START + timedelta(weeks=20), reader),)), train["purchase_intent"][1])
    examples, past = train["purchase_intent"]
    values, names = reading.columns(examples.task, examples, past)
    early = (examples.at < START + timedelta(weeks=20)).to_numpy()
    assert np.isnan(values[early]).all()
    assert np.isfinite(values[~early]).all()
    assert len(names) == values.shape[1]


def plain_logits(reader, task, past) -> np.ndarray:
    """Logits of every customer for every item, one product and one sum."""
    answers, (vectors, bias) = reader.read(past), reader.item_vectors(past)
    logits = answers[task.name] @ vectors.T + bias
    cells = (answers[f"{task.name}.memory_now"], answers[f"{task.name}.memory_item"])
    np.add.at(logits, cells, answers[f"{task.name}.memory_more"])
    return logits


def test_pairs_agree_with_the_whole_softmax(shop, reader) -> None:
    task = next(task for task in TASKS if task.name == "next_item")
    examples, past = asked(shop, task)
    reading = ReaderColumns.of(Rolling(((START, reader),)), past)
    logits = plain_logits(reader, task, past)
    log_share = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    example = np.repeat(np.arange(len(past)), 5)
    item = np.tile(np.arange(0, 100, 20), len(past))
    found, names = reading.pairs(examples, past, example, item)
    assert names[0] == "reader_log_share"
    assert np.allclose(found[:, 0], log_share[example, item], atol=1e-4)
    top = reading.top(examples, past, 7)
    assert np.array_equal(top[3], np.argsort(-logits[3], kind="stable")[:7])


def test_a_reader_taken_further_knows_new_items_and_keeps_the_old(shop, reader) -> None:
    later = START + timedelta(weeks=36)
    recipe = replace(RECIPE, pretrain_epochs=0, epochs=1, learning_rate=0.0)
    same = SequenceReader(TASKS, recipe, shape=SHAPE).fit(parts(shop, later), start=reader)
    assert len(same.known) >= len(reader.known)
    examples, past = asked(shop, TASKS[0])
    assert np.allclose(same.predict(examples, past).values, reader.predict(examples, past).values, atol=0.05)
    moved = SequenceReader(TASKS, replace(recipe, learning_rate=1e-3), shape=SHAPE).fit(
        parts(shop, later), start=reader
    )
    a, b = same.fitted.state_dict(), moved.fitted.state_dict()
    assert not all(torch.equal(a[name], b[name]) for name in a)


def test_each_question_goes_to_the_newest_reader_before_it(shop, reader) -> None:
    other = fit(shop, replace(RECIPE, seed=1))
    turn = START + timedelta(weeks=20)
    rolling = Rolling(((START, reader), (turn, other)))
    for task in TASKS:
        examples = task.examples(shop, [START + timedelta(weeks=w) for w in (12, 20, 30)]).hide()
        found = rolling.predict(examples, Past(shop, examples))
        for mine, early in ((reader, True), (other, False)):
            rows = np.flatnonzero(((examples.at < turn) if early else (examples.at >= turn)).to_numpy())
            alone = mine.predict(examples.take(rows), Past(shop, examples.take(rows)))
            assert np.allclose(found.values[rows], alone.values, atol=1e-4)


def test_an_interrupted_training_goes_on_and_ends_the_same(shop, tmp_path) -> None:
    whole = fit(shop, checkpoints=tmp_path / "whole")

    class Stop(Exception):
        pass

    def interrupt(what, fraction):
        if what == "fine-tuning" and fraction > 0.6:
            raise Stop

    with pytest.raises(Stop):
        fit(shop, checkpoints=tmp_path / "cut", progress=interrupt)
    again = fit(shop, checkpoints=tmp_path / "cut")
    a, b = whole.fitted.state_dict(), again.fitted.state_dict()
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)
