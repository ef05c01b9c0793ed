"""Active learning and pseudo-labels: on planted cases they do what they are for."""

from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from intently.contract import Examples, OneOf, Past, Scores, pooled
from intently.errors import ConfigError, DataError
from intently.learn.active import choose, labelled_by, margin, read_labels, suggested, truths, unlabelled, write_table
from intently.learn.calibrate import Calibration
from intently.learn.pseudo_label import Pseudo, confident, self_taught
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.log import schema
from intently.log.log import Log
from intently.tasks.purchasing_power import TASK as POWER
from intently.text.story import Teller
from small_logs import START, day
from text_shop import SAID, TASK, URGENT, shop
from tiny_models import encoder

WEEKS = [day(7 * week) for week in range(1, 8)]


def test_a_margin_is_small_where_two_labels_are_alike():
    assert margin(np.array([[0.5, 0.4, 0.1], [0.9, 0.1, 0.0]])) == pytest.approx([0.1, 0.8])
    assert margin(np.array([[0.5], [0.1]])) == pytest.approx([0.0, 0.8])


def test_the_least_sure_are_taken_and_not_twice_the_same():
    rng = np.random.default_rng(0)
    # Three groups of ten; the first is sure, the other two are not, and each lies together.
    centre = np.repeat(np.eye(3), 10, axis=0)
    states = centre + rng.normal(0, 0.01, (30, 3))
    chances = np.column_stack([np.where(np.arange(30) < 10, 0.95, 0.5), np.where(np.arange(30) < 10, 0.05, 0.5)])
    rows = choose(chances, states, 4, unsure=5)
    assert (rows >= 10).all()
    assert len(set(rows.tolist())) == 4
    assert {row // 10 for row in rows[:2].tolist()} == {1, 2}
    # Where one of the groups has a label already, the other comes first.
    assert choose(chances, states, 1, known=centre[10:11], unsure=20 / 1)[0] // 10 == 2
    assert len(choose(chances, states, 100)) == 30


def test_labels_that_are_asked_for_teach_more_than_as_many_by_lot():
    """Most texts lie far from the border; asking for the least sure finds it."""
    ways = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        states = np.concatenate([rng.normal((-3, 0), 1, (300, 2)), rng.normal((3, 0), 1, (300, 2))])
        states = np.concatenate([states, rng.uniform((-1, -4), (1, 4), (100, 2))])
        label = (states[:, 0] + 0.3 * states[:, 1] > 0.2).astype(int)
        by_lot = rng.permutation(len(states))
        by_lot = np.concatenate([*(np.flatnonzero(label == one)[:1] for one in (0, 1)), by_lot])
        asked = by_lot[:8]
        for _ in range(4):
            left = np.setdiff1d(np.arange(len(states)), asked)
            chances = LogisticRegression(C=100).fit(states[asked], label[asked]).predict_proba(states[left])
            asked = np.concatenate([asked, left[choose(chances, states[left], 4, known=states[asked])]])
        near = np.arange(600, 700)
        ways.append(
            [
                LogisticRegression(C=100).fit(states[rows], label[rows]).score(states[near], label[near])
                for rows in (asked, by_lot[: len(asked)])
            ]
        )
    active, lot = np.mean(ways, axis=0)
    assert active > lot + 0.05


def test_only_what_is_sure_is_taken_and_no_label_crowds_out_the_rest():
    kinds = ([0.99, 0.01, 0], [0.02, 0.98, 0], [0, 0.3, 0.7], [0, 0.09, 0.91])
    chances = np.repeat(np.array(kinds, dtype=float), [20, 4, 5, 4], axis=0)
    chances[3, :2] = 0.999, 0.001
    rows, label = confident(chances, Pseudo(least=0.9, most=1.5))
    assert np.bincount(label, minlength=3).tolist() == [6, 4, 4]
    assert 3 in rows
    assert not set(range(24, 29)) & set(rows.tolist())
    assert len(confident(chances, Pseudo(least=1.0))[0]) == 0
    assert np.bincount(confident(chances, Pseudo(least=0.9, most=100))[1]).tolist() == [20, 4, 4]


@pytest.fixture(scope="module")
def log():
    return shop(300)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    recipe = TextRecipe(epochs=6, fewest_steps=30, learning_rate=3e-3, batch_size=8, max_tokens=24, held_out=0.0)
    model = encoder(tmp_path_factory.mktemp("few") / "encoder")
    return TextReader(model=model, method="full", recipe=recipe, teller=Teller(last=0))


def told(texts, labels=None):
    """Examples with these texts, and their truths where they are known."""
    columns = {
        schema.EVENT: [f"{text}-{number}" for number, text in enumerate(texts)],
        schema.USER: ["u1"] * len(texts),
        schema.TEXT: texts,
        "at": pl.Series([day(60)] * len(texts), dtype=schema.CLOCK),
    }
    return Examples(TASK, pl.DataFrame(columns if labels is None else columns | {"truth": labels}))


def test_pseudo_labels_teach_what_a_handful_of_labels_do_not(reader, log):
    """A word is labelled; another stands beside it where nothing is labelled, and alone in what is judged."""
    words = {"refund": ("red", "day"), "parcel": ("blue", "week"), "other": ("old", "month")}
    nouns = ("thing", "kind", "it", "parcel")
    known = [(f"{noun} {one}", label) for label, (one, _) in words.items() for noun in nouns]
    later = [(f"{noun} {other}", label) for label, (_, other) in words.items() for noun in nouns]
    rest = told([f"{one} {noun} {other}" for one, other in words.values() for noun in nouns] * 4)
    labelled, judge = (told(*map(list, zip(*rows, strict=True))) for rows in (known, later))

    def right(made):
        values = made.predict(judge.hide(), Past(log, judge.hide())).values
        return (np.array(tuple(SAID))[values.argmax(1)] == judge.truth.to_numpy()).mean()

    taught, sure = self_taught(reader, labelled, rest, log, Pseudo(rounds=2, least=0.6, most=3.0))
    assert all(0 < count <= len(rest) for count in sure)
    assert right(taught) > right(reader.fit(labelled, Past(log, labelled))) + 0.3


@dataclass(frozen=True)
class Sure:
    """A reader that answers what it was told to, and remembers what it was taught."""

    chances: np.ndarray
    taught: list = field(default_factory=list)
    fitted: object = None
    recipe: TextRecipe = field(default_factory=TextRecipe)

    def fit(self, examples, past):
        self.taught.append(examples)
        return self

    def predict(self, examples, past):
        assert "truth" not in examples.frame.columns
        return Scores(TASK.answer, self.chances, TASK.answer.labels)


def test_what_is_sure_is_taught_beside_the_labels_and_in_their_balance(log):
    kinds = ([0.99, 0.01, 0], [0.02, 0.98, 0], [0, 0.3, 0.7], [0, 0.09, 0.91])
    chances = np.repeat(np.array(kinds), [20, 4, 5, 4], axis=0)
    chances[3, :2] = 0.999, 0.001
    labelled, rest = told(["red"] * 3, ["other"] * 3), told([f"it {number}" for number in range(33)])
    reader = Sure(chances)
    _, sure = self_taught(reader, labelled, rest, log, Pseudo(rounds=1, least=0.9, most=1.5))
    first, second = reader.taught
    assert first is labelled
    assert second.frame[:3].equals(labelled.frame)
    guessed = second.frame[3:]
    assert sure == [14] == [len(guessed)]
    # Of twenty sure refunds six are taken, as many as the balance allows; what is not sure is not.
    assert guessed["truth"].value_counts().sort("truth").rows() == [("other", 4), ("parcel", 4), ("refund", 6)]
    number = {event: place for place, event in enumerate(rest.asked)}
    assert all(
        TASK.answer.labels[chances[number[event]].argmax()] == said
        for event, said in guessed.select("event_id", "truth").rows()
    )
    assert rest.asked[3] in set(guessed["event_id"])
    assert not set(rest.asked[24:29]) & set(guessed["event_id"])


def test_where_nothing_is_sure_the_labels_alone_have_taught(log):
    labelled, rest = told(["red"] * 3, ["other"] * 3), told(["it"] * 5)
    reader = Sure(np.full((5, 3), 1 / 3))
    assert self_taught(reader, labelled, rest, log)[1] == [0]
    assert reader.taught == [labelled]


@pytest.mark.parametrize("enough", [40, 61])
def test_its_own_guesses_do_not_calibrate_it(reader, log, monkeypatch, enough):
    """Every other label is wrong: guesses are right by construction, and say that it may be as sure as it likes."""
    monkeypatch.setattr("intently.learn.text_finetune._ENOUGH", enough)
    monkeypatch.setattr("intently.learn.calibrate._FEWEST", 10)
    words, real, seen = ("red", "blue", "old"), TextReader.fit, []
    texts = [f"{words[number % 3]} thing" for number in range(60)]
    labelled = told(texts, [tuple(SAID)[(number + number // 3 % 2) % 3] for number in range(60)])

    def fit(self, examples, past):
        seen.append(examples)
        return real(self, examples, past)

    monkeypatch.setattr(TextReader, "fit", fit)
    mine = replace(reader, recipe=replace(reader.recipe, epochs=1, held_out=0.25))
    rest = told([f"{words[number % 3]} kind" for number in range(60)])
    fitted, sure = self_taught(mine, labelled, rest, log, Pseudo(rounds=1, least=0.0, most=9.0))
    assert sure == [60]
    assert fitted.recipe == mine.recipe
    if enough > len(labelled):
        assert fitted.calibration == Calibration()
        assert len(seen[-1]) == 120
        return
    held = labelled.take(np.arange(45, 60))
    assert not set(held.asked) & set(seen[-1].asked)
    assert len(seen[-1]) == 45 + 60
    values = fitted.read(fitted.encoded(held.hide(), Past(log, held.hide())))
    assert fitted.calibration == Calibration.of(TASK, held, Scores(TASK.answer, values, TASK.answer.labels))


@pytest.mark.parametrize("label", ["parcel", "refund"])
def test_a_reader_answers_as_a_person_has_labelled(reader, label):
    """Nobody in the log says what "good day" is: what was said of it by hand is what is learned of it."""
    whole = shop(300)
    greeting = pl.col(schema.TEXT) == "good day"
    mute = whole.events.filter(greeting)[schema.EVENT]
    log = replace(whole, events=whole.events.filter(~pl.col(schema.ABOUT).is_in(mute.implode()).fill_null(False)))
    asked = pooled([TASK.questions(log, at) for at in WEEKS])
    given = asked.where(greeting)
    given = Examples(TASK, given.frame.with_columns(truth=pl.lit(label)))
    learned = truths(TASK, log, WEEKS, given)
    assert set(given.asked) < set(learned.asked)
    values = reader.fit(learned, Past(log, learned)).predict(given.hide(), Past(log, given.hide())).values
    assert (values.argmax(axis=1) == TASK.answer.labels.index(label)).mean() > 0.9


def test_what_is_labelled_is_not_guessed(log):
    every = TASK.examples(log, WEEKS)
    labelled = Examples(TASK, every.frame.group_by("truth", maintain_order=True).head(3))
    rest = unlabelled(every, labelled)
    assert len(rest) + len(labelled) == len(every)
    assert "truth" not in rest.frame.columns


def test_an_amount_cannot_be_guessed(reader, log):
    examples = POWER.examples(log, [day(30)])
    with pytest.raises(ConfigError, match="no labels to guess"):
        self_taught(reader, examples, examples, log)


def test_what_is_suggested_is_filled_in_and_read_back(reader, log, tmp_path):
    examples = TASK.examples(log, WEEKS)
    fitted = reader.fit(examples, Past(log, examples))
    asked = TASK.questions(log, day(70))
    table = suggested(fitted, asked, Past(log, asked), 5)
    assert table.columns == ["event_id", "user_id", "item_id", "at", "text", "guess", "chance", "label"]
    assert set(table["guess"]) <= set(SAID)
    filled = table.with_columns(pl.Series("label", ["refund", " parcel ", "", "other", None]))
    filled.write_csv(tmp_path / "rows.csv")
    found = read_labels(tmp_path / "rows.csv", asked)
    assert sorted(found.truth.to_list()) == ["other", "parcel", "refund"]
    assert set(found.asked) == {table["event_id"][row] for row in (0, 1, 3)}
    both = Examples(TASK, pl.concat([examples.frame, found.frame.select(examples.frame.columns)]))
    assert isinstance(TASK.answer, OneOf)
    assert len(both) == len(examples) + 3


def test_a_label_that_is_none_and_an_id_that_was_not_asked_are_named_with_their_rows(log, tmp_path):
    asked = TASK.questions(log, day(70))
    wrong = pl.DataFrame({"event_id": [asked.asked[0], "m-none"], "label": ["refnd", "refund"]})
    wrong.write_csv(tmp_path / "rows.csv")
    with pytest.raises(DataError) as raised:
        read_labels(tmp_path / "rows.csv", asked)
    assert "row 2: 'refnd' is not one of" in raised.value.problem
    assert "row 3: 'm-none' was not asked about" in raised.value.problem
    pl.DataFrame({"event_id": ["a"]}).write_csv(tmp_path / "bare.csv")
    with pytest.raises(DataError, match="no column 'label'"):
        read_labels(tmp_path / "bare.csv", asked)


def test_a_table_that_no_program_can_read_is_refused_with_what_to_do(log, tmp_path):
    asked, file = TASK.questions(log, day(70)), tmp_path / "rows.csv"
    for content, says in (
        ("event_id,text,label\nm1,退款,refund\n".encode("gbk"), "is not in UTF-8"),
        (b"", "is empty"),
        (b"event_id,label\nm1,refund,,\n", "is no table of commas"),
        (b'event_id,label\n"m1,refund\n', "is no table of commas"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=says) as raised:
            read_labels(file, asked)
        assert "CSV UTF-8" in raised.value.mend


def test_one_event_with_two_labels_is_named_and_a_column_of_ones_own_is_no_fault(log, tmp_path):
    asked, file = TASK.questions(log, day(70)), tmp_path / "rows.csv"
    one, two = asked.asked[:2]
    table = pl.DataFrame({"row": [1, 2, 3], "event_id": [one, two, one], "label": ["refund", "other", "parcel"]})
    write_table(table, file)
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    with pytest.raises(DataError, match=f"rows 2, 4: '{one}' is labelled refund and parcel"):
        read_labels(file, asked)
    write_table(table.with_columns(label=pl.lit("other")), file)
    assert set(read_labels(file, asked).asked) == {one, two}


def test_yes_and_no_are_read_back_as_such(log, tmp_path):
    asked = URGENT.questions(log, day(70))
    pl.DataFrame({"event_id": asked.asked[:2], "label": ["yes", "no"]}).write_csv(tmp_path / "rows.csv")
    assert read_labels(tmp_path / "rows.csv", asked).truth.to_list() == [True, False]


def test_what_the_log_says_wins_over_a_label_by_hand_and_only_later_ones_are_left_out(tmp_path):
    log = shop(90)
    weeks = [day(7 * week) for week in range(1, 11)]
    half = log.events.filter(
        (pl.col(schema.TYPE) != "tag") | (pl.col(schema.EVENT).str.slice(1).cast(pl.Int64) % 2 == 0)
    )
    untold = Log.of(half, log.items, observed_from=START, observed_until=day(90))
    said, whole = TASK.examples(untold, weeks), TASK.examples(log, weeks)
    assert 0 < len(said) < len(whole)
    file = tmp_path / "rows.csv"
    pl.DataFrame({schema.EVENT: whole.asked, "label": "other"}).write_csv(file)
    given = labelled_by(file, TASK, untold)
    found = truths(TASK, untold, weeks, given)
    both = dict(zip(found.asked, found.truth, strict=True))
    assert set(both) == set(whole.asked)
    own = dict(zip(said.asked, said.truth, strict=True))
    assert all(both[event] == own.get(event, "other") for event in both)
    assert found.at.is_sorted()
    early = truths(TASK, untold, weeks[:4], given)
    assert set(early.asked) == set(TASK.examples(log, weeks[:4]).asked)
    assert truths(TASK, untold, weeks, None).frame.equals(said.frame)
