from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.contract import (
    QUANTILES,
    Amount,
    EachEvent,
    Everyone,
    Examples,
    OneOf,
    Past,
    Ranking,
    Scores,
    ShareLabels,
    Shares,
    Task,
    YesNo,
    duration,
    pooled,
    share_matrix,
    weekly,
)
from intently.errors import ConfigError, TooFewExamples
from intently.log.log import Log
from small_logs import STEP, Event, day, log_of

MICROSECOND = timedelta(microseconds=1)
SPENT = pl.col("amount").filter(pl.col("event_type") == "buy").sum()


def task(**fields) -> Task:
    base = {
        "name": "spend",
        "asks": Everyone("user_id"),
        "answer": Amount("money"),
        "horizon": timedelta(days=7),
        "truth": SPENT,
        "absent": 0.0,
        "wording": {"en": "How much?", "zh": "多少?"},
    }
    return Task(**{**base, **fields})


def truths(examples: Examples) -> dict:
    return dict(zip(examples.asked.to_list(), examples.truth.to_list(), strict=True))


# --- asking everyone ---


def test_everyone_known_before_the_cut_off_is_asked(tiny_log):
    assert truths(task().examples(tiny_log, [day(2)])) == {"ann": 0.0}
    assert truths(task().examples(tiny_log, [day(2) + MICROSECOND])) == {"ann": 20.0, "bo": 0.0}
    assert truths(task().examples(tiny_log, [day(3.5)])) == {"ann": 20.0, "bo": 0.0, "cy": 0.0}


def test_the_window_is_half_open(tiny_log):
    # ann spends 20 on day 9; the window [2 + , 9 + ) holds it only when it ends after day 9.
    at = day(2) + MICROSECOND
    assert truths(task().examples(tiny_log, [at]))["ann"] == 20.0
    assert truths(task().examples(tiny_log, [day(2)]))["ann"] == 0.0
    assert truths(task().examples(tiny_log, [day(9)]))["ann"] == 20.0
    assert truths(task().examples(tiny_log, [day(9) + MICROSECOND]))["ann"] == 0.0


def test_among_reads_the_past_only(tiny_log):
    bought = task(asks=Everyone("user_id", among=(pl.col("event_type") == "buy").any()))
    assert bought.examples(tiny_log, [day(5)]).asked.to_list() == ["ann", "bo"]
    assert bought.examples(tiny_log, [day(1.5)]).asked.to_list() == ["ann"]


def test_among_and_truth_may_read_item_columns(tiny_log):
    drinkers = task(
        asks=Everyone("user_id", among=(pl.col("category") == "drinks").any()),
        truth=pl.col("amount").filter(pl.col("category") == "drinks").sum(),
    )
    assert truths(drinkers.examples(tiny_log, [day(11)])) == {"ann": 0.0, "bo": 15.0}


def test_items_are_asked_the_same_way(tiny_log):
    examples = task(asks=Everyone("item_id")).examples(tiny_log, [day(8)])
    assert truths(examples) == {1: 15.0, 2: 0.0, 3: 20.0}
    assert examples.household.to_list() == [1, 2, 3]


def test_windows_that_are_not_wholly_observed_are_dropped(tiny_log):
    examples = task().examples(tiny_log, [day(-1), day(23), day(23) + MICROSECOND, day(29)])
    assert examples.cutoffs == [day(23)]
    assert task().examples(tiny_log.before(day(20)), [day(13), day(14)]).cutoffs == [day(13)]
    with pytest.raises(TooFewExamples, match="No window of 7 days for spend"):
        task().examples(tiny_log, [day(24)])


@pytest.mark.parametrize(
    ("hours", "says"), [(6, "6 hours"), (1, "1 hour"), (24, "1 day"), (36, "36 hours"), (24 * 3500, "3500 days")]
)
def test_a_length_of_time_is_said_in_hours_where_it_is_not_whole_days(tiny_log, hours, says):
    assert duration(timedelta(hours=hours)) == says
    with pytest.raises(TooFewExamples, match=f"No window of {says} for spend"):
        task(horizon=timedelta(hours=hours)).examples(tiny_log, [day(30)])


def test_a_cut_off_named_twice_is_asked_once(tiny_log):
    assert len(task().examples(tiny_log, [day(5), day(5)])) == 3


def test_a_truth_that_arrives_after_the_end_of_a_log_is_not_known():
    late = [Event("ann", 1, "view", day(1), None, 0.0), Event("ann", 1, "buy", day(4), day(12), 9.0)]
    assert truths(task().examples(log_of(late), [day(2)])) == {"ann": 9.0}
    assert truths(task().examples(log_of(late).before(day(12)), [day(2)])) == {"ann": 0.0}


def test_without_an_absent_answer_the_silent_are_left_out_and_counted(tiny_log):
    examples = task(absent=None).examples(tiny_log, [day(5)])
    assert truths(examples) == {"ann": 20.0, "bo": 0.0}
    assert examples.left_out == 1


def test_a_null_truth_of_someone_with_rows_is_left_out_even_with_an_absent_answer(tiny_log):
    largest = task(truth=pl.col("amount").max(), absent=0.0)
    # cy only looks on day 25: rows, but no amount. bo has no rows at all.
    examples = largest.examples(tiny_log, [day(22)])
    assert truths(examples) == {"ann": 0.0, "bo": 0.0}
    assert examples.left_out == 1


def test_a_column_that_the_log_lacks_is_named_before_anything_is_computed(tiny_log):
    with pytest.raises(ConfigError, match=r"spend reads \['colour'\]"):
        task(truth=pl.col("colour").max()).examples(tiny_log, [day(5)])
    with pytest.raises(ConfigError, match=r"spend reads \['colour'\]"):
        task(asks=Everyone("user_id", among=pl.col("colour").any())).questions(tiny_log, day(5))
    itemless = Log.of(tiny_log.events.drop("item_id"), tiny_log.items)
    with pytest.raises(ConfigError, match=r"spend reads \['category'\]"):
        task(truth=pl.col("category").len()).examples(itemless, [day(5)])
    with pytest.raises(ConfigError, match=r"spend reads \['about', 'event_id'\]"):
        task(asks=EachEvent("buy", timedelta(days=7))).examples(tiny_log, [day(5)])


def test_questions_have_no_truth(tiny_log):
    questions = task().questions(tiny_log, day(29))
    assert questions.frame.columns == ["user_id", "at"]
    assert questions.asked.to_list() == ["ann", "bo", "cy"]


# --- asking each event ---


def reviews() -> Log:
    """Three mailings and what became of them; the second mailing is learned of a day late."""
    rows = [
        # user, event_type, event_id, about, time, arrived, words
        ("ann", "mailing", "m1", None, 1.0, None, "coats"),
        ("bo", "mailing", "m2", None, 2.0, 3.0, "tea"),
        ("ann", "click", "c1", "m1", 3.0, None, None),
        ("bo", "click", "c2", "m2", 2.5, None, None),
        ("bo", "click", "c3", "m2", 9.0, None, None),
        ("cy", "mailing", "m3", None, 6.0, None, "rice"),
        ("cy", "mailing", "m4", None, 28.0, None, "late"),
    ]
    table = pl.DataFrame(
        {
            "user_id": [row[0] for row in rows],
            "event_type": [row[1] for row in rows],
            "event_id": [row[2] for row in rows],
            "about": [row[3] for row in rows],
            "timestamp": [day(row[4]) for row in rows],
            "arrived_at": [None if row[5] is None else day(row[5]) for row in rows],
            "text": [row[6] for row in rows],
        }
    )
    return Log.of(table, observed_from=day(0), observed_until=day(30))


RESPONSE = task(
    name="response",
    asks=EachEvent("mailing", span=timedelta(days=7)),
    answer=YesNo(),
    truth=(pl.col("event_type") == "click").any(),
    absent=False,
    sees=("text",),
)


def test_each_event_is_asked_when_it_was_known_and_judged_by_what_is_about_it():
    examples = RESPONSE.examples(reviews(), [day(0)])
    # m2 is known on day 3: the click of day 2.5 lies before its window, that of day 9 within it.
    assert truths(examples) == {"m1": True, "m2": True, "m3": False}
    assert examples.at.to_list() == [day(1), day(3), day(6)]
    assert examples.frame["user_id"].to_list() == ["ann", "bo", "cy"]
    assert RESPONSE.key == "event_id"
    shorter = replace(RESPONSE, horizon=timedelta(days=6))
    assert truths(shorter.examples(reviews(), [day(0)])) == {"m1": True, "m2": False, "m3": False}


def test_an_event_is_asked_once_however_the_spans_overlap():
    log = reviews()
    assert RESPONSE.examples(log, [day(7)]).asked.to_list() == []
    assert RESPONSE.examples(log, [day(0), day(3)]).asked.to_list() == ["m1", "m2", "m3"]


@pytest.mark.parametrize("dtype", [pl.Int64, pl.Categorical])
def test_an_event_is_found_by_its_id_whatever_the_types_of_both(dtype):
    number = [str(name) for name in reviews().events["event_id"]]
    names = pl.col("event_id", "about").replace({name: str(place) for place, name in enumerate(number)})
    events = reviews().events.with_columns(names)
    events = events.with_columns(pl.col("event_id").cast(dtype), pl.col("about").fill_null("n/a"))
    examples = RESPONSE.examples(Log.of(events, observed_from=day(0), observed_until=day(30)), [day(0)])
    assert [number[int(one)] for one in examples.asked] == ["m1", "m2", "m3"]
    assert examples.truth.to_list() == [True, True, False]


def test_an_event_without_an_id_cannot_be_asked_about():
    log = reviews()
    nameless = log.events.with_columns(event_id=pl.col("event_id").replace("m3", None))
    examples = RESPONSE.examples(Log.of(nameless, observed_from=day(0), observed_until=day(30)), [day(0)])
    assert examples.asked.to_list() == ["m1", "m2"]


def test_an_event_whose_own_window_is_not_observed_is_dropped():
    assert RESPONSE.examples(reviews(), [day(22)]).asked.to_list() == []
    assert RESPONSE.questions(reviews(), day(22)).asked.to_list() == ["m4"]


def test_a_predictor_sees_only_the_columns_that_the_task_allows():
    examples = RESPONSE.examples(reviews(), [day(0)])
    assert examples.asked_event.to_dict(as_series=False) == {"text": ["coats", "tea", "rice"]}


def test_an_asked_event_is_not_in_its_own_past():
    log = reviews()
    examples = RESPONSE.examples(log, [day(0)])
    assert Past(log, examples).lengths.tolist() == [0, 1, 0]


# --- a table of examples ---


def test_examples_can_be_hidden_filtered_and_taken(tiny_log):
    examples = task().examples(tiny_log, [day(5), day(12)])
    assert "truth" not in examples.hide().frame.columns
    assert examples.where(pl.col("user_id") == "bo").at.to_list() == [day(5), day(12)]
    assert examples.where(np.array([True] + [False] * 5)).asked.to_list() == ["ann"]
    assert examples.take(np.array([4, 0])).asked.to_list() == ["bo", "ann"]
    assert len(pooled([examples, examples])) == 12


# --- the past ---


def test_an_unknown_customer_has_an_empty_past(tiny_log):
    asked = Examples(task(), pl.DataFrame({"user_id": ["nobody", "bo"], "at": [day(15)] * 2}))
    past = Past(tiny_log, asked)
    assert past.lengths.tolist() == [0, 3]
    assert past.rows().example.tolist() == [1, 1, 1]
    assert past.count(days=7).tolist() == [0, 2]
    assert past.total("amount").tolist() == [0.0, 18.0]
    assert past.histories().visible.tolist() == [0, 3]


def test_an_id_of_another_type_is_unknown_rather_than_an_error(tiny_log):
    numbered = Log.of(tiny_log.events.with_columns(user_id=pl.lit(12)), tiny_log.items)
    asked = Examples(task(), pl.DataFrame({"user_id": ["twelve", "12"], "at": [day(15)] * 2}))
    assert Past(numbered, asked).lengths.tolist() == [0, 8]


def test_a_past_holds_what_was_known_strictly_before(tiny_log):
    rows = Past(tiny_log, task().questions(tiny_log, day(9))).rows()
    assert rows.example.tolist() == [0, 0, 0, 1, 2]
    assert rows.age.tolist() == [8.5, 8.0, 8.0, 7.0, 6.0]
    assert rows.moment.tolist() == [0, 1, 1, 2, 3]


def test_the_newest_rows_are_kept(tiny_log):
    past = Past(tiny_log, task().questions(tiny_log, day(29)))
    rows = past.rows(last=2)
    assert rows.example.tolist() == [0, 0, 1, 1, 2, 2]
    assert rows.age.tolist() == [20.0, 9.0, 19.0, 17.0, 26.0, 4.0]
    assert len(past.rows(last=0)) == 0


def test_windows_of_the_past_are_half_open_too(tiny_log):
    past = Past(tiny_log, task().questions(tiny_log, day(9)))
    assert past.count(days=8).tolist() == [2, 1, 1]
    assert past.total("amount", days=8).tolist() == [13.0, 3.0, 0.0]
    assert past.total("quantity").tolist() == [3.0, 1.0, 0.0]


def test_items_have_a_past_as_well(tiny_log):
    past = Past(tiny_log, task(asks=Everyone("item_id")).questions(tiny_log, day(11)))
    assert past.lengths.tolist() == [3, 2, 2]
    users = past.users["user_id"]
    assert [users[code] for code in past.rows().user.tolist()] == ["ann", "ann", "bo", "ann", "bo", "cy", "ann"]


def test_what_arrives_late_is_invisible_until_then():
    late = Event("ann", 1, "buy", day(1), day(5), 10.0)
    early = Event("ann", 2, "view", day(0), None, 0.0)
    log = log_of([late, early])
    asked = Examples(task(), pl.DataFrame({"user_id": ["ann"] * 2, "at": [day(5), day(5) + STEP]}))
    past = Past(log, asked)
    assert past.lengths.tolist() == [1, 2]
    assert past.rows().age.tolist() == [5.0, 5.25, 4.25]


def test_codes_lead_to_what_is_said_of_items_and_customers(tiny_log):
    past = Past(tiny_log, task().questions(tiny_log, day(9)))
    rows = past.rows()
    assert past.items["title"][rows.item.tolist()].to_list() == [
        "green tea",
        "green tea",
        "rice",
        "rice",
        "winter coat",
    ]
    assert [past.event_types[code] for code in rows.event_type.tolist()] == ["view", "buy", "buy", "buy", "view"]


def test_the_shop_is_open_only_at_the_times_of_the_examples(tiny_log):
    examples = task().examples(tiny_log, [day(5)])
    past = Past(tiny_log, examples)
    assert past.shop(day(5)).observed_until == day(5)
    assert past.learned_until == day(12)
    assert len(past.shop(day(12)).events) == 7
    with pytest.raises(ConfigError, match="not part of this past"):
        past.shop(day(13))
    hidden = Past(tiny_log, examples.hide())
    assert hidden.learned_until == day(5)
    with pytest.raises(ConfigError, match="not part of this past"):
        hidden.shop(day(12))


# --- scores ---


def asked(tiny_log) -> Examples:
    return task().questions(tiny_log, day(2.5))


def test_a_yes_no_is_one_probability_each(tiny_log):
    frame = Scores(YesNo(), np.array([[0.25], [0.75]], dtype=np.float32)).frame(asked(tiny_log))
    assert frame.select("user_id", "score").rows() == [("ann", 0.25), ("bo", 0.75)]
    assert frame["at"].to_list() == [day(2.5)] * 2


def test_an_amount_is_a_mean_between_two_quantiles(tiny_log):
    values = np.tile(np.arange(20, dtype=np.float32), (2, 1))
    scores = Scores(Amount("money"), values)
    assert scores.frame(asked(tiny_log)).select("mean", "low", "high").rows() == [(0.0, 1.0, 19.0)] * 2
    assert scores.quantile(0.5).tolist() == [10.0, 10.0]
    assert (QUANTILES[0], QUANTILES[-1], len(QUANTILES)) == (0.05, 0.95, 19)


@pytest.mark.parametrize("answer", [OneOf(("buy", "leave")), Shares("category")])
def test_labels_are_columns(tiny_log, answer):
    values = np.array([[0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
    frame = Scores(answer, values, ("buy", "leave")).frame(asked(tiny_log))
    assert frame.select("buy", "leave").rows() == [(0.25, 0.75), (1.0, 0.0)]


@pytest.mark.parametrize("answer", [OneOf(("some", "at")), Shares("category")])
def test_a_label_that_is_called_as_the_id_or_the_time_has_another_column(tiny_log, answer):
    labels = ("at", "user_id", "label_at", "item_id")
    values = np.array([[0.125, 0.25, 0.5, 0.125]] * 2, dtype=np.float32)
    frame = Scores(answer, values, labels).frame(asked(tiny_log))
    assert frame.columns == ["user_id", "at", "label_label_at", "label_user_id", "label_at", "item_id"]
    assert frame.row(0) == ("ann", day(2.5), 0.125, 0.25, 0.5, 0.125)


@pytest.mark.parametrize("ids", [np.array([[3, 1], [2, 0]]), np.array([["c", "a"], ["b", "-"]], dtype=object)])
def test_a_ranking_is_a_row_for_each_rank_and_unfilled_ranks_are_left_out(tiny_log, ids):
    values = np.array([[0.5, 0.25], [1.0, -np.inf]], dtype=np.float32)
    frame = Scores(Ranking("item_id"), values, ids=ids).frame(asked(tiny_log))
    assert frame["user_id"].to_list() == ["ann", "ann", "bo"]
    assert frame["item_id"].to_list() == [ids[0, 0], ids[0, 1], ids[1, 0]]
    assert frame["rank"].to_list() == [1, 2, 1]
    taken = Scores(Ranking("item_id"), values, ids=ids).take(np.array([1]))
    assert taken.ids is not None
    assert taken.ids.tolist() == [list(ids[1])]


def test_shares_sum_to_one_and_what_was_not_seen_at_fit_is_other(tiny_log):
    counts = pl.col("category").drop_nulls().value_counts().struct.rename_fields(["label", "weight"]).implode()
    shares = task(answer=Shares("category"), truth=pl.when(pl.col("category").len() > 0).then(counts), absent=None)
    examples = shares.examples(tiny_log, [day(0.75)])
    labels = ShareLabels.of(examples)
    assert labels.labels == ("drinks", "food", "other")
    np.testing.assert_allclose(labels.encode(examples), [[0.5, 0.5, 0.0]])
    later = shares.examples(tiny_log, [day(8)])
    np.testing.assert_allclose(labels.encode(later.where(pl.col("user_id") == "ann")), [[0.0, 0.0, 1.0]])


def test_equal_labels_in_one_truth_add_up():
    truth = pl.Series([[{"label": "x", "weight": 1}, {"label": "y", "weight": 1}, {"label": "z", "weight": 2}]])
    np.testing.assert_allclose(share_matrix(truth, ("x", "other")), [[0.25, 0.75]])


def test_weekly_counts_back_from_the_last():
    assert weekly(day(1), day(16)) == [day(2), day(9), day(16)]
    assert weekly(day(2), day(2)) == [day(2)]
    assert weekly(day(3), day(2)) == []
