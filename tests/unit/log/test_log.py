from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest

from intently.errors import DataError
from intently.log.log import Log, moment
from small_logs import Event, day, log_of, tiny

MICROSECOND = timedelta(microseconds=1)


def events(**columns):
    base = {"user_id": ["a", "b"], "event_type": ["buy", "view"], "timestamp": [day(0), day(1)]}
    return pl.DataFrame({**base, **columns})


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_log_is_read_from_either_kind_of_file(tmp_path, form):
    log = tiny()
    getattr(log.events, f"write_{form}")(tmp_path / f"events.{form}")
    getattr(log.items, f"write_{form}")(tmp_path / f"items.{form}")
    again = Log.read(tmp_path)
    assert again.events.equals(log.events)
    assert again.items.equals(log.items)
    assert again.users["user_id"].to_list() == ["ann", "bo", "cy"]


def test_a_folder_of_files_is_one_table(tmp_path):
    log = tiny()
    (tmp_path / "events" / "2024").mkdir(parents=True)
    log.events[:4].write_parquet(tmp_path / "events" / "2024" / "a.parquet")
    log.events[4:].write_csv(tmp_path / "events" / "b.csv")
    assert Log.read(tmp_path).events.equals(log.events)


def test_write_then_read_keeps_the_span(tmp_path):
    log = tiny()
    log.write(tmp_path / "log")
    again = Log.read(tmp_path / "log")
    assert again.events.equals(log.events)
    assert (again.observed_from, again.observed_until) == (day(0), day(30))


def test_without_a_stated_span_the_last_event_is_inside_it():
    log = Log.of(events())
    assert log.observed_from == day(0)
    assert log.observed_until == day(1) + MICROSECOND
    assert len(log.before(log.observed_until).events) == 2


@pytest.mark.parametrize("said", [day(3), day(3).replace(tzinfo=None), day(3).date()])
def test_a_stated_span_without_a_zone_is_utc(said):
    log = Log.of(events(), observed_from=said - timedelta(days=5), observed_until=said)
    assert (log.observed_from, log.observed_until) == (day(-2), day(3))
    assert len(log.before(day(1)).events) == 1


def test_a_column_of_numbers_without_a_value_is_one_of_numbers():
    empty = pl.Series([None, None])
    items = pl.DataFrame({"item_id": [7, 8], "title": ["a", "b"], "price": empty, "colour": empty})
    log = Log.of(events(item_id=[7, 8], amount=empty, quantity=empty), items)
    assert [log.events.schema[name] for name in ("amount", "quantity")] == [pl.Float64, pl.Float64]
    assert log.items.schema["price"] == pl.Float64
    assert log.items.schema["colour"] == pl.Null


@pytest.mark.parametrize(
    ("ids", "about", "both"),
    [
        ([1, 2], ["1", "n/a"], pl.String),
        (["1", "2"], [None, 1], pl.String),
        ([1, 2], [None, None], pl.Int64),
        ([None, None], [None, None], pl.String),
        ([1, 2], pl.Series([None, 1], dtype=pl.Int16), pl.Int64),
        ([1, 2], pl.Series([None, 1], dtype=pl.UInt64), pl.String),
        (pl.Series(["a", "b"], dtype=pl.Categorical), pl.Series([None, "a"], dtype=pl.Categorical), pl.String),
        (pl.Series(["a", "b"], dtype=pl.Categorical), [None, "a"], pl.String),
    ],
)
def test_events_and_what_is_about_them_have_one_type_of_id(ids, about, both):
    log = Log.of(events(event_id=ids, about=about))
    assert [log.events.schema[name] for name in ("event_id", "about")] == [both, both]
    # The rows themselves are as they came.
    assert log.events["event_id"].cast(pl.String).to_list() == pl.Series(ids).cast(pl.String).to_list()


def test_items_and_users_are_made_from_events_that_name_them():
    log = Log.of(events(item_id=[7, None]))
    assert log.items.to_dicts() == [{"item_id": 7, "title": "7"}]
    assert log.users["user_id"].to_list() == ["a", "b"]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        Log.read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no events"):
        Log.read(tmp_path)


@pytest.mark.parametrize("content", ["", "PAR1 but not really"])
def test_a_broken_file_is_one_clear_error(tmp_path, content):
    (tmp_path / "events.parquet").write_text(content)
    with pytest.raises(DataError, match=r"events.parquet cannot be read"):
        Log.read(tmp_path)


def test_an_empty_csv_is_one_clear_error(tmp_path):
    (tmp_path / "events.csv").write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        Log.read(tmp_path)


def test_every_fault_is_named_at_once():
    wrong = pl.DataFrame({"user_id": [1.5], "timestamp": ["yesterday"], "quantity": ["two"]})
    with pytest.raises(DataError) as raised:
        Log.of(wrong, pl.DataFrame({"item_id": [1]}))
    for fault in (
        "'event_type' is missing",
        "'user_id' holds Float64",
        "'timestamp' holds String",
        "'title' is missing",
    ):
        assert fault in raised.value.problem
    assert "'quantity' holds String" in raised.value.problem
    assert "docs/log.md" in raised.value.mend


def test_a_log_without_rows_is_refused():
    with pytest.raises(DataError, match="no rows"):
        Log.of(events().head(0))


def test_a_null_time_is_found_by_its_row():
    with pytest.raises(DataError, match="'timestamp' is empty in 1 rows, the first is row 1"):
        Log.of(events(timestamp=[day(0), None]))


def test_a_number_that_is_none_is_found_by_its_row():
    with pytest.raises(DataError, match="'amount' is not a finite number, the first is row 1"):
        Log.of(events(amount=[1.0, float("nan")]))
    with pytest.raises(DataError, match="'quantity' is not a finite number, the first is row 0"):
        Log.of(events(quantity=[float("inf"), None]))


def test_a_log_needs_someone():
    with pytest.raises(DataError, match="neither 'user_id' nor 'session_id'"):
        Log.of(events().drop("user_id"))


def test_a_session_stands_for_an_unknown_customer():
    log = Log.of(events(user_id=[12, None], session_id=["s1", "s2"]), users=pl.DataFrame({"user_id": [12]}))
    assert log.events["user_id"].to_list() == ["12", "s2"]
    assert log.users["user_id"].to_list() == ["12"]
    assert Log.of(events(session_id=["s1", "s2"]).drop("user_id")).events["user_id"].to_list() == ["s1", "s2"]


def test_ids_of_two_types_meet():
    items = pl.DataFrame({"item_id": ["1", "x"], "title": ["one", "other"]})
    log = Log.of(events(item_id=[1, 3]), items)
    assert log.events["item_id"].to_list() == ["1", "3"]
    assert log.pack.item_ids.to_list() == ["1", "x", "3"]
    narrow = Log.of(events(item_id=pl.Series([1, 3], dtype=pl.Int32)), items[:1].cast({"item_id": pl.Int64}))
    assert narrow.pack.item_ids.to_list() == [1, 3]


def test_an_item_or_a_customer_said_twice_counts_once():
    items = pl.DataFrame({"item_id": [1, 1], "title": ["first", "second"]})
    users = pl.DataFrame({"user_id": ["a", "a", "b"], "city": ["X", "Y", "Z"]})
    log = Log.of(events(), items, users)
    assert log.items["title"].to_list() == ["first"]
    assert log.users["city"].to_list() == ["X", "Z"]


def test_times_are_utc():
    log = Log.of(events(timestamp=[datetime(2024, 1, 1), datetime(2024, 1, 2)]))  # noqa: DTZ001 - no zone is the point
    assert log.events["timestamp"].to_list() == [day(0), day(1)]
    east = timezone(timedelta(hours=8))
    times = pl.Series([datetime(2024, 1, 1, 8, tzinfo=east), datetime(2024, 1, 2, 8, tzinfo=east)])
    assert Log.of(events(timestamp=times)).events["timestamp"].to_list() == [day(0), day(1)]


def test_before_is_half_open_at_the_microsecond(tiny_log):
    assert len(tiny_log.before(day(1)).events) == 1
    assert len(tiny_log.before(day(1) + MICROSECOND).events) == 3
    assert tiny_log.before(day(1)).observed_until == day(1)
    assert tiny_log.before(day(90)).observed_until == day(30)


def test_between_is_half_open_at_the_microsecond(tiny_log):
    assert len(tiny_log.between(day(1), day(2))) == 2
    assert len(tiny_log.between(day(1) + MICROSECOND, day(2))) == 0
    assert len(tiny_log.between(day(1), day(2) + MICROSECOND)) == 3


def test_what_arrives_late_is_not_known_before_it_arrives():
    late = Event("ann", 1, "buy", day(1), day(5), 10.0)
    early = Event("ann", 1, "buy", day(2), None, 20.0)
    log = log_of([late, early])
    assert log.events["amount"].to_list() == [20.0, 10.0]
    assert log.before(day(5)).events["amount"].to_list() == [20.0]
    assert len(log.before(day(5) + MICROSECOND).events) == 2
    assert log.between(day(1), day(2))["amount"].to_list() == [10.0]


def test_an_arrival_before_the_event_changes_nothing():
    log = log_of([Event("ann", 1, "buy", day(3), day(1), 10.0)])
    assert log.before(day(3)).events.is_empty()


def test_moment_reads_dates_and_times():
    assert moment("2017-11-05") == datetime(2017, 11, 5, tzinfo=UTC)
    assert moment("2017-11-05T08:00+08:00") == datetime(2017, 11, 5, tzinfo=UTC)
    with pytest.raises(DataError, match="'soon' is not a date"):
        moment("soon")


def test_where_nothing_is_to_forget_the_log_is_its_own_past():
    log = tiny()
    assert log.before(day(30)) is log
    assert log.before(day(31)) is log
    # The last event is on day 25, but that nothing came after it is known on day 30 only.
    assert log.before(day(29)) is not log
    assert log.before(day(29)).observed_until == day(29)


def test_a_span_that_ends_before_it_begins_is_refused():
    with pytest.raises(DataError, match="it ends before it begins"):
        Log.of(tiny().events, observed_from=day(3), observed_until=day(3))
