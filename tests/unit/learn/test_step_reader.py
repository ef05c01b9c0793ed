"""What comes next at every step: labels stand where they should, nothing looks ahead, and words beat a Markov chain."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from intently.errors import ConfigError, TooFewExamples
from intently.learn.step_reader import StepReader, _batch, classification, markov
from intently.learn.text_finetune import TextRecipe
from intently.log import schema
from intently.log.log import Log
from intently.text.steps import NONE, sessions
from small_logs import START, day
from tiny_models import decoder, encoder

RECIPE = TextRecipe(epochs=6, fewest_steps=0, learning_rate=5e-3, batch_size=16, max_tokens=48)


def hasty(visits: int = 1_500, seed: int = 0) -> Log:
    """Half of the visits are one look; in the others a thing is put in the cart and always bought.

    So how long a session is says what comes at its end.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for visit in range(visits):
        for minute, kind in enumerate(("view",) if rng.random() < 0.5 else ("view", "cart", "buy")):
            when = day(1 + visit * 0.05 + minute / 1440)
            rows.append((f"u{visit % 40}", int(rng.integers(3)), kind, when, f"s{visit}"))
    names = (schema.USER, schema.ITEM, schema.TYPE, schema.TIME, schema.SESSION)
    items = pl.DataFrame({schema.ITEM: [0, 1, 2], schema.TITLE: ["red thing", "blue thing", "old thing"]})
    events = pl.DataFrame(rows, schema=list(names), orient="row")
    return Log.of(events, items, observed_from=START, observed_until=day(100))


def shop(visits: int = 400, seed: int = 0) -> Log:
    """Who looks at a red thing buys it, who looks at a blue one looks on, and who looks at an old one leaves.

    By the types of events alone, a look may be followed by anything.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for visit in range(visits):
        begin, minute = 1 + visit * 0.2, 0.0
        while minute < 10:
            item = int(rng.integers(3))
            rows.append((f"u{visit % 40}", item, "view", day(begin + minute / 1440), f"s{visit}"))
            minute += 1
            if item == 0:
                rows.append((f"u{visit % 40}", item, "buy", day(begin + minute / 1440), f"s{visit}"))
                break
            if item == 2:
                break
    names = (schema.USER, schema.ITEM, schema.TYPE, schema.TIME, schema.SESSION)
    items = pl.DataFrame({schema.ITEM: [0, 1, 2], schema.TITLE: ["red thing", "blue thing", "old thing"]})
    events = pl.DataFrame(rows, schema=list(names), orient="row")
    return Log.of(events, items, observed_from=START, observed_until=day(100))


@pytest.fixture(scope="module")
def log():
    return shop()


@pytest.fixture(scope="module", params=["decoder", "encoder"])
def model(request, tmp_path_factory):
    made = {"decoder": decoder, "encoder": encoder}[request.param]
    return made(tmp_path_factory.mktemp("steps") / request.param)


@pytest.fixture(scope="module")
def reader(model, log):
    return StepReader(model=model, recipe=RECIPE).fit(log, day(0), day(60))


def test_a_session_is_told_step_by_step(log):
    (first, *_) = sessions(log, day(0), day(100))
    assert first.then[-1] == NONE
    assert first.then[:-1] == first.kind[1:]
    assert log.events[schema.TYPE][first.row[0]] == first.kind[0]
    assert first.before == "so far: no events yet. "
    longest = max(sessions(log, day(0), day(100)), key=lambda session: len(session.words))
    assert longest.text == longest.before + "".join(longest.words)
    assert [words.removeprefix("; ").split()[0] for words in longest.words] == [
        {"view": "viewed", "buy": "bought"}[kind] for kind in longest.kind
    ]


def test_what_a_customer_did_before_is_told_in_tenths_and_nothing_later(log):
    visits = [one for one in sessions(log, day(0), day(100)) if log.events[schema.USER][one.row[0]] == "u3"]
    done = {"view": 0, "buy": 0}
    for visit in visits:
        told = visit.text.split(". ")[0]
        if done["view"]:
            most = max(done.values())
            counts = "; ".join(f"{round(10 * n / most)} {kind}" for kind, n in sorted(done.items()) if n)
            assert told == f"so far: {counts}"
        for kind in visit.kind:
            done[kind] += 1
    # Sessions of later are told of what came before them, though that is before the span that is asked for.
    late = sessions(log, day(50), day(100))
    assert all("no events yet" not in one.text for one in late)


def test_sessions_end_by_their_id_by_a_long_gap_and_before_the_end():
    bare = shop(60).events.drop(schema.SESSION)
    log = Log.of(bare, shop(60).items, observed_from=START, observed_until=day(100))
    kinds = [one.kind for one in sessions(shop(60), day(0), day(100))]
    assert [one.kind for one in sessions(log, day(0), day(100))] == kinds
    # A visit that may still be going on is no session yet.
    assert len(sessions(log, day(0), day(1.0001))) == 0
    late = bare.with_columns(pl.lit(day(99)).cast(schema.CLOCK).alias(schema.ARRIVED))
    assert sessions(Log.of(late, observed_from=START, observed_until=day(100)), day(0), day(100)) == []


def test_two_sessions_of_one_customer_at_a_time_are_two():
    """As in two windows of a browser; what came before each is counted by the clock."""
    said = (("a", "view"), ("b", "view"), ("a", "cart"), ("b", "view"), (None, "view"), ("a", "buy"))
    rows = [("u", 0, kind, day(1 + minute / 1440), name) for minute, (name, kind) in enumerate(said)]
    names = [schema.USER, schema.ITEM, schema.TYPE, schema.TIME, schema.SESSION]
    log = Log.of(pl.DataFrame(rows, schema=names, orient="row"), observed_from=START, observed_until=day(9))
    found = sessions(log, day(0), day(9))
    assert [one.kind for one in found] == [("view", "cart", "buy"), ("view", "view"), ("view",)]
    assert "no events yet" in found[0].text
    assert "10 view" in found[1].text
    assert [one.row for one in found] == [(0, 2, 5), (1, 3), (4,)]


def test_words_say_what_types_do_not(reader, log):
    found = reader.predict(log, day(60), day(80))
    earlier, later = sessions(log, day(0), day(60)), sessions(log, day(60), day(80))
    chain = markov(earlier, later, reader.labels)
    assert found.then == chain.then
    assert found.row.tolist() == chain.row.tolist()
    assert len(found.then) > 100
    ours, theirs = (steps.report().row(-1, named=True)["f1"] for steps in (found, chain))
    assert ours > 0.95
    assert theirs < 0.75


def test_the_length_of_a_session_does_not_order_what_is_learned(tmp_path):
    log = hasty()
    once = TextRecipe(epochs=1, fewest_steps=0, learning_rate=5e-3, batch_size=16, max_tokens=48)
    found = StepReader(model=decoder(tmp_path / "model"), recipe=once).fit(log, day(0), day(60))
    chances = found.predict(log, day(60), day(80))
    looked = np.array([kind == "view" for kind in chances.kind])
    assert chances.chances[looked][:, chances.labels.index(NONE)].mean() == pytest.approx(0.5, abs=0.12)


def test_what_comes_later_changes_no_answer(reader, log):
    whole = reader.predict(log, day(60), day(80))
    moved = log.events.with_columns(
        pl.when(pl.col(schema.TIME) > pl.col(schema.TIME).min().over(schema.SESSION))
        .then(pl.lit(2))
        .otherwise(schema.ITEM)
        .alias(schema.ITEM)
    )
    other = reader.predict(replace(log, events=moved), day(60), day(80))
    first = np.flatnonzero(np.array([row in {s.row[0] for s in sessions(log, day(60), day(80))} for row in whole.row]))
    assert len(first) > 50
    np.testing.assert_allclose(whole.chances[first], other.chances[first], atol=1e-5)
    assert not np.allclose(whole.chances, other.chances, atol=1e-3)


def test_every_step_of_a_long_session_is_answered_after_what_was_before_the_session(reader, log):
    short = replace(reader, recipe=replace(RECIPE, max_tokens=24))
    longest = max(sessions(log, day(60), day(80)), key=lambda session: len(session.words))
    rows = list(short._rows(longest))
    assert len(rows) > 1
    assert all(len(row["input_ids"]) == len(row["step"]) <= 24 for row in rows)
    assert [label for row in rows for label in row["labels"]] == [reader.labels.index(then) for then in longest.then]
    before = rows[0]["step"].count(-1)
    assert before
    assert all(row["input_ids"][:before] == rows[0]["input_ids"][:before] for row in rows)
    assert short.predict(log, day(60), day(80)).then == reader.predict(log, day(60), day(80)).then


def test_padding_is_never_counted(reader):
    rows = [
        {"input_ids": [1, 2, 3, 4], "step": [-1, 0, 0, 1], "labels": [1, 0]},
        {"input_ids": [1, 2], "step": [-1, 0], "labels": [1]},
    ]
    batch = _batch(rows, pad=0)
    assert batch["labels"].tolist() == [[1, 0], [1, -100]]
    assert batch["step"].tolist() == [[-1, 0, 0, 1], [-1, 0, -1, -1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    from intently.learn.step_reader import _loss

    both = _loss(reader.network, batch).item()
    alone = [_loss(reader.network, _batch([row], pad=0)).item() for row in rows]
    # Three labels in all: two of the first row, one of the second.
    assert both == pytest.approx((2 * alone[0] + alone[1]) / 3, rel=1e-4)


def test_a_report_is_of_each_label_and_their_mean():
    table = classification(["a", "a", "b", "c"], ["a", "b", "b", "b"]).rows_by_key("label", named=True, unique=True)
    assert table["a"]["f1"] == pytest.approx(2 / 3)
    assert table["b"] == {"precision": pytest.approx(1 / 3), "recall": 1.0, "f1": 0.5, "number": 1}
    assert table["c"]["f1"] == 0
    assert table["mean"]["f1"] == pytest.approx((2 / 3 + 0.5) / 3)
    assert table["mean"]["number"] == 4


def test_nothing_that_follows_is_one_sentence(model):
    events = shop(50).events.unique(schema.SESSION, keep="first", maintain_order=True)
    log = Log.of(events, observed_from=START, observed_until=day(100))
    with pytest.raises(TooFewExamples, match="nothing follows"):
        StepReader(model=model).fit(log, day(0), day(60))
    with pytest.raises(ConfigError, match="not been fitted"):
        StepReader(model=model).predict(log, day(0), day(60))
