"""What a data team does with questions about events, by the real command: search, train by [text], update, label."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from intently.cli.app import app
from intently.contract import Examples, Past
from intently.errors import IntentlyError
from intently.learn.choose import Trial
from intently.learn.text_reader import TextReader
from intently.log import schema
from intently.log.forget import forget
from intently.log.log import Log
from intently.ship.bundle import load
from small_logs import START, day
from text_shop import SAID, shop
from tiny_models import encoder

TABLE = """
[[tasks]]
name = "wants"
asks = { event = "support", span = "7d" }
sees = ["text"]
horizon = "2d"
answer = { one_of = ["refund", "parcel", "other"] }
truth = "first(tag) filter (where event_type = 'tag')"
metrics = ["accuracy", "log_loss"]
wording.en = "What does this message want?"
"""
UNTIL = f"{START + timedelta(days=70):%Y-%m-%d}"
LATER = f"{START + timedelta(days=140):%Y-%m-%d}"


def two_seasons() -> Log:
    """A shop of 160 days. From the seventieth day on customers write otherwise; one message in four has no tag."""
    early, late = shop(240, 0), shop(240, 1)
    new = {"refund": "not good", "parcel": "just blue", "other": "bad green"}
    meant = {text: label for label, texts in SAID.items() for text in texts}
    later = late.events.with_columns(
        pl.col(schema.TIME) + pl.duration(days=71),
        pl.col(schema.TEXT).replace(meant).replace(new),
        *(pl.concat_str(pl.lit("late-"), name).alias(name) for name in (schema.EVENT, schema.ABOUT)),
    )
    events = pl.concat([early.events, later.select(early.events.columns)])
    events = events.with_columns(pl.concat_str(pl.lit("u"), pl.int_range(pl.len()) // 3 % 60).alias(schema.USER))
    tagged = pl.col(schema.TYPE) != "tag"
    events = events.filter(tagged | (pl.col(schema.EVENT).hash(0) % 4 != 0))
    return Log.of(events, early.items, observed_from=START, observed_until=day(160))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    two_seasons().write(folder / "shop")
    (folder / "intently.toml").write_text(TABLE)
    encoder(folder / "model")
    return folder


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def told(*words):
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output + str(result.exception)
    return json.loads(result.stdout[result.stdout.index("{") :])


def refused(says, *words):
    """The command stops with one sentence; by the real command's rules that is the whole of what is printed."""
    result = run(*words)
    assert result.exit_code != 0
    assert isinstance(result.exception, IntentlyError), repr(result.exception)
    assert says in str(result.exception)


def trained(work, out, *more, until=UNTIL):
    words = ("--data", work / "shop", "--until", until, "--tasks", "wants", "--model", work / "model", "--threads", 1)
    config = () if "--config" in more else ("--config", work / "intently.toml")
    steps = () if any("fewest_steps" in str(word) for word in more) else ("--text", "fewest_steps=40")
    return told("train", *words, *config, *steps, "--out", out, *more)


def settings(bundle):
    return json.loads((bundle / "predictors" / "wants" / "text_reader" / "text_reader.json").read_text())


@pytest.fixture(scope="module")
def bundle(work):
    trained(work, work / "bundle", "--method", "full", "--text", "rate=4", "--text", "fewest_steps=100")
    return work / "bundle"


# --- search ---


@pytest.fixture(scope="module")
def searched(work):
    words = ("--data", work / "shop", "--task", "wants", "--until", UNTIL, "--model", work / "model", "--threads", 1)
    config = ("--config", work / "intently.toml")
    return (
        "search",
        *words,
        *config,
        "--text",
        "fewest_steps=20",
        "--text",
        "focus=.5",
        "--methods",
        "full,last_layers",
        "--study",
        work / "wants.study",
    )


@pytest.fixture(scope="module")
def first(searched):
    return told(*searched, "--trials", 2)


def test_a_search_goes_on_from_its_study_and_train_reads_what_it_found(work, searched, first):
    assert first["metric"] == "accuracy"
    assert len(first["trials"]) == 2
    again = told(*searched, "--trials", 3)
    assert again["trials"][:2] == first["trials"]
    assert again["score"] == max(one["value"] for one in again["trials"])
    printed = run(*searched, "--trials", 3).stdout
    config = work / "best.toml"
    config.write_text(TABLE + printed[printed.index("[train]") :])
    trained(work, work / "best", "--config", config)
    found = settings(work / "best")
    assert found["method"] == again["train"]["method"]
    assert found["recipe"]["epochs"] == again["text"]["epochs"]
    assert found["recipe"]["rate"] == again["text"]["rate"]
    assert found["objective"]["smoothing"] == again["text"]["smoothing"]
    # What was said to the search is part of what it found.
    assert "fewest_steps = 20\n" in printed
    assert found["objective"]["focus"] == again["text"]["focus"] == 0.5


def test_a_search_does_not_tell_train_what_changes_nothing(work, searched):
    place = searched.index("focus=.5")
    found = told(*searched[: place - 1], *searched[place + 1 : -2], "--methods", "frozen", "--trials", 1)
    assert set(found["trials"][0]) >= {"rate", "epochs", "rank", "smoothing"}
    assert found["text"] == {"fewest_steps": 20}
    assert set(told(*searched[:-2], "--methods", "full", "--trials", 1)["text"]) == {
        "fewest_steps",
        "focus",
        "rate",
        "epochs",
        "smoothing",
    }


def test_a_search_refuses_what_it_cannot_do(work, searched, first):
    refused("no method 'ful'", *searched, "--methods", "ful")
    refused("begun with other data, settings or methods", *searched, "--methods", "full", "--trials", 4)
    refused("is not asked about events", *searched[:3], "--task", "demand", "--until", UNTIL)
    (work / "broken.study").write_text("years of work\n")
    refused("holds no study", *searched[:-1], work / "broken.study")
    assert (work / "broken.study").read_text() == "years of work\n"
    refused("The search itself looks for epochs, rank", *searched, "--text", "rank=4", "--text", "epochs=2")
    refused("not members or self_taught", *searched, "--text", "members=2")
    refused("does nothing by itself", *searched, "--text", "sure=.5")
    refused("No trial was finished", *searched[:-2], "--minutes", 0)


# --- [text] ---


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (("few_labels=contrast", "name_labels=true", "typos=.05"), {"contrast", "name_labels"}),
        (("smoothing=.1", "focus=2", "agreement=.5", "attack=.3", "attack_steps=2", "epochs=2"), {"objective"}),
        (("members=2", "average=weights", "folds=true"), {"members"}),
        (("self_taught=1", "sure=.4"), {"self_taught"}),
    ],
)
def test_what_text_says_is_what_is_trained(work, tmp_path, monkeypatch, said, found):
    taught, fit = list[Examples](), TextReader.fit

    def watched(self, examples, past):
        taught.append(examples)
        return fit(self, examples, past)

    monkeypatch.setattr(TextReader, "fit", watched)
    words = [part for one in said for part in ("--text", one)]
    trained(work, tmp_path / "b", "--method", "full", *words)
    contract = json.loads((tmp_path / "b" / "contract.json").read_text())
    assert set(contract["config"]["text"]) == {"fewest_steps", *(one.split("=")[0] for one in said)}
    assert contract["tasks"]["wants"]["predictors"]["text_reader"] == "TextReader"
    mine = settings(tmp_path / "b")
    assert bool(mine["contrast"]) == ("contrast" in found)
    assert mine["name_labels"] == ("name_labels" in found)
    # Once for the choice and once on everything, or so often for each fold, or round of teaching itself.
    assert len(taught) == (4 if found & {"members", "self_taught"} else 2)
    told_of = set(Log.read(work / "shop").events[schema.ABOUT].drop_nulls())
    guessed = [len(set(one.asked) - told_of) for one in taught]
    assert [count > 0 for count in guessed] == ([False, True] * 2 if "self_taught" in found else [False] * len(taught))
    if "members" in found:
        assert not set(taught[2].household) & set(taught[3].household)
    if "objective" in found:
        assert mine["objective"] == {
            "smoothing": 0.1,
            "focus": 2.0,
            "agreement": 0.5,
            "attack": {"size": 0.3, "steps": 2, "stride": 0.4},
        }


def test_an_ensemble_is_kept_whole_and_answers_from_its_bundle(work, tmp_path):
    config = tmp_path / "intently.toml"
    config.write_text(TABLE + "[text]\nmembers = 2\nepochs = 2\n")
    trained(work, tmp_path / "b", "--config", config)
    contract = json.loads((tmp_path / "b" / "contract.json").read_text())
    kinds = contract["tasks"]["wants"]["predictors"]
    assert (kinds["text_reader"], kinds["blend"]) == ("Ensemble", "Blend")
    out = tmp_path / "a.parquet"
    told("predict", tmp_path / "b", "--data", work / "shop", "--at", UNTIL, "--task", "wants", "--out", out)
    found = pl.read_parquet(out)
    assert len(found) > 5
    # Every member answers: two seeds do not say the same.
    members = [(tmp_path / "b" / "predictors" / "wants" / "text_reader" / str(n)) for n in range(2)]
    weights = [(member / "weights.safetensors").read_bytes() for member in members]
    assert weights[0] != weights[1]
    model = load(tmp_path / "b", ())
    log = Log.read(work / "shop").before(START + timedelta(days=70))
    asked, mean = model.predict("wants", log, START + timedelta(days=70), "text_reader")
    past = Past(log, asked)
    each = [TextReader.read_from(member, asked.task).predict(asked, past).values for member in members]
    np.testing.assert_allclose(mean.values, (each[0] + each[1]) / 2, atol=1e-6)


def test_text_refuses_what_does_not_go_together(work, tmp_path):
    words = ("train", "--data", work / "shop", "--until", UNTIL, "--out", tmp_path / "b", "--tasks")
    words, config = (*words, "wants"), ("--config", work / "intently.toml")
    for said, says in (
        (("membrs=2",), "did you mean 'members'?"),
        (("members=0",), "--text members"),
        (("members=2", "self_taught=1"), "do not go together"),
        (("folds=true",), "of several members"),
        (("attack_steps=3",), "attack_steps does nothing by itself"),
        (("sure=.5",), "sure does nothing by itself"),
        (("prompt=Of {word}",), "prompt does nothing by itself"),
        (("few_labels=prompt", 'words={refnd = "money"}'), "has no label 'refnd'"),
        (("few_labels=prompt", "prompt=It is so."), "has no {word}"),
        (("few_labels=magic",), "few_labels"),
        (("drop_events=.2",), "drop_events changes the past"),
        (("rank=4",), "rank is of low-rank matrices"),
    ):
        refused(says, *words, *config, *[part for one in said for part in ("--text", one)])
    refused("leaves it as it is", *words, *config, "--method", "frozen", "--text", "few_labels=contrast")
    refused("focus is for training", *words, *config, "--method", "frozen", "--text", "focus=2")
    refused("is for labels", *words[:-1], "ad_spend", "--text", "focus=2", "--config", _amount(tmp_path))
    none = "there is none among demand"
    refused(none, *words[:-1], "demand", "--method", "lora")
    refused(none, *words[:-1], "demand", "--text", "focus=2")
    config = tmp_path / "wrong.toml"
    config.write_text("[text]\nfocus = 2.0\n")
    refused("[text] says how questions about events", *words[:-2], "--config", config)
    config.write_text(TABLE + "[text]\nmember = 2\n")
    refused("line 12, text.member: there is no such key; did you mean 'members'?", *words, "--config", config)


def test_what_the_model_or_the_log_cannot_do_is_refused_before_anything_is_trained(work, tmp_path, monkeypatch):
    def never(_):
        raise AssertionError("Something is trained.")

    monkeypatch.setattr(Trial, "run", never)
    words = ("train", "--until", UNTIL, "--out", tmp_path / "b", "--tasks", "wants", "--model", work / "model")
    words += ("--threads", 1, "--config", work / "intently.toml", "--data")
    refused("saved without the layers by which it guesses words", *words, work / "shop", "--text", "few_labels=prompt")
    # Who wrote in the last days has no answer yet.
    log = shop(240)
    told = log.events.filter((pl.col(schema.TYPE) == "tag") | ~pl.col(schema.TIME).is_between(day(68), day(70)))
    Log.of(told, log.items, observed_from=START, observed_until=day(90)).write(tmp_path / "told")
    refused("nothing for a reader to teach itself from", *words, tmp_path / "told", "--text", "self_taught=1")
    refused("nothing for", *words, tmp_path / "told", "--text", "self_taught=1", "--fallback")


def _amount(folder):
    file = folder / "amount.toml"
    file.write_text(
        '[[tasks]]\nname = "ad_spend"\nasks = { event = "support" }\nhorizon = "2d"\nanswer = { amount = "EUR" }\n'
        'truth = "sum(amount)"\nwording.en = "How much?"\n'
    )
    return file


# --- labels ---


def test_labels_filled_in_are_learned_from(work, bundle, tmp_path):
    rows = tmp_path / "rows.csv"
    words = ("--data", work / "shop", "--task", "wants", "--at", UNTIL, "--days", 60, "--count", 30)
    told("suggest-labels", bundle, *words, "--out", rows)
    table = pl.read_csv(rows)
    told_of = Log.read(work / "shop").events.filter(pl.col("tag").is_not_null())[schema.ABOUT]
    assert not set(table["event_id"]) & set(told_of)
    early = table.filter(pl.col("at") < f"{START + timedelta(days=21):%Y-%m-%d}")
    assert 0 < len(early) < len(table)
    # The log wins over a label of the table, and says so.
    known = table.head(1).with_columns(event_id=pl.lit(told_of[0]))
    pl.concat([table, known]).with_columns(label=pl.lit("other")).write_csv(rows)
    found = trained(work, tmp_path / "b", "--labels", rows)["labels"]["wants"]
    assert found["overruled"] == 1
    assert found["out_of_range"] >= len(early)
    assert found["used"] == len(table) - found["out_of_range"] > 5
    table.with_columns(label=pl.lit("refnd")).write_csv(rows)
    train = ("train", "--data", work / "shop", "--until", UNTIL, "--out", tmp_path / "c", "--labels")
    config = ("--config", work / "intently.toml", "--tasks", "wants")
    refused("'refnd' is not one of refund, parcel, other", *train, rows, *config)
    refused("There is no file", *train, tmp_path / "none.csv", *config)
    refused("--labels is for one question", *train, rows, "--tasks", "demand")


def test_labels_by_hand_are_kept_and_an_update_learns_from_them_and_from_more(work, tmp_path):
    log = Log.read(work / "shop").before(START + timedelta(days=140))
    told_of = log.events[schema.ABOUT].drop_nulls()
    mute = log.events.filter(pl.col(schema.TYPE) == "support", ~pl.col(schema.EVENT).is_in(told_of.implode()))
    early = pl.col(schema.TIME) < START + timedelta(days=70)
    files = {"early": mute.filter(early), "late": mute.filter(~early)}
    for name, rows in files.items():
        rows.select(schema.EVENT, label=pl.lit("other")).write_csv(tmp_path / f"{name}.csv")
    found = trained(work, tmp_path / "b", "--text", "fewest_steps=60", "--labels", tmp_path / "early.csv")
    kept = pl.read_parquet(tmp_path / "b" / "labels" / "wants.parquet")
    assert kept.columns == ["event_id", "truth"]
    assert set(kept["event_id"]) == set(files["early"][schema.EVENT])
    assert json.loads((tmp_path / "b" / "contract.json").read_text())["labels"] == {"wants": len(kept)}
    # What a person has labelled is not suggested again.
    suggest = ("suggest-labels", tmp_path / "b", "--data", work / "shop", "--task", "wants", "--days", 60)
    refused("There is a label for every one", *suggest, "--at", UNTIL, "--out", tmp_path / "rows.csv")
    # A customer has been forgotten since.
    forget(log, "u7").write(tmp_path / "shop")
    gone = mute.filter(pl.col(schema.USER) == "u7")[schema.EVENT]
    assert len(set(gone) & set(kept["event_id"])) > 0
    words = ("update", tmp_path / "b", "--data", tmp_path / "shop", "--until", LATER, "--threads", 1)
    late = tmp_path / "late.csv"
    files["late"].filter(pl.col(schema.USER) != "u7").select(schema.EVENT, label=pl.lit("other")).write_csv(late)
    (one,) = told(*words, "--most-forgotten", 1, "--labels", late, "--out", tmp_path / "new")["updated"]
    assert one["labels"]["used"] > found["labels"]["wants"]["used"]
    again = pl.read_parquet(tmp_path / "new" / "labels" / "wants.parquet")
    assert set(again["event_id"]) == set(mute[schema.EVENT]) - set(gone)
    late.write_text(late.read_text().replace("other", "othr"))
    refused("'othr' is not one of", *words, "--labels", late, "--out", tmp_path / "x")


# --- steps ---


def test_every_step_of_later_sessions_is_answered(work, tmp_path):
    words = ("steps", "--data", work / "shop", "--until", UNTIL, "--model", work / "model", "--threads", 1)
    found = told(*words, "--epochs", 1, "--out", tmp_path / "s.parquet")
    # What is said is done, though a few sessions would be read more often without it.
    assert found["epochs"] == 1
    frame = pl.read_parquet(tmp_path / "s.parquet")
    assert len(frame) == found["steps"] == found["report"][-1]["number"] >= found["sessions"] > 5
    chances = frame.select(pl.sum_horizontal(pl.col("^chance_.*$")))
    assert chances.to_series().is_between(0.999, 1.001).all()
    assert set(frame["then"]) <= {name.removeprefix("chance_") for name in frame.columns}
    assert 0 <= found["markov_macro_f1"] <= 1
    refused("is not a Parquet file", *words, "--out", tmp_path / "s.csv")
    refused("0 in the 28 days", *words[:4], "2030-01-01", "--out", tmp_path / "s.parquet")
    refused("no wording for 'fr'", *words, "--language", "fr", "--out", tmp_path / "s.parquet")


# --- update ---


def test_an_update_learns_the_new_months_and_keeps_what_it_knew(work, bundle):
    words = ("update", bundle, "--data", work / "shop", "--until", LATER, "--threads", 1)
    found = told(*words, "--out", work / "new")
    (one,) = found["updated"]
    assert (one["task"], one["way"], one["metric"]) == ("wants", "replay", "accuracy")
    assert one["gained"] > 0.2
    assert one["forgot"] <= 0.02
    contract = json.loads((work / "new" / "contract.json").read_text())
    assert contract["until"].startswith(LATER)
    kinds = contract["tasks"]["wants"]["predictors"]
    assert kinds == json.loads((bundle / "contract.json").read_text())["tasks"]["wants"]["predictors"]
    assert {"text_reader", "n_grams", "blend"} < set(kinds)
    assert contract["updates"][0]["new_after"] == one["new_after"]
    assert contract["config"]["train"]["tasks"] == ["wants"]
    assert "Taken further" in (work / "new" / "README.md").read_text()
    told(
        "predict", work / "new", "--data", work / "shop", "--at", LATER, "--task", "wants", "--out", work / "n.parquet"
    )
    # Taken further again, it remembers both; too soon, there is nothing new.
    refused("is not later", "update", work / "new", *words[2:], "--out", work / "newer")
    printed = run(*words, "--out", work / "newest").stdout
    assert "wants: learned from" in printed


def test_an_update_that_forgets_is_refused_and_nothing_is_written(work, bundle):
    words = ("update", bundle, "--data", work / "shop", "--until", LATER, "--threads", 1)
    refused("wants forgets", *words, "--way", "naive", "--most-forgotten", 0.01, "--out", work / "forgets")
    assert not (work / "forgets").exists()


def test_an_update_refuses_what_it_cannot_do(work, bundle, tmp_path):
    words = ("update", bundle, "--data", work / "shop", "--until", LATER)
    refused("There is no way 'reply'", *words, "--way", "reply", "--out", tmp_path / "x")
    refused("is the bundle itself", *words, "--out", bundle)
    refused("no task 'demand'", *words, "--tasks", "demand", "--out", tmp_path / "x")
    soon = f"{START + timedelta(days=72):%Y-%m-%d}"
    refused("too few to learn", *words[:-1], soon, "--out", tmp_path / "x")
    refused("is not a bundle", "update", tmp_path, *words[2:], "--out", tmp_path / "x")
