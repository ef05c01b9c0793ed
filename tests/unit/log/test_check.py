import logging
from datetime import datetime, timedelta

import polars as pl
import pytest

from intently.errors import DataError
from intently.log.check import checked, tell
from intently.log.log import Log
from small_logs import day, tiny


def events(count=1, **columns):
    """Rows without a fault, a minute apart, with these columns changed."""
    base = {
        "user_id": ["ann"] * count,
        "event_type": ["buy"] * count,
        "timestamp": [day(0) + timedelta(minutes=n) for n in range(count)],
        "amount": [5.0] * count,
    }
    return pl.DataFrame({**base, **columns}, strict=False)


def reasons(found) -> dict[str, int]:
    return {one.code: one.count for one in found.faults}


@pytest.mark.parametrize(
    ("code", "columns"),
    [
        ("no_time", {"timestamp": [day(0), None]}),
        ("unread_time", {"timestamp": ["2024-01-01 10:00", "soon"]}),
        ("too_early", {"timestamp": [day(0), datetime(1970, 1, 1)]}),  # noqa: DTZ001 - as a file without zones gives it
        ("no_type", {"event_type": ["buy", None]}),
        ("no_type", {"event_type": ["buy", "  "]}),
        ("nobody", {"user_id": ["ann", None]}),
        ("nobody", {"user_id": ["ann", ""], "session_id": ["s", " "]}),
        ("bad_amount", {"amount": [1.0, float("nan")]}),
        ("bad_amount", {"amount": [1.0, 1e300]}),
        ("bad_amount", {"amount": ["1", "much"]}),
        ("negative_amount", {"amount": [1.0, -1.0]}),
        ("bad_quantity", {"quantity": [1.0, float("inf")]}),
        ("negative_quantity", {"quantity": [1, -1]}),
        ("ahead", {"arrived_at": [None, day(-2)]}),
        ("unread_arrival", {"arrived_at": ["2024-01-01", "later"]}),
        ("repeated_id", {"event_id": [7, 7]}),
    ],
)
def test_a_fault_sets_its_row_aside_with_column_value_and_reason(code, columns):
    times = columns.get("timestamp", [])
    if any(isinstance(time, datetime) and time.tzinfo is None for time in times):
        columns = {"timestamp": pl.Series([times[0].replace(tzinfo=None), times[1]])}
    raw = events(2, **columns)
    found = checked(raw)
    assert reasons(found) == {code: 1}
    assert len(found.events) == 1
    reject = found.rejects.row(0, named=True)
    assert (reject["table"], reject["row"]) == ("events", 1)
    assert reject["column"] == found.faults[0].column
    value = raw[reject["column"]][1]
    assert reject["value"] == (None if value is None else pl.Series([value]).cast(pl.String)[0])
    Log.of(found.events)


def test_a_sound_log_comes_back_as_it_was():
    log = tiny()
    found = checked(log.events, log.items, log.users, log.observed_until)
    assert found.events.equals(log.events)
    assert found.items is not None
    assert found.items.equals(log.items)
    assert found.faults == ()
    assert found.rejects.is_empty()
    assert found.sentence() is None


def test_only_purchases_have_to_have_sound_money():
    found = checked(events(3, event_type=["return", "view", "buy"], amount=[-5.0, float("nan"), None]))
    assert found.events["amount"].to_list() == [-5.0, None, None]
    assert reasons(found) == {"emptied_amount": 1}
    assert found.faults[0].first_row == 1


def test_numbers_of_context_that_are_none_are_emptied_for_they_would_poison_a_model():
    found = checked(events(2, discount=[float("inf"), 0.5]))
    assert found.events["discount"].to_list() == [None, 0.5]
    assert reasons(found) == {"emptied_discount": 1}


def test_a_price_that_is_no_price_is_emptied_and_its_item_stays():
    items = pl.DataFrame({"item_id": [1, 2, 3], "title": ["a", "b", "c"], "price": [2.0, float("nan"), -1.0]})
    found = checked(events(item_id=[1]), items)
    assert found.items is not None
    assert found.items["price"].to_list() == [2.0, None, None]
    assert reasons(found) == {"emptied_price": 2}
    assert found.faults[0].table == "items"
    assert found.faults[0].first_row == 1


def test_an_item_or_customer_without_an_id_is_set_aside():
    items = pl.DataFrame({"item_id": ["x", None], "title": ["a", "b"]})
    users = pl.DataFrame({"user_id": [None, "ann"]})
    found = checked(events(), items, users)
    assert found.rejects.select("table", "row", "column").rows() == [("items", 1, "item_id"), ("users", 0, "user_id")]


def test_the_first_of_equal_rows_stays():
    raw = pl.concat([events(2), events(2), events(1)])
    found = checked(raw)
    assert found.events.equals(events(2))
    assert found.rejects["row"].to_list() == [2, 3, 4]
    assert reasons(found) == {"repeated": 3}


def test_equal_rows_are_found_beside_lists_and_structs():
    found = checked(events(2, timestamp=[day(0)] * 2, tags=[[1, 2], [1, 2]], place=[{"x": 1}, {"x": 1}]))
    assert reasons(found) == {"repeated": 1}
    assert len(checked(events(2, timestamp=[day(0)] * 2, tags=[[1, 2], [2, 1]])).events) == 2


def test_an_event_without_a_name_is_no_repetition():
    assert len(checked(events(3, event_id=["a", None, None])).events) == 3


def test_the_end_of_observation_is_the_first_moment_outside():
    raw = events(2, timestamp=[day(1), day(1) - timedelta(microseconds=1)])
    assert checked(raw, observed_until=day(1)).rejects["row"].to_list() == [0]


@pytest.mark.parametrize("wrong", [day(366 * 75), day(-366 * 20)])
def test_few_rows_far_from_all_others_are_set_aside(wrong):
    times = [day(n / 10) for n in range(200)]
    found = checked(events(202, timestamp=[*times, wrong, wrong + timedelta(days=400)]))
    assert reasons(found) == {"alone": 2}
    # Three in a hundred are no slip.
    assert checked(events(206, timestamp=[*times, *[wrong + timedelta(hours=n) for n in range(6)]])).faults == ()


def test_small_differences_of_clocks_are_no_fault():
    found = checked(events(2, arrived_at=[day(0) - timedelta(hours=20), None]))
    assert found.faults == ()
    assert "arrived_early" in {one.code for one in found.findings}


def test_times_written_as_text_are_read_row_by_row():
    text = ["2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:00.5", "2024-01-01T10:00+08:00", "2024-01-01 10:00:00Z"]
    found = checked(events(5, timestamp=text, amount=[1, 2, 3, 4, 5]))
    hours = [(time - day(0)) / timedelta(hours=1) for time in found.events["timestamp"]]
    assert hours == pytest.approx([0, 10, 10 + 0.5 / 3600, 2, 10])


def test_what_a_whole_column_gets_wrong_is_left_for_the_log_to_refuse():
    with pytest.raises(DataError, match="'amount' holds String"):
        Log.of(checked(events(2, amount=["much", "more"])).events)
    with pytest.raises(DataError, match="'timestamp' is missing"):
        Log.of(checked(events(2).drop("timestamp")).events)
    with pytest.raises(DataError, match="no rows"):
        Log.of(checked(events(2).clear()).events)
    assert checked(events(2).drop("timestamp")).findings == ()


def test_reading_a_folder_counts_what_is_set_aside(tmp_path, caplog):
    events(3, amount=[1.0, -1.0, 2.0]).write_parquet(tmp_path / "events.parquet")
    with caplog.at_level(logging.WARNING):
        log = Log.read(tmp_path)
    assert len(log.events) == 2
    assert len(caplog.messages) == 1
    assert "1 of 3 events are set aside" in caplog.messages[0]
    assert "amount of a purchase is negative in 1 row, first in row 1" in caplog.messages[0]


def test_a_sound_folder_is_read_without_a_word(tmp_path, caplog):
    tiny().write(tmp_path)
    Log.read(tmp_path)
    assert caplog.messages == []


def test_a_log_without_one_sound_row_is_refused_with_the_reasons():
    with pytest.raises(DataError, match=r"No event can be used: 2 of 2 .* timestamp is empty"):
        tell(checked(events(2, timestamp=pl.Series([None, None], dtype=pl.Datetime("us", "UTC")))))


def test_findings_on_items_and_customers_name_rows_as_they_were_read():
    items = pl.DataFrame({"item_id": [None, None, "a", "b", "b"], "title": ["x", "y", "tea", "", "milk"]})
    users = pl.DataFrame({"user_id": ["ann", None, "bo", "ann"]})
    found = {one.code: one for one in checked(events(2, item_id=["a", "b"]), items, users).findings}
    assert (found["untitled"].table, found["untitled"].first_row) == ("items", 3)
    rows = {one.table: one.first_row for one in checked(events(), items, users).findings if one.code == "listed_twice"}
    assert rows == {"items": 4, "users": 3}
