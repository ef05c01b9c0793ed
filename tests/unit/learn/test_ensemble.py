"""Several readers as one, and how sturdy they are."""

import copy
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from intently.contract import Amount, Examples, Past, Scores
from intently.errors import ConfigError
from intently.learn.calibrate import Calibration
from intently.learn.ensemble import Ensemble, averaged, folds, of_folds
from intently.learn.methods import Sizes
from intently.learn.sturdy import AS_IT_IS, sturdiness, unknown_words
from intently.learn.text_finetune import TextRecipe, trained_on
from intently.learn.text_reader import TextReader
from intently.text.story import Story, Teller
from small_logs import day
from text_shop import TASK, URGENT, shop
from tiny_models import encoder

QUESTION = replace(TASK, metrics=("accuracy",))
SPENT = replace(TASK, name="spent", answer=Amount("EUR"), metrics=("mae",))
WEEKS = [day(7 * week) for week in range(1, 8)]


@pytest.fixture(scope="module")
def log():
    return shop(160)


@pytest.fixture(scope="module")
def examples(log):
    return QUESTION.examples(log, WEEKS)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    recipe = TextRecipe(epochs=6, fewest_steps=0, learning_rate=3e-3, batch_size=16, max_tokens=24, held_out=0.0)
    model = encoder(tmp_path_factory.mktemp("ensemble") / "encoder")
    return TextReader(model=model, method="full", recipe=recipe, teller=Teller(last=2))


@pytest.fixture(scope="module")
def ensemble(reader, examples, log):
    return Ensemble(reader, members=2).fit(examples, Past(log, examples))


def test_answers_are_averaged(ensemble, log):
    asked = QUESTION.questions(log, day(63))
    each = [one.predict(asked, Past(log, asked)).values for one in ensemble.fitted]
    assert not np.allclose(*each)
    np.testing.assert_allclose(ensemble.predict(asked, Past(log, asked)).values, np.mean(each, axis=0), atol=1e-6)
    assert ensemble.answers(TASK)


def test_a_fold_is_of_whole_customers(examples):
    fold = folds(examples, 3)
    assert set(fold.tolist()) == {0, 1, 2}
    pairs = set(zip(examples.household.to_list(), fold.tolist(), strict=True))
    assert len(pairs) == examples.household.n_unique()


def fits(monkeypatch):
    """Every fit of a text reader from now on: its examples, and the reader that came of it."""
    seen, real = [], TextReader.fit

    def fit(self, examples, past):
        seen.append((examples, real(self, examples, past)))
        return seen[-1][1]

    monkeypatch.setattr(TextReader, "fit", fit)
    return seen


def test_a_member_of_folds_learns_from_all_but_the_customers_of_its_own(reader, examples, log, monkeypatch):
    seen = fits(monkeypatch)
    short = replace(reader, recipe=replace(reader.recipe, epochs=1))
    Ensemble(short, members=2, folds=True).fit(examples, Past(log, examples))
    everybody = set(examples.household)
    first, second = (set(one.household) for one, _ in seen)
    assert first | second == everybody
    assert not first & second
    assert len(seen[0][0]) + len(seen[1][0]) == len(examples)
    # Seeds learn from everything, each from its own.
    seen.clear()
    Ensemble(short, members=2).fit(examples, Past(log, examples))
    assert [set(one.household) for one, _ in seen] == [everybody] * 2
    assert [made.recipe.seed for _, made in seen] == [short.recipe.seed, short.recipe.seed + 1]


def test_the_reader_of_folds_has_the_mean_of_their_weights(reader, examples, log, monkeypatch):
    seen = fits(monkeypatch)
    short = replace(reader, recipe=replace(reader.recipe, epochs=1))
    one = of_folds(short, 2, examples, Past(log, examples))
    assert not set(seen[0][0].household) & set(seen[1][0].household)
    members = [dict(made.network.named_parameters()) for _, made in seen]
    assert any(not members[0][name].equal(members[1][name]) for name in members[0])
    for name, weight in one.network.named_parameters():
        assert weight.allclose((members[0][name] + members[1][name]) / 2, atol=1e-7)


def test_averaged_weights_are_a_reader_between_them(ensemble, log):
    asked = QUESTION.questions(log, day(63))
    soup = averaged(ensemble.fitted, QUESTION)
    a, b = (dict(one.network.named_parameters()) for one in ensemble.fitted)
    for name, weight in soup.network.named_parameters():
        assert weight.equal((a[name] + b[name]) / 2)
    assert soup.predict(asked, Past(log, asked)).values.shape == (len(asked), 3)


def test_the_mean_of_weights_measures_amounts_in_the_mean_unit(reader, log):
    examples = SPENT.examples(log, WEEKS)
    fold = folds(examples, 2)
    # The customers of one fold spend a hundred times what those of the other do.
    truth = np.where(fold == 0, 1.0, 100.0) * (1 + np.arange(len(examples)) % 7)
    examples = Examples(SPENT, examples.frame.with_columns(truth=pl.Series(truth)))
    short = replace(reader, method="frozen", recipe=replace(reader.recipe, epochs=1))
    members = [short.fit(part, Past(log, part)) for part in (examples.where(fold == number) for number in range(2))]
    heads = [one.network.head for one in members]
    soup = averaged(members, SPENT).network.head
    assert heads[1].unit > 5 * heads[0].unit
    for name in ("unit", "scale"):
        mean = (getattr(heads[0], name) + getattr(heads[1], name)) / 2
        torch.testing.assert_close(getattr(soup, name), mean)


def test_weights_in_eight_bits_stay_as_they_are_and_those_beside_them_are_averaged(reader, examples, log):
    short = replace(reader, method="qlora", recipe=replace(reader.recipe, epochs=1))
    one = of_folds(short, 2, examples, Past(log, examples))
    eight = [weight for weight in one.network.parameters() if not weight.is_floating_point()]
    assert eight
    asked = QUESTION.questions(log, day(63))
    np.testing.assert_allclose(one.predict(asked, Past(log, asked)).values.sum(1), 1, atol=1e-5)
    other = one.with_network(copy.deepcopy(one.network), [])
    with torch.no_grad():
        next(weight for weight in other.network.parameters() if not weight.is_floating_point()).add_(1)
    with pytest.raises(ConfigError, match="have no mean"):
        averaged([one, other], QUESTION)


def test_averaged_weights_do_not_answer_through_the_calibration_of_one_member(ensemble, log):
    asked = QUESTION.questions(log, day(63))
    warm = [
        replace(one, fitted=replace(one.fitted, calibration=Calibration({"temperature": temperature})))
        for one, temperature in zip(ensemble.fitted, (0.5, 3.0), strict=True)
    ]
    soup = averaged(warm, QUESTION)
    assert soup.calibration == Calibration()
    plain = soup.read(soup.encoded(asked, Past(log, asked)))
    np.testing.assert_array_equal(soup.predict(asked, Past(log, asked)).values, plain)


def test_the_reader_of_folds_is_calibrated_itself_on_what_no_member_was_trained_on(reader, examples, log, monkeypatch):
    seen, past = fits(monkeypatch), Past(log, examples)
    # As if so few were many.
    monkeypatch.setattr("intently.learn.text_finetune._ENOUGH", 30)
    monkeypatch.setattr("intently.learn.calibrate._FEWEST", 10)
    short = replace(reader, recipe=replace(reader.recipe, epochs=3, held_out=0.4))
    one = of_folds(short, 2, examples, past)
    trained = [mine.where(trained_on(mine, short.recipe)) for mine, _ in seen]
    taught = {pair for part in trained for pair in part.frame.select(part.task.key, "at").rows()}
    pairs = examples.frame.select(examples.task.key, "at").rows()
    left = np.array([place for place, pair in enumerate(pairs) if pair not in taught], dtype=int)
    assert 20 < len(left) < len(pairs) - 20
    held = examples.take(left)
    own = Scores(QUESTION.answer, one.read(one.encoded(held.hide(), past.take(left))), QUESTION.answer.labels)
    assert one.calibration == Calibration.of(QUESTION, held, own)
    members = [made.calibration for _, made in seen]
    assert members[0] != members[1]
    assert one.calibration not in members


def test_weights_of_unlike_readers_are_not_averaged(ensemble):
    other = replace(ensemble.fitted[1], sizes=Sizes(rank=2))
    with pytest.raises(ConfigError, match="can be averaged only"):
        averaged([ensemble.fitted[0], other], QUESTION)
    with pytest.raises(ConfigError, match="can be averaged only"):
        averaged(ensemble.fitted, URGENT)


def test_an_ensemble_has_to_be_fitted(reader, examples, log):
    with pytest.raises(ConfigError, match="has not been fitted"):
        Ensemble(reader).predict(examples.hide(), Past(log, examples))


def test_changes_of_the_words_move_scores_and_cost_what_they_cost(ensemble, examples, log):
    table = sturdiness(ensemble.fitted[0], examples, Past(log, examples)).rows_by_key("change", named=True, unique=True)
    assert set(table) == {AS_IT_IS, "typos", "dropped events", "swapped events", "unseen words"}
    assert table[AS_IT_IS]["value"] > 0.9
    # A fifth of the words is where the answer is said; which purchase came first is not.
    assert table["unseen words"]["loss"] > table["swapped events"]["loss"]
    assert table["unseen words"]["movement"] > table["swapped events"]["movement"] > 0
    assert table["typos"]["movement"] > 0


def test_unseen_words_are_as_many_as_asked():
    story = Story("", " ".join(["word"] * 1_000), ())
    changed = unknown_words(0.2)(story, np.random.default_rng(0)).asked.split(" ")
    assert 150 < changed.count("zqxj") < 250
