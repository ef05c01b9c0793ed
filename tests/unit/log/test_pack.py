import numpy as np
import polars as pl
import pytest

from intently.log.log import Log
from intently.log.pack import Pack, codes
from small_logs import day

ARRAYS = ("offsets", "known", "time", "user", "item", "event_type", "quantity", "amount", "row")


def assert_same(one: Pack, other: Pack) -> None:
    assert one.user_ids.to_list() == other.user_ids.to_list()
    assert one.item_ids.to_list() == other.item_ids.to_list()
    assert one.event_types == other.event_types
    for a, b in ((one.by_user, other.by_user), (one.by_item, other.by_item)):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
        assert a.extra.keys() == b.extra.keys()
        for name in a.extra:
            np.testing.assert_array_equal(a.extra[name], b.extra[name], err_msg=name)


def test_rows_stand_by_customer_and_time(tiny_log):
    pack = tiny_log.pack
    assert pack.user_ids.to_list() == ["ann", "bo", "cy"]
    assert pack.by_user.offsets.tolist() == [0, 5, 8, 10]
    assert pack.by_user.user.tolist() == [0] * 5 + [1] * 3 + [2] * 2
    assert pack.item_ids[pack.by_user.item[:5].tolist()].to_list() == [1, 1, 2, 3, 1]
    assert pack.by_user.amount[:5].tolist() == [0.0, 10.0, 3.0, 20.0, 5.0]


def test_rows_stand_by_item_and_time(tiny_log):
    pack = tiny_log.pack
    assert pack.by_item.offsets.tolist() == [0, 5, 7, 9, 10]
    assert pack.user_ids[pack.by_item.user[:5].tolist()].to_list() == ["ann", "ann", "bo", "bo", "ann"]


def test_row_leads_back_to_the_log(tiny_log):
    order = tiny_log.pack.by_item
    assert (
        tiny_log.events["item_id"][order.row.tolist()].to_list()
        == tiny_log.pack.item_ids[order.item.tolist()].to_list()
    )


def test_a_row_without_an_item_is_in_one_order_only():
    events = pl.DataFrame(
        {"user_id": ["a", "a"], "item_id": [None, 1], "event_type": ["search", "view"], "timestamp": [day(0), day(1)]}
    )
    pack = Log.of(events).pack
    assert pack.by_user.item.tolist() == [-1, 0]
    assert pack.by_item.row.tolist() == [1]


def test_an_item_that_the_catalogue_lacks_comes_after_it():
    events = pl.DataFrame(
        {"user_id": ["a", "a"], "item_id": [9, 5], "event_type": ["buy", "buy"], "timestamp": [day(0), day(1)]}
    )
    log = Log.of(events, pl.DataFrame({"item_id": [7, 5], "title": ["x", "y"]}))
    assert log.pack.item_ids.to_list() == [7, 5, 9]


def test_a_pack_opened_from_disk_is_the_same_and_stays_there(tiny_log, tmp_path):
    with_context = Log.of(tiny_log.events.with_columns(discount=pl.col("amount") / 10), tiny_log.items)
    with_context.pack.save(tmp_path / "pack")
    opened = Pack.load(tmp_path / "pack")
    assert_same(with_context.pack, opened)
    assert isinstance(opened.by_user.known, np.memmap)
    assert list(opened.by_user.extra) == ["discount"]


def test_a_log_without_items_is_packed_saved_and_opened(tmp_path):
    events = pl.DataFrame({"user_id": ["a"], "event_type": ["view"], "timestamp": [day(0)]})
    pack = Log.of(events).pack
    pack.save(tmp_path)
    assert_same(pack, Pack.load(tmp_path))
    assert len(pack.by_item.row) == 0


@pytest.mark.parametrize("column", ["user_id", "item_id", "event_id", "about", "session_id"])
def test_an_id_is_no_context(column):
    ids = pl.DataFrame({"user_id": [1], "event_type": ["view"], "timestamp": [day(0)], "weight": [2.5]})
    log = Log.of(ids.with_columns(pl.lit(5 if column != "session_id" else "5").alias(column)))
    assert list(log.pack.by_user.extra) == ["weight"]


def test_codes_of_what_is_not_there_are_minus_one():
    assert codes(pl.Series(["b", None, "z"]), pl.Series(["a", "b"])).tolist() == [1, -1, -1]


def test_stop_before_is_strict(tiny_log):
    order = tiny_log.pack.by_user
    at = np.array([day(1).timestamp() * 1e6, day(1).timestamp() * 1e6 + 1], dtype=np.int64)
    assert order.stop_before(np.array([0, 0]), at).tolist() == [1, 3]
