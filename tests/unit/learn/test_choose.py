"""How a blend is weighed: its weight by everything, and what it is judged by without the truth of its own cut-off."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.constant import Constant
from intently.baselines.lightgbm_hurdle import LightGBMHurdle
from intently.baselines.past_spend import PastSpend
from intently.contract import Amount, Examples, Ranking, Scores
from intently.errors import TooFewExamples
from intently.evaluate.compare import compare
from intently.learn.blend import WEIGHTS, blended
from intently.learn.choose import Choice, Trial, Tried, _best_blend, _served, chosen
from intently.learn.trained import BLEND, OPPONENT, READER, STACK, TEXT_OPPONENT, TEXT_READER
from intently.log import schema
from intently.log.log import Log
from intently.tasks.next_item import TASK as NEXT_ITEM
from intently.tasks.purchase_intent import TASK as INTENT
from intently.tasks.purchasing_power import TASK as MONEY
from small_logs import day
from text_shop import TASK as LABELLED
from text_shop import shop

CUTOFFS = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(weeks=week) for week in range(3)]
EACH = 40
HURDLE, RULE = LightGBMHurdle.name, PastSpend.name


def examples(truth, task=INTENT):
    """As many customers asked at each of three cut-offs, in an order that is not that of time."""
    each = len(truth) // 3
    frame = pl.DataFrame(
        {
            schema.USER: [f"u{n}" for n in range(each)] * 3,
            "at": pl.Series(np.repeat(CUTOFFS, each).tolist(), dtype=schema.CLOCK),
            "truth": truth,
        }
    )
    return Examples(task, frame[np.random.default_rng(5).permutation(3 * each)])


def answers(asked, wrong_at):
    """Chances that go with the truth but at one cut-off, where they go against it."""
    against = (asked.at == wrong_at).to_numpy()
    chance = np.where(asked.truth.to_numpy() ^ against, 0.8, 0.2)
    return Scores(INTENT.answer, chance.astype(np.float32)[:, None])


@pytest.fixture(scope="module")
def asked():
    return examples(np.random.default_rng(0).random(3 * EACH) < 0.4)


def weighed(task, asked, predictions):
    # What is fitted is carried along and not asked.
    found = _best_blend(task, asked, predictions, dict.fromkeys((*predictions, BLEND), None))
    assert found is not None
    return found


def test_a_cut_off_is_judged_with_the_weight_that_is_best_at_the_others(asked):
    """The reader is wrong at the last cut-off, and the boosters at the first."""
    booster, reader = answers(asked, CUTOFFS[0]), answers(asked, CUTOFFS[2])
    blend, judged = weighed(INTENT, asked, {OPPONENT: booster, STACK: booster, READER: reader})
    # Where the others say that one of the two is right, that one is all but taken.
    for at, weight in ((CUTOFFS[0], WEIGHTS[0]), (CUTOFFS[2], WEIGHTS[-1])):
        rows = np.flatnonzero((asked.at == at).to_numpy())
        alone = blended([booster.take(rows)] * 2, reader.take(rows), weight)
        np.testing.assert_allclose(judged.values[rows], alone.values, atol=1e-6)
    assert WEIGHTS[0] < blend.weight < WEIGHTS[-1]


def test_the_truth_of_a_cut_off_does_not_change_how_it_is_answered(asked):
    rng = np.random.default_rng(1)
    noise = [Scores(INTENT.answer, rng.uniform(0.05, 0.95, (len(asked), 1)).astype(np.float32)) for _ in range(3)]
    predictions = dict(zip((OPPONENT, STACK, READER), noise, strict=True))
    _, judged = weighed(INTENT, asked, predictions)
    for at in CUTOFFS:
        mine = (asked.at == at).to_numpy()
        turned = pl.Series("truth", np.where(mine, ~asked.truth.to_numpy(), asked.truth.to_numpy()))
        _, other = weighed(INTENT, Examples(INTENT, asked.frame.with_columns(turned)), predictions)
        np.testing.assert_array_equal(judged.values[mine], other.values[mine])


def test_rankings_keep_the_rows_of_who_is_asked():
    rng = np.random.default_rng(2)
    asked = examples([[f"i{n}"] for n in rng.integers(6, size=3 * EACH)], NEXT_ITEM)
    items = np.array([f"i{n}" for n in range(6)])

    def ranked():
        values = -np.sort(-rng.random((len(asked), 6)).astype(np.float32), axis=1)
        return Scores(NEXT_ITEM.answer, values, ids=items[rng.permuted(np.tile(np.arange(6), (len(asked), 1)), axis=1)])

    assert isinstance(NEXT_ITEM.answer, Ranking)
    booster, reader = ranked(), ranked()
    _, judged = weighed(NEXT_ITEM, asked, {OPPONENT: booster, READER: reader})
    rows = np.arange(len(asked))
    any_weight = {weight: blended([booster], reader, weight).ids for weight in WEIGHTS}
    assert all(any((judged.ids[row] == ids[row]).all() for ids in any_weight.values()) for row in rows)


def test_with_one_cut_off_the_weight_is_judged_where_it_was_found(asked):
    one = asked.where(asked.at == CUTOFFS[0])
    booster, reader = answers(one, CUTOFFS[0]), answers(one, CUTOFFS[2])
    blend, judged = weighed(INTENT, one, {OPPONENT: booster, READER: reader})
    assert blend.weight == WEIGHTS[-1]
    np.testing.assert_allclose(judged.values, blended([booster], reader, blend.weight).values, atol=1e-6)


def test_without_a_reader_there_is_nothing_to_weigh(asked):
    booster = answers(asked, CUTOFFS[0])
    blend, judged = weighed(INTENT, asked, {OPPONENT: booster, STACK: booster})
    assert blend.weight == 0.0
    np.testing.assert_allclose(judged.values, booster.values, atol=1e-6)
    assert _best_blend(INTENT, asked, {READER: booster}, {}) is None


def test_what_a_text_says_is_blended_from_counts_and_the_text_reader():
    """Of events no two are of one time: three parts of them, by time, are judged with the weight best at the rest."""
    labels = LABELLED.answer.labels
    rng = np.random.default_rng(3)
    truth = rng.integers(len(labels), size=90)
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            schema.EVENT: [f"e{n}" for n in range(90)],
            schema.USER: ["u"] * 90,
            "at": pl.Series([begin + timedelta(hours=n) for n in range(90)], dtype=schema.CLOCK),
            "truth": [labels[place] for place in truth],
        }
    )
    asked = Examples(LABELLED, frame[rng.permutation(90)])
    number = np.array([labels.index(label) for label in asked.truth])

    def said(wrong):
        place = np.where(wrong, (number + 1) % len(labels), number)
        return Scores(LABELLED.answer, (np.eye(len(labels))[place] * 0.7 + 0.1).astype(np.float32), labels=labels)

    late = (asked.at >= begin + timedelta(hours=60)).to_numpy()
    counts, reader = said(np.ones(90, dtype=bool)), said(late)
    blend, judged = weighed(LABELLED, asked, {TEXT_OPPONENT: counts, TEXT_READER: reader})
    assert list(blend.boosters) == [TEXT_OPPONENT]
    # Both of the two largest are right about all that came late.
    assert blend.weight in WEIGHTS[-2:]
    right = judged.values.argmax(1) == number
    assert right[~late].all()
    assert not right[late].any()
    assert _best_blend(LABELLED, asked, {TEXT_READER: reader}, {}) is None


def amounts(asked, noise, seed):
    """Foreseen amounts: the truth times e to the `noise` of a draw."""
    drawn = np.random.default_rng(seed).normal(0, noise, len(asked))
    mean = asked.truth.to_numpy() * np.exp(drawn)
    return Scores(MONEY.answer, np.repeat(mean[:, None], 20, axis=1).astype(np.float32))


@pytest.mark.parametrize(("rules", "blended_with"), [(0.3, (STACK, HURDLE, RULE)), (3.0, (OPPONENT, STACK))])
def test_rules_are_blended_with_amounts_unless_they_make_them_worse_beyond_chance(rules, blended_with):
    asked = examples(np.random.default_rng(0).lognormal(3, 1, 3 * EACH), MONEY)
    noise = {OPPONENT: 0.3, STACK: 0.3, READER: 0.3, HURDLE: rules, RULE: rules}
    predictions = {name: amounts(asked, much, seed) for seed, (name, much) in enumerate(noise.items())}
    blend, judged = weighed(MONEY, asked, predictions)
    assert tuple(blend.boosters) == blended_with
    if RULE in blended_with:
        # All in equal parts: no weight is chosen.
        mean = np.mean([predictions[name].values for name in (*blended_with, READER)], axis=0)
        np.testing.assert_allclose(judged.values, mean, rtol=1e-5)
    # Past spend says nothing of an amount of visits. Without rules there is one blend; without boosters none.
    visits = replace(MONEY, answer=Amount("visits"))
    alike = {name: replace(scores, answer=visits.answer) for name, scores in predictions.items()}
    assert tuple(weighed(visits, Examples(visits, asked.frame), alike)[0].boosters) == (OPPONENT, STACK)
    assert tuple(weighed(MONEY, asked, {n: predictions[n] for n in (OPPONENT, STACK, READER)})[0].boosters) == (
        OPPONENT,
        STACK,
    )
    assert _best_blend(MONEY, asked, {n: predictions[n] for n in (HURDLE, RULE, READER)}, {}) is None


def test_what_orders_the_many_better_and_the_few_who_bring_the_money_worse_is_no_better():
    asked = examples(np.random.default_rng(0).lognormal(3, 1.5, 1200), MONEY)
    truth = asked.truth.to_numpy()
    few = truth > np.quantile(truth, 0.9)
    predictions = {name: amounts(asked, 0.3, seed) for seed, name in enumerate((OPPONENT, STACK, READER))}
    for scores in predictions.values():
        scores.values[few] = np.median(truth)
    rules = {name: amounts(asked, 4.0, 3) for name in (HURDLE, RULE)}
    for scores in rules.values():
        scores.values[few] = truth[few, None] * 10
    every = predictions | rules
    trees = blended([predictions[OPPONENT], predictions[STACK]], predictions[READER], WEIGHTS[0])
    alike = blended([predictions[STACK], *rules.values()], predictions[READER], 0.25)
    report = compare(MONEY, asked, {READER: trees, BLEND: alike}, replicates=100, rng=np.random.default_rng(0))
    assert report.beats(READER, BLEND, MONEY.name, "spearman") == "better"
    assert report.beats(READER, BLEND, MONEY.name, "norm_gini") == "worse"
    assert tuple(weighed(MONEY, asked, every)[0].boosters) == (STACK, HURDLE, RULE)
    assert report.best(MONEY.name, [READER, BLEND]) == READER
    assert _served(report, MONEY, [READER, BLEND]) == BLEND
    # One that is better by both takes the blend's place, whoever else is the best by the first.
    good = amounts(asked, 0.5, 9)
    report = compare(
        MONEY, asked, {READER: trees, BLEND: alike, STACK: good}, replicates=100, rng=np.random.default_rng(0)
    )
    assert _served(report, MONEY, [READER, STACK, BLEND]) == STACK


def test_without_a_reader_amounts_are_not_blended_with_rules():
    asked = examples(np.random.default_rng(0).lognormal(3, 1, 3 * EACH), MONEY)
    predictions = {name: amounts(asked, 0.3, seed) for seed, name in enumerate((OPPONENT, HURDLE, RULE))}
    assert _best_blend(MONEY, asked, predictions, {}) is None


@pytest.mark.parametrize(("worse_by", "served"), [(0.01, BLEND), (0.2, OPPONENT)])
def test_a_blend_is_served_unless_something_is_better_beyond_chance(asked, worse_by, served):
    rng = np.random.default_rng(3)
    chance = np.where(asked.truth.to_numpy(), 0.6, 0.4)
    booster = Scores(INTENT.answer, chance.astype(np.float32)[:, None])
    moved = np.clip(
        chance - worse_by * np.where(asked.truth.to_numpy(), 1, -1) + rng.normal(0, 0.1, len(asked)), 0.02, 0.98
    )
    blend = Scores(INTENT.answer, moved.astype(np.float32)[:, None])
    report = compare(INTENT, asked, {OPPONENT: booster, BLEND: blend}, replicates=100, rng=rng)
    assert report.best(INTENT.name, [OPPONENT, BLEND]) == OPPONENT
    assert _served(report, INTENT, [OPPONENT, BLEND]) == served


def test_where_no_candidate_could_be_fitted_the_labels_that_are_needed_are_said():
    """As with labels by hand that are all of the newest weeks."""
    log = shop(120)
    none = Log.of(log.events.filter(pl.col(schema.TYPE) != "tag"), log.items, observed_until=log.observed_until)
    given = LABELLED.examples(log, [day(77)])
    choice = Choice.of(LABELLED, [day(63), day(70), day(77)], none, given)
    assert not len(choice.fit[0])
    assert len(choice.judge[0]) == len(given) > 0
    trial = Trial("constant", Constant(), choice, choice.judge)
    before = f"{choice.judge[0].first - LABELLED.horizon:%Y-%m-%d}"
    with pytest.raises(TooFewExamples, match=f"Labels of events before {before} are needed too"):
        chosen(LABELLED, [Tried(trial, None, None)])
