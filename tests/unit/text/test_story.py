"""A past as words: what is told, in which order, and which event each word tells of."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.contract import Examples, Past
from intently.errors import ConfigError
from intently.log import schema
from intently.log.log import Log
from intently.tasks.purchase_intent import TASK as INTENT
from intently.text.story import Teller, about, age_words, amount_words, said, within
from intently.text.wording import EN, WORDINGS, ZH
from small_logs import START, Event, day, log_of
from text_shop import TASK, shop


def log() -> Log:
    rows = [
        ("ann", None, "search", 1.0, None, None, "rain  jacket\n", None),
        ("ann", 1, "view", 1.01, None, None, None, None),
        ("ann", 1, "view", 1.02, None, None, None, None),
        ("ann", 1, "buy", 8.0, 2.0, 79.5, None, None),
        ("ann", 2, "buy", 8.0, 1.0, 3.0, None, None),
        ("bo", 2, "gift", 9.0, None, None, None, None),
        ("ann", 1, "review", 9.5, None, None, "fits well", "r1"),
    ]
    names = (schema.USER, schema.ITEM, schema.TYPE, "day", schema.QUANTITY, schema.AMOUNT, schema.TEXT, schema.EVENT)
    events = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    events = events.with_columns(
        pl.Series(schema.TIME, [day(row[3]) for row in rows]), pl.lit(None, dtype=pl.String).alias(schema.ABOUT)
    ).drop("day")
    items = pl.DataFrame({schema.ITEM: [1, 2], schema.TITLE: ["Trail shoe", "Tea"], schema.CATEGORY: ["Shoes", None]})
    return Log.of(events, items, observed_from=START, observed_until=day(30))


def told(language="en", last=48, at=10.0, who=("ann", "bo", "cy")):
    asked = Examples(INTENT, pl.DataFrame({"user_id": list(who), "at": [day(at)] * len(who)}))
    return Teller(language, last).tell(asked, Past(log(), asked))


def test_a_past_is_told_newest_first_and_alike_events_once():
    ann, bo, cy = told()
    assert ann.past == (
        '12 hours ago: reviewed trail shoe; shoes "fits well". '
        "2 days ago: bought tea for 3; bought 2 x trail shoe; shoes for 79.5. "
        '1 week ago: viewed trail shoe; shoes 2 times; searched "rain jacket"'
    )
    assert bo.past == "1 day ago: gift tea"
    assert cy.past == "no events yet"
    assert ann.asked == ""


def test_a_past_is_told_in_chinese():
    ann, _, cy = told("zh")
    assert ann.past.startswith("12小时前:评价trail shoe; shoes “fits well”。2天前:买了tea,3元;买了2件trail shoe")
    assert cy.past == ZH.nothing


def test_the_same_past_gives_the_same_words_and_only_the_newest_are_told():
    assert told() == told()
    short = told(last=2)[0]
    assert short.past.startswith("12 hours ago: reviewed")
    assert "searched" not in short.past
    assert told(last=0)[0].past == ""


def test_rates_come_first_and_say_what_the_newest_events_do_not():
    asked = Examples(INTENT, pl.DataFrame({"user_id": ["ann", "bo", "cy"], "at": [day(45.0)] * 3}))
    ann, bo, cy = Teller(last=1, rates=True).tell(asked, Past(log(), asked))
    # Ann was first seen 44 days ago: 1.45 months.
    assert ann.past == (
        "bought something: 1.5 for 50 a month, last 1 month ago; reviewed something: 0.7 a month, last 1 month ago; "
        "searched something: 0.7 a month, last 1 month ago; viewed something: 1.5 a month, last 1 month ago. "
        '1 month ago: reviewed trail shoe; shoes "fits well"'
    )
    assert [piece.rows for piece in ann.pieces] == [(), (), (), (), (0,)]
    assert ann.past[ann.pieces[-1].start : ann.pieces[-1].stop].startswith("1 month ago: reviewed")
    assert ann.past[ann.pieces[2].start : ann.pieces[2].stop] == "searched something: 0.7 a month, last 1 month ago"
    assert bo.past.startswith("gift something: 1 a month, last 1 month ago. ")
    assert cy.past == "no events yet"
    alone = Examples(INTENT, pl.DataFrame({"user_id": ["ann", "cy"], "at": [day(10.0)] * 2}))
    ann, cy = Teller("zh", last=0, rates=True).tell(alone, Past(log(), alone))
    # Who is known for less than a month did in a month what was done so far.
    assert ann.past.startswith("买了某物每月2次,70元,近一月2次,70元,最近2天前;评价某物每月1次,近一月1次,最近12小时前;")
    assert cy.past == ""


@given(
    months=st.integers(2, 12),
    more=st.integers(1, 20),
    times=st.sampled_from((1, 2, 5, 10)),
    amount=st.sampled_from((0.5, 1.0, 2.0, 10.0)),
)
def test_who_goes_on_as_ever_is_told_of_alike_however_old_the_log_is(months, more, times, amount):
    def past(length):
        gap = 30.4375 / times
        first = Event("ann", None, "view", day(0), None, 0.0)
        buys = [Event("ann", None, "buy", day(gap * (n + 1)), None, amount) for n in range(length * times)]
        asked = Examples(TASK, pl.DataFrame({"user_id": ["ann"], "at": [day(30.4375 * length + 0.1)]}))
        story = Teller(last=0, rates=True).tell(asked, Past(log_of([first, *buys]), asked))[0]
        return story.past.partition("; viewed")[0]

    assert past(months) == past(months + more)
    assert past(months).startswith(f"bought something: {times} for ")


def test_numbers_of_rates_are_few_words():
    numbers = (0, 0.013, 0.3, 0.5, 0.96, 1, 1.2, 1.3, 3, 4, 8, 8.5, 14, 18, 1387)
    assert [amount_words(about(n)) for n in numbers] == (
        ["0", "0.01", "0.3", "0.5", "1", "1", "1", "1.5", "3", "4", "7", "10", "15", "20", "1500"]
    )


@given(st.floats(0.001, 1e30))
def test_a_number_is_told_within_a_quarter(number):
    assert 0.8 <= about(number) / number <= 1.25
    assert about(about(number)) == pytest.approx(about(number))
    assert about(-number) == -about(number)


@pytest.mark.parametrize("number", [0.0, -0.0, 5e-324, 0.0009, -0.0009])
def test_next_to_nothing_is_told_as_nothing(number):
    assert about(number) == 0


def test_money_that_came_back_is_told_in_round_numbers_and_none_goes_without_saying():
    rows = [Event("ann", None, "return", day(n), None, amount) for n, amount in ((1, -7.3), (2, -14.9))]
    rows += [Event("ann", None, "buy", day(n), None, amount) for n, amount in ((1, 0.1), (2, 0.2), (3, -0.3))]
    rows += [Event("ann", None, "view", day(1), None, 0.0)]
    asked = Examples(TASK, pl.DataFrame({"user_id": ["ann"], "at": [day(20)]}))
    assert Teller(last=0, rates=True).tell(asked, Past(log_of(rows), asked))[0].past == (
        "bought something: 3 a month, lately 3, last 2 weeks ago; "
        "returned something: 2 for -20 a month, lately 2 for -20, last 2 weeks ago; "
        "viewed something: 1 a month, lately 1, last 2 weeks ago"
    )


def test_each_piece_says_which_events_it_tells_of():
    ann = told()[0]
    # Rows are numbered oldest first: a search, two views, two buys, a review.
    assert [piece.rows for piece in ann.pieces] == [(5,), (4,), (3,), (1, 2), (0,)]
    words = [ann.past[piece.start : piece.stop] for piece in ann.pieces]
    assert words[3] == "1 week ago: viewed trail shoe; shoes 2 times"
    assert ann.piece_of(np.array([0, ann.pieces[1].start, ann.pieces[1].stop, len(ann.past)])).tolist() == [
        0,
        1,
        -1,
        -1,
    ]


def test_every_row_is_told_exactly_once():
    story = told()[0]
    assert sorted(row for piece in story.pieces for row in piece.rows) == list(range(6))


def test_the_asked_event_is_told_by_its_visible_columns_alone():
    logged = shop()
    examples = TASK.questions(logged, day(40))
    stories = Teller(last=4).tell(examples, Past(logged, examples))
    texts = examples.frame[schema.TEXT].to_list()
    assert [story.asked for story in stories] == texts
    blind = Examples(replace(TASK, sees=()), examples.frame)
    assert {story.asked for story in Teller(last=4).tell(blind, Past(logged, blind))} == {""}
    # What an agent says of a message is known later, and is not in the words.
    assert not any("tag" in story.asked for story in stories)


def test_an_item_and_a_number_of_an_asked_event_are_words():
    seen = replace(TASK, sees=(schema.ITEM, schema.TEXT, "stars"))
    frame = pl.DataFrame(
        {
            "event_id": ["a", "b"],
            "user_id": ["ann", "ann"],
            schema.ITEM: [1, None],
            schema.TEXT: [" so\tgood ", None],
            "stars": [4.0, None],
            "at": [day(10)] * 2,
        }
    )
    examples = Examples(seen, frame)
    stories = Teller(last=0).tell(examples, Past(log(), examples))
    assert [story.asked for story in stories] == ["trail shoe; shoes; so good; stars 4", "(empty)"]


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (0.01, "just now"),
        (1 / 24, "1 hour ago"),
        (0.999, "23 hours ago"),
        (1.0, "1 day ago"),
        (6.9, "6 days ago"),
        (7.0, "1 week ago"),
        (31.0, "1 month ago"),
        (800.0, "2 years ago"),
    ],
)
def test_ages_are_said_in_the_largest_whole_unit(age, words):
    assert age_words(float(np.float32(age)), EN) == words


def test_numbers_are_said_as_one_writes_them():
    assert [amount_words(value) for value in (79.0, 79.5, 0.126, 1200.0)] == ["79", "79.5", "0.13", "1200"]


def test_a_text_of_any_length_is_cut_and_put_on_one_line():
    assert len(said("a " * 100_000)) <= 4_000
    assert said(" a\n\n b\t") == "a b"


def test_both_languages_have_a_word_for_every_usual_event():
    for wording in WORDINGS.values():
        assert set(schema.TYPES) <= set(wording.event)
        assert all("{what}" in phrase for phrase in wording.event.values())


def test_a_language_without_words_is_one_sentence():
    with pytest.raises(ConfigError, match="no wording for 'fr'"):
        told("fr")


def characters(text):
    return [(place, place + 1) for place in range(len(text))]


@pytest.mark.parametrize("budget", [1, 10, 60, 100, 150, 1_000])
def test_a_budget_keeps_the_newest_whole_pieces(budget):
    story = told()[0]
    cut = within(story, {"past": characters(story.past), "asked": []}, budget)
    assert len(cut.past) <= budget
    assert story.past.startswith(cut.past)
    if budget >= 60:
        assert all(piece in story.pieces for piece in cut.pieces)
    assert cut.pieces
    assert cut.pieces[-1].stop == len(cut.past)


def test_what_is_asked_about_has_three_quarters_of_a_budget():
    story = replace(told()[0], asked="w" * 300)
    cut = within(story, {"past": characters(story.past), "asked": characters(story.asked)}, 200)
    assert len(cut.asked) == 150
    assert 0 < len(cut.past) <= 50
    alone = within(replace(story, past="", pieces=()), {"past": [], "asked": characters(story.asked)}, 200)
    assert len(alone.asked) == 200


def test_a_packed_past_without_texts_tells_no_texts(monkeypatch):
    asked = Examples(INTENT, pl.DataFrame({"user_id": ["ann"], "at": [day(10)]}))
    whole = log()
    bare = Log.of(whole.events.drop(schema.TEXT), whole.items, observed_from=START, observed_until=day(30))
    assert Past(bare, asked).texts().to_list() == [None] * 6
    assert Past(whole, asked).texts().to_list() == ["rain  jacket\n", None, None, None, None, "fits well"]
    assert Past(whole, asked).texts(1).to_list() == ["fits well"]
    assert '"' not in Teller().tell(asked, Past(bare, asked))[0].past


def test_a_late_event_is_told_once_it_is_known_and_at_its_own_time():
    events = log().events.with_columns(
        pl.when(pl.col(schema.TYPE) == "search")
        .then(pl.lit(day(9.9)).cast(schema.CLOCK))
        .otherwise(schema.TIME)
        .alias(schema.ARRIVED)
    )
    late = Log.of(events, log().items, observed_from=START, observed_until=day(30))
    asked = Examples(INTENT, pl.DataFrame({"user_id": ["ann"], "at": [day(9.8)]}))
    assert "searched" not in Teller().tell(asked, Past(late, asked))[0].past
    later = Examples(INTENT, pl.DataFrame({"user_id": ["ann"], "at": [day(10)]}))
    assert Teller().tell(later, Past(late, later))[0].past.endswith('2 times; searched "rain jacket"')
