"""Going on learning: on a planted case naive training forgets, and the others do not; and the report says so."""

from dataclasses import replace
from datetime import UTC, datetime
from math import nan
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from intently import metrics
from intently.contract import Examples, Past
from intently.errors import ConfigError
from intently.learn import continual
from intently.learn.augment import Augment, drop_events, typos
from intently.learn.continual import Forgetting, Update, forgetting, updated
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.learn.update import Renewal
from intently.log import schema
from intently.text.story import Teller
from small_logs import day
from text_shop import TASK, shop
from tiny_models import encoder

LABELS = TASK.answer.labels
QUESTION = replace(TASK, metrics=("accuracy",))
COLOURS, MOODS = ("red", "green", "blue"), ("good", "bad", "late")


def messages(new: bool, count: int, seed: int) -> Examples:
    """At first a colour says what is meant. Later a mood does, and the colour beside it says nothing."""
    rng = np.random.default_rng(seed)
    meant, colour = rng.integers(3, size=count), rng.integers(3, size=count)
    noun = np.array(["thing", "parcel", "it"])[rng.integers(3, size=count)]
    texts = [
        f"the {COLOURS[c]} {word} is {MOODS[m]}" if new else f"the {COLOURS[m]} {word}"
        for m, c, word in zip(meant, colour, noun, strict=True)
    ]
    frame = pl.DataFrame(
        {
            schema.EVENT: [f"{'new' if new else 'old'}-{seed}-{n}" for n in range(count)],
            schema.USER: ["u1"] * count,
            schema.TEXT: texts,
            "at": pl.Series([day(60 if new else 30)] * count, dtype=schema.CLOCK),
            "truth": [LABELS[label] for label in meant],
        }
    )
    return Examples(QUESTION, frame)


@pytest.fixture(scope="module")
def log():
    return shop(24)


@pytest.fixture(scope="module")
def old_reader(tmp_path_factory, log):
    recipe = TextRecipe(epochs=6, fewest_steps=60, learning_rate=2e-3, batch_size=16, max_tokens=16, held_out=0.0)
    model = encoder(tmp_path_factory.mktemp("continual") / "encoder")
    old = messages(False, 160, 0)
    return TextReader(model=model, method="full", recipe=recipe, teller=Teller(last=0)).fit(old, Past(log, old))


@pytest.fixture(scope="module")
def reports(old_reader, log):
    plans = {
        "naive": Update("naive"),
        "replay": Update("replay"),
        "anchor": Update("anchor", pull=1.0),
        "distil": Update("distil", keep=3.0),
    }
    found = {}
    for name, plan in plans.items():
        after = updated(old_reader, messages(True, 160, 1), messages(False, 160, 0), log, plan)
        found[name] = forgetting(old_reader, after, messages(False, 90, 2), messages(True, 90, 3), log)
    return found


def test_naive_training_forgets_what_it_no_longer_meets(reports):
    naive = reports["naive"]
    assert naive.metric == "accuracy"
    assert naive.old_before > 0.95
    assert naive.gained > 0.4
    assert naive.forgot > 0.2


def test_replay_forgets_at_most_a_third_of_that_at_equal_gain(reports):
    naive, replay = reports["naive"], reports["replay"]
    assert replay.forgot <= naive.forgot / 3
    assert replay.gained >= naive.gained - 0.05


def test_anchored_weights_forget_at_most_a_third_of_that_at_equal_gain(reports):
    assert reports["anchor"].forgot <= reports["naive"].forgot / 3
    assert reports["anchor"].gained >= reports["naive"].gained - 0.05


def test_distilled_answers_hold_an_update_back(reports):
    """Where new texts contradict the old answers to them, keeping those answers costs gain."""
    assert reports["distil"].forgot <= reports["naive"].forgot
    assert reports["distil"].gained < reports["naive"].gained + 0.05


def test_the_old_reader_is_left_as_it_was(old_reader, reports, log):
    old = messages(False, 90, 2)
    again = forgetting(old_reader, old_reader, old, old, log)
    assert again.old_before == again.old_after == reports["naive"].old_before


def test_an_update_that_forgets_too_much_is_not_promoted():
    report = Forgetting("accuracy", old_before=0.9, old_after=0.86, new_before=0.5, new_after=0.8)
    assert report.forgot == pytest.approx(0.04)
    assert report.promotes(0.05)
    assert not report.promotes(0.03)
    assert not replace(report, new_after=0.5).promotes(0.05)


def test_a_reader_that_learned_from_changed_copies_does_so_again(old_reader, log, tmp_path, monkeypatch):
    """Also from its folder: of every text, new or replayed, there is one copy, with its answer."""
    replace(old_reader, augment=Augment((typos(1.0), drop_events(0.2)))).save(tmp_path)
    found = []

    def taught(network, lessons, run):
        found.append(lessons)
        return [0.0]

    monkeypatch.setattr(continual, "finetune_text", taught)
    updated(TextReader.read_from(tmp_path, QUESTION), messages(True, 20, 1), messages(False, 20, 0), log)
    (lessons,) = found
    assert len(lessons) == 80
    assert lessons.values[:40].tolist() == lessons.values[40:].tolist()
    assert any(one.ids != copy.ids for one, copy in zip(lessons.encoded[:40], lessons.encoded[40:], strict=True))


def test_a_pruned_adapter_cannot_go_on(old_reader, log):
    with pytest.raises(ConfigError, match="pruned"):
        updated(replace(old_reader, method="adalora"), messages(True, 8, 1), messages(False, 8, 0), log)


def test_a_metric_of_which_less_is_better_is_told_as_it_is_measured():
    report = Forgetting("log_loss", -0.5, -0.6, -0.9, -0.7, values=(0.5, 0.6, 0.9, 0.7))
    assert (report.forgot, report.gained) == (pytest.approx(0.1), pytest.approx(0.2))
    told = {"old_before": 0.5, "old_after": 0.6, "new_before": 0.9, "new_after": 0.7}
    assert report.measured() == told
    begun = datetime(2024, 1, 1, tzinfo=UTC)
    renewal = Renewal("urgent", "replay", begun, begun, 9, report)
    assert "(0.5000 to 0.6000), more than 0.05" in renewal.fault(0.05)
    assert renewal.fault(0.2) is None
    assert renewal.to_json()["new_after"] == 0.7
    unknown = replace(renewal, report=replace(report, new_before=nan, values=(0.5, 0.6, nan, 0.7)))
    assert "cannot be judged" in unknown.fault(9.0)
    worse = Renewal("urgent", "replay", begun, begun, 9, replace(report, new_after=-0.9, values=(0.5, 0.6, 0.9, 0.9)))
    assert "gains nothing on new events: its log_loss was 0.9000 and is 0.9000" in worse.fault(0.2)


@pytest.mark.parametrize("metric", metrics.ALL, ids=lambda metric: f"{metric.kind}-{metric.name}")
def test_what_is_told_is_what_the_metric_says_whatever_its_direction(metric, monkeypatch):
    said = {"before": (0.95, 0.6), "after": (0.7, 0.8)}
    plain = replace(metric, function=lambda _, values: values[0], rowwise=False)
    monkeypatch.setattr(metrics, "of", lambda *_: (plain,))
    monkeypatch.setattr(continual, "judged", lambda _task, _examples, scores: (None, scores))
    monkeypatch.setattr(continual, "Past", lambda *_: None)

    def reader(name):
        return SimpleNamespace(task=QUESTION, predict=lambda examples, _: np.array([said[name][examples.number]]))

    old, new = (SimpleNamespace(number=number, hide=lambda n=number: SimpleNamespace(number=n)) for number in (0, 1))
    report = forgetting(reader("before"), reader("after"), old, new, None)
    assert report.measured() == {"old_before": 0.95, "old_after": 0.7, "new_before": 0.6, "new_after": 0.8}
    assert report.forgot == metric.goodness(0.95) - metric.goodness(0.7)
    assert report.gained == metric.goodness(0.8) - metric.goodness(0.6)
