import json
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.contract import Amount, Everyone, Examples, OneOf, Ranking, Scores, Shares, Task, YesNo
from intently.errors import ConfigError, TooFewExamples
from intently.evaluate.compare import Report, compare, encode, sentence
from intently.metrics.ranking import Relevant

AT = datetime(2024, 1, 1, tzinfo=UTC)


def examples_of(answer, truth, metrics=(), name="probe", users=None):
    task = Task(name, Everyone("user_id"), answer, timedelta(days=7), pl.lit(1), None, {"en": "?"}, metrics=metrics)
    users = users or [f"u{i}" for i in range(len(truth))]
    return Examples(task, pl.DataFrame({"user_id": users, "at": [AT] * len(truth), "truth": truth}))


def yes_no(n=400, metrics=("auroc", "brier"), name="intent"):
    rng = np.random.default_rng(1)
    truth = rng.random(n) < 0.4
    examples = examples_of(YesNo(), truth.tolist(), metrics, name)

    def scores(signal):
        p = np.clip(signal * truth + (1 - signal) * np.random.default_rng(2).random(n), 0, 1)
        return Scores(YesNo(), p.astype(np.float32)[:, None])

    return examples, {"weak": scores(0.1), "strong": scores(0.5), "twin": scores(0.5)}


@pytest.fixture(scope="module")
def report():
    examples, predictions = yes_no()
    mask = np.arange(400) < 50
    return compare(
        examples.task,
        examples,
        predictions,
        {"few": mask, "nobody": np.zeros(400, dtype=bool)},
        replicates=200,
        rng=np.random.default_rng(0),
    )


def test_encode_one_of_puts_columns_in_the_order_of_the_task():
    answer = OneOf(("view", "buy"))
    examples = examples_of(answer, ["buy", "view"])
    truth, values = encode(
        examples.task, examples, Scores(answer, np.array([[0.9, 0.1], [0.3, 0.7]]), labels=("buy", "view"))
    )
    assert truth.tolist() == [1, 0]
    assert values.tolist() == [[0.1, 0.9], [0.7, 0.3]]


def test_encode_ranking_codes_ids_and_drops_padding():
    answer = Ranking("item_id")
    examples = examples_of(answer, [["tea"], ["milk", "rice"]])
    scores = Scores(answer, np.array([[1.0, -np.inf], [2.0, 1.0]]), ids=np.array([["tea", "milk"], ["soap", "rice"]]))
    truth, values = encode(examples.task, examples, scores, catalogue=9)
    assert isinstance(truth, Relevant)
    assert truth.catalogue == 9
    assert values[0].tolist() == [truth.codes[0], -1]
    assert values[1, 1] in truth.codes[1:]
    assert values[1, 0] not in truth.codes


def test_encode_ranking_codes_the_truth_alike_for_every_predictor():
    answer = Ranking("item_id")
    examples = examples_of(answer, [[5], [2, 9]])
    one, _ = encode(examples.task, examples, Scores(answer, np.ones((2, 1)), ids=np.array([[1], [3]])))
    two, _ = encode(examples.task, examples, Scores(answer, np.ones((2, 1)), ids=np.array([[9], [8]], dtype=np.int32)))
    assert one.codes.tolist() == two.codes.tolist()


def test_encode_shares_and_amount():
    answer = Shares("category")
    examples = examples_of(answer, [[{"label": "a", "weight": 1}, {"label": "z", "weight": 3}]])
    truth, _ = encode(examples.task, examples, Scores(answer, np.ones((1, 2)) / 2, labels=("a", "other")))
    assert truth.tolist() == [[0.25, 0.75]]
    examples = examples_of(Amount("money"), [1, 2])
    truth, values = encode(examples.task, examples, Scores(Amount("money"), np.ones((2, 20))))
    assert truth.dtype == np.float64
    assert values.shape == (2, 20)


def test_scores_of_other_examples_are_refused():
    examples, predictions = yes_no()
    with pytest.raises(ConfigError, match="399 scores for 400"):
        encode(examples.task, examples, predictions["weak"].take(np.arange(399)))


def test_different_labels_are_brought_to_one_set():
    answer = Shares("category")
    examples = examples_of(answer, [[{"label": "a", "weight": 1}]], ("jensen_shannon",))
    predictions = {
        "x": Scores(answer, np.ones((1, 2)) / 2, labels=("a", "other")),
        "y": Scores(answer, np.ones((1, 2)) / 2, labels=("b", "other")),
    }
    report = compare(examples.task, examples, predictions, replicates=50, rng=np.random.default_rng(0))
    # The truth is all "a": x gave it a half, y knew no "a" and gave it nothing.
    assert report.best(examples.task.name) == "x"
    assert np.isclose(report.score("y", examples.task.name).value, np.log(2))


def test_frame_has_every_predictor_metric_and_slice(report):
    assert len(report.frame) == 3 * 2 * 3
    assert report.frame.filter(slice="few")["n"].unique().to_list() == [50]
    assert report.frame.filter(slice="nobody")["value"].null_count() == 6
    whole = report.frame.filter(slice="all")
    assert (whole["low"] <= whole["value"]).all()
    assert (whole["value"] <= whole["high"]).all()


def test_beats(report):
    assert report.beats("strong", "weak") == "better"
    assert report.beats("weak", "strong", metric="brier") == "worse"
    assert report.beats("strong", "twin") == "undecided"
    there, back = report.difference("strong", "weak", "intent"), report.difference("weak", "strong", "intent")
    assert there.value == -back.value > 0
    assert there.low == -back.high
    assert report.predictors("intent")[-1] == "weak"
    assert report.best("intent", among=("weak",)) == "weak"


def test_what_is_not_there_is_said(report):
    with pytest.raises(ConfigError, match="nobody and weak"):
        report.beats("nobody", "weak")
    with pytest.raises(ConfigError, match="None of"):
        report.best("intent", among=("nobody",))


def test_households_at_several_cutoffs_count_once():
    examples, predictions = yes_no()
    task = examples.task
    again = examples_of(YesNo(), examples.truth.to_list() * 2, task.metrics, users=examples.asked.to_list() * 2)
    double = {name: scores.take(np.tile(np.arange(400), 2)) for name, scores in predictions.items()}
    report = compare(task, again, double, replicates=100, rng=np.random.default_rng(0))
    once = compare(task, examples, predictions, replicates=100, rng=np.random.default_rng(0))
    assert report.frame["households"].unique().to_list() == [400]
    assert report.score("weak", "intent").low == pytest.approx(once.score("weak", "intent").low, abs=1e-6)


def test_json_and_back(report):
    again = Report.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False)))
    assert again.frame.equals(report.frame)
    assert again.differences.equals(report.differences)
    assert again.primary == report.primary


def test_join(report):
    examples, predictions = yes_no(name="other", metrics=("log_loss",))
    other = compare(examples.task, examples, predictions, replicates=50, rng=np.random.default_rng(0))
    both = report.join(other)
    assert both.tasks == ["intent", "other"]
    assert both.beats("strong", "weak", "other") == "better"
    assert both.predictors("other")[-1] == "weak"
    with pytest.raises(ConfigError, match="several tasks"):
        both.beats("strong", "weak")


def test_sentence_says_wins_losses_and_doubt(report):
    won = sentence(report, "intent", served="strong", before="weak", baseline="weak", opponent="twin")
    assert "fine-tuning made it better than weak" in won
    assert "it beats the best baseline, weak" in won
    assert "does not beat, beyond chance, the trees without the reader, twin" in won
    lost = sentence(report, "intent", served="weak", before=None, baseline="strong")
    assert "it LOSES to the best baseline, strong" in lost
    assert "fine-tuning" not in lost
    itself = sentence(report, "intent", served="weak", before="strong", baseline="weak")
    assert "itself the best baseline" in itself
    assert "WORSE" in itself


def test_nothing_to_judge_is_said():
    examples, predictions = yes_no()
    with pytest.raises(TooFewExamples):
        compare(examples.task, examples, {}, rng=np.random.default_rng(0))
    with pytest.raises(TooFewExamples):
        compare(examples.task, examples.take(np.arange(0)), predictions, rng=np.random.default_rng(0))


def test_a_little_better_is_undecided():
    examples, predictions = yes_no()
    p = predictions["weak"].values
    luck = np.clip(p + np.random.default_rng(3).normal(0, 0.1, p.shape), 0, 1)
    report = compare(
        examples.task,
        examples,
        {"weak": Scores(YesNo(), luck), "plain": predictions["weak"]},
        rng=np.random.default_rng(0),
    )
    found = report.difference("weak", "plain", "intent")
    assert found.low < 0 < found.high
    assert found.value != 0
    assert report.beats("weak", "plain") == report.beats("plain", "weak") == "undecided"


def test_a_slice_is_judged_as_if_it_stood_alone():
    examples, predictions = yes_no()
    household = [f"u{i % 100}" for i in range(400)]
    shared = examples_of(YesNo(), examples.truth.to_list(), ("brier",), users=household)
    mask = np.arange(400) % 100 < 30
    whole = compare(shared.task, shared, predictions, {"some": mask}, replicates=2000, rng=np.random.default_rng(0))
    part = {name: scores.take(np.flatnonzero(mask)) for name, scores in predictions.items()}
    alone = compare(shared.task, shared.where(mask), part, replicates=2000, rng=np.random.default_rng(1))
    one, two = whole.score("weak", "probe", within="some"), alone.score("weak", "probe")
    assert whole.frame.filter(slice="some")["households"].unique().to_list() == [30]
    assert one.value == pytest.approx(two.value)
    assert one.high - one.low == pytest.approx(two.high - two.low, rel=0.1)
