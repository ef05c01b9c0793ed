"""Runs of characters tell labels apart in any script, against a plain count, and are saved as numbers alone."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from intently.baselines.n_grams import NGrams, _counts, _told_apart
from intently.contract import Examples, Past
from intently.errors import TooFewExamples
from intently.log import schema
from intently.tasks import BUILT_IN
from small_logs import day
from text_shop import TASK, URGENT, shop

WEEKS = [day(7 * week) for week in range(1, 11)]


def messages(texts, labels):
    frame = pl.DataFrame(
        {
            schema.EVENT: [f"e{number}" for number in range(len(texts))],
            schema.USER: ["u1"] * len(texts),
            schema.TEXT: texts,
            "at": pl.Series([day(30)] * len(texts), dtype=schema.CLOCK),
            "truth": labels,
        }
    )
    return Examples(TASK, frame)


@pytest.mark.parametrize("task", [TASK, URGENT], ids=lambda task: task.name)
def test_what_a_message_says_is_learned(task):
    log = shop()
    examples = task.examples(log, WEEKS)
    late = (examples.at >= day(50)).to_numpy()
    fitted = NGrams().fit(examples.where(~late), Past(log, examples.where(~late)))
    scores = fitted.predict(examples.where(late).hide(), Past(log, examples.where(late)))
    truth = examples.where(late).truth
    if task is URGENT:
        assert scores.values.shape == (len(truth), 1)
        assert ((scores.values[:, 0] > 0.5) == truth.to_numpy()).mean() > 0.95
    else:
        given = np.array(scores.labels)[scores.values.argmax(1)]
        assert (given == truth.to_numpy()).mean() > 0.95


def test_chinese_needs_no_words():
    texts, labels = ["退款还没到", "包裹在哪里", "快点退款", "我的包裹"] * 5, ["refund", "parcel"] * 10
    fitted = NGrams().fit(messages(texts, labels), Past(shop(), messages(texts, labels)))
    asked = messages(["请退款吧", "包裹呢", "", "🙂"], ["refund", "parcel", "other", "other"])
    values = fitted.predict(asked.hide(), Past(shop(), asked)).values
    assert values[:2].argmax(1).tolist() == [0, 1]
    assert np.isfinite(values).all()


def test_a_run_counts_the_more_the_better_it_tells_two_labels_apart():
    texts, truth = sparse.csr_matrix([[3.0, 1, 0], [1, 0, 1], [0, 2, 1], [0, 0, 1]]), np.array([1, 1, 0, 0])
    # Both texts with the first run are of the second label; of those with the second and third half, and a third, are.
    third = (1 + 0.5) / 4
    entropy = [
        5 / 6 * np.log(5 / 3) + 1 / 6 * np.log(1 / 3),
        0.0,
        third * np.log(2 * third) + (1 - third) * np.log(2 * (1 - third)),
    ]
    told = _told_apart(texts, truth, np.array([2, 2, 3]))
    np.testing.assert_allclose(told, np.sqrt(np.array(entropy) + 0.03))


def test_of_two_labels_a_run_that_tells_them_apart_weighs_more_than_its_rarity():
    texts, labels = ["good tea", "good cup", "bad tea", "bad cup"] * 30, [True, True, False, False] * 30
    examples = replace(messages(texts, labels), task=URGENT)
    fitted = NGrams().fit(examples, Past(shop(), examples))
    plain = np.log(121 / (1 + np.bincount(_counts(texts).indices)[fitted.buckets])) + 1
    more = fitted.rarity / plain
    # "g" stands in all good texts and no other, "t" in half of both.
    told, not_told = (np.flatnonzero(fitted.buckets == _counts([one]).indices[0])[0] for one in "gt")
    assert more[told] > 4 * more[not_told]


def test_of_texts_that_tell_nothing_little_is_learned():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefgh"), 12)) for _ in range(600)]
    examples = replace(messages(texts, (rng.random(600) < 0.3).tolist()), task=URGENT)
    fitted = NGrams().fit(examples, Past(shop(), examples))
    assert fitted.freedom == 1.0
    others = ["".join(rng.choice(list("abcdefgh"), 12)) for _ in range(300)]
    asked = replace(messages(others, [True] * 300), task=URGENT)
    chance = fitted.predict(asked.hide(), Past(shop(), asked)).values[:, 0]
    assert abs(chance - 0.3).mean() < 0.15


def test_runs_are_counted_as_plainly_as_can_be():
    texts = ["aba b", "", "ba", "ＢＡ  x"]
    counts = _counts(texts)
    runs = [
        [plain[i : i + n] for n in (1, 2, 3) for i in range(len(plain) - n + 1)]
        for plain in ("aba b", "", "ba", "ba x")
    ]
    assert np.asarray(counts.sum(axis=1)).ravel().tolist() == [len(mine) for mine in runs]
    assert np.diff(counts.indptr).tolist() == [len(set(mine)) for mine in runs]
    shared = len(set(runs[0]) & set(runs[2]))
    assert len(set(counts[0].indices) & set(counts[2].indices)) == shared


def test_one_label_only_is_refused():
    same = messages(["a b", "b c"], ["other", "other"])
    with pytest.raises(TooFewExamples, match="one label only"):
        NGrams().fit(same, Past(shop(), same))


def test_saved_and_read_again_it_says_the_same():
    log = shop()
    examples = TASK.examples(log, WEEKS)
    fitted = NGrams().fit(examples, Past(log, examples))
    again = NGrams.from_state(*fitted.state())
    asked, past = examples.hide(), Past(log, examples)
    np.testing.assert_array_equal(again.predict(asked, past).values, fitted.predict(asked, past).values)


def test_it_answers_labels_of_events_whose_text_is_seen_and_nothing_else():
    assert NGrams().answers(TASK)
    assert NGrams().answers(URGENT)
    assert not NGrams().answers(replace(TASK, sees=()))
    assert not any(NGrams().answers(task) for task in BUILT_IN)
