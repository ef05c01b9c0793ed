from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.contract import Amount, Everyone, Examples, Past, Task
from intently.errors import DataError
from intently.log.blocks import Unpacked
from intently.log.log import Log
from intently.log.pack_stream import pack
from intently.log.packed import PackedLog
from small_logs import day

SPEND = Task("spend", Everyone("user_id"), Amount("money"), timedelta(days=3), pl.col("amount").sum(), 0.0, {})


@pytest.fixture
def shop(tiny_log, tmp_path):
    tiny_log.write(tmp_path / "shop")
    pack(Unpacked.of(tmp_path / "shop", whole=0), tmp_path / "pack", block=4, part=3)
    return tmp_path


def examples(column: str, ids: list) -> Examples:
    at = [day(1), day(10.5), day(30)] * len(ids)
    return Examples(SPEND, pl.DataFrame({column: [one for one in ids for _ in range(3)], "at": at}))


@pytest.mark.parametrize(("column", "ids"), [("user_id", ["cy", "nobody", "ann"]), ("item_id", [3, 1, 99])])
def test_a_past_from_disk_is_the_past_from_memory(shop, tiny_log, column, ids):
    asked = examples(column, ids)
    past, expected = Past(PackedLog.open(shop / "pack"), asked), Past(tiny_log, asked)
    for last in (None, 1):
        rows, wanted = past.rows(last), expected.rows(last)
        for name in ("example", "age", "moment", "hour_of_week", "user", "item", "event_type", "quantity", "amount"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(wanted, name), err_msg=name)
    assert past.total("amount", 5).tolist() == expected.total("amount", 5).tolist()
    assert past.items.equals(expected.items)
    assert past.users.equals(expected.users)
    assert past.event_types == expected.event_types
    np.testing.assert_array_equal(past.histories(2).visible, expected.histories(2).visible)


def test_rows_stay_on_disk(shop):
    order = PackedLog.open(shop / "pack").pack.by_user
    assert all(isinstance(getattr(order, name), np.memmap) for name in ("offsets", "known", "item", "amount", "row"))


def test_the_whole_shop_is_read_from_where_it_was_packed(shop, tiny_log):
    past = Past(PackedLog.open(shop / "pack"), examples("user_id", ["ann"]))
    assert past.shop(day(10.5)).events.equals(tiny_log.before(day(10.5)).events)


def test_a_log_that_has_changed_since_is_not_taken_for_the_same(shop, tiny_log):
    opened = PackedLog.open(shop / "pack")
    Log.of(tiny_log.events.head(3), tiny_log.items).write(shop / "shop")
    with pytest.raises(DataError, match="has changed since it was packed"):
        opened.before(day(30))


def test_what_is_not_whole_is_not_opened(shop, tmp_path):
    (shop / "pack" / "pack.json").unlink()
    with pytest.raises(DataError, match="does not hold a whole pack"):
        PackedLog.open(shop / "pack")
    with pytest.raises(DataError, match="does not hold a whole pack"):
        PackedLog.open(tmp_path / "nowhere")


@pytest.mark.parametrize("rows_at_once", [1, 7, 10**6])
def test_sums_are_the_same_to_the_last_bit_however_many_rows_are_read_at_once(rows_at_once, monkeypatch):
    monkeypatch.setattr("intently.contract.past._ROWS_AT_ONCE", rows_at_once)
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "user_id": rng.choice(["ann", "bo", "cy", "di"], 90),
            "event_type": "buy",
            "timestamp": [day(float(number)) for number in rng.integers(0, 40, 90)],
            "amount": rng.random(90) * 1e3,
        }
    )
    log = Log.of(table)
    asked = Examples(
        SPEND,
        pl.DataFrame(
            {
                "user_id": rng.choice(["ann", "bo", "cy", "di", "no"], 50),
                "at": [day(float(n)) for n in rng.integers(0, 45, 50)],
            }
        ),
    )
    past = Past(log, asked)
    for days in (None, 6.5):
        expected = []
        for who, at in asked.frame.iter_rows():
            own = log.events.filter(pl.col("user_id") == who, pl.col("timestamp") < at)
            running = np.cumsum(own["amount"].cast(pl.Float32).cast(pl.Float64).to_numpy())
            first = 0 if days is None else own.filter(pl.col("timestamp") < at - timedelta(days=days)).height
            before = running[first - 1] if first else 0.0
            expected.append(running[-1] - before if len(running) > first else 0.0)
        assert past.total("amount", days).tolist() == expected


def test_a_personal_column_is_in_no_pack(tmp_path):
    events = pl.DataFrame(
        {"user_id": ["a", "b"], "event_type": "buy", "timestamp": [day(1), day(2)], "phone": [13812345678, 13912345678]}
    ).with_columns(spent=pl.Series([1.0, 2.0]))
    (tmp_path / "shop").mkdir()
    events.write_parquet(tmp_path / "shop" / "events.parquet")
    pack(Unpacked.of(tmp_path / "shop", whole=0), tmp_path / "pack")
    written = {path.name for path in (tmp_path / "pack").rglob("*.npy")}
    assert any("spent" in name for name in written)
    assert not any("phone" in name for name in written)
