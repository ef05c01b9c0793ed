# ruff: noqa: E501 (exports have long rows)
"""The three dialects, each on a small export in its real form."""

import json
from datetime import UTC, datetime

import pytest

from intently.log.alias import DIALECTS, dialect_of
from intently.log.log import Log
from intently.log.names import EVENT_TYPES
from intently.tasks.next_event import ACTS

GA4 = [
    {
        "event_date": "20240131",
        "event_timestamp": 1706695200000000,
        "event_name": "view_item",
        "event_params": [{"key": "ga_session_id", "value": {"int_value": "77"}}],
        "user_id": None,
        "user_pseudo_id": "dev.1",
        "items": [{"item_id": "S1", "item_name": "Trail shoe", "item_brand": "Fell", "item_category": "Shoes", "price": 79.0}],
    },
    {
        "event_date": "20240131",
        "event_timestamp": 1706695260000000,
        "event_name": "search",
        "event_params": [
            {"key": "ga_session_id", "value": {"int_value": "77"}},
            {"key": "search_term", "value": {"string_value": "rain jacket"}},
        ],
        "user_id": None,
        "user_pseudo_id": "dev.1",
        "items": [],
    },
    {
        "event_date": "20240131",
        "event_timestamp": 1706695320000000,
        "event_name": "purchase",
        "event_params": [{"key": "ga_session_id", "value": {"int_value": "77"}}],
        "user_id": "ann",
        "user_pseudo_id": "dev.1",
        "items": [
            {"item_id": "S1", "item_name": "Trail shoe", "price": 79.0, "quantity": 2},
            {"item_id": "J2", "item_name": "雨衣", "price": 40.5},
        ],
    },
    {
        "event_date": "20240131",
        "event_timestamp": 1706695380000000,
        "event_name": "scroll",
        "event_params": None,
        "user_id": None,
        "user_pseudo_id": "dev.2",
        "items": None,
    },
]  # fmt: skip

SEGMENT = [
    {
        "type": "track", "event": "Product Viewed", "messageId": "m1", "anonymousId": "a1", "userId": None,
        "timestamp": "2024-01-31T10:00:00.000Z", "receivedAt": "2024-01-31T10:00:05.000Z",
        "properties": {"product_id": "S1", "sku": "S-1", "name": "Trail shoe", "brand": "Fell", "price": 79},
    },
    {
        "type": "track", "event": "Products Searched", "messageId": "m2", "anonymousId": "a1", "userId": None,
        "timestamp": "2024-01-31T10:01:00.000Z", "receivedAt": "2024-01-31T10:01:05.000Z",
        "properties": {"query": "雨衣"},
    },
    {
        "type": "track", "event": "Order Completed", "messageId": "m3", "anonymousId": "a1", "userId": "ann",
        "timestamp": "2024-01-31T10:02:00.000+01:00", "receivedAt": "2024-01-31T10:02:05.000Z",
        "properties": {"order_id": "o1", "total": 198.5, "products": [
            {"product_id": "S1", "name": "Trail shoe", "price": 79, "quantity": 2},
            {"product_id": "J2", "name": "Rain jacket", "category": "Jackets", "price": 40.5, "quantity": 1},
        ]},
    },
    {
        "type": "page", "messageId": "m4", "anonymousId": "a2", "userId": None, "name": "Home",
        "timestamp": "2024-01-31T10:03:00.000Z", "receivedAt": "2024-01-31T10:03:05.000Z", "properties": {},
    },
]  # fmt: skip

SHOPIFY = """\
Name,Email,Financial Status,Paid at,Currency,Subtotal,Total,Created at,Lineitem quantity,Lineitem name,Lineitem price,\
Lineitem sku,Lineitem discount,Cancelled at,Refunded Amount,Vendor,Id
#1003,bo@example.com,refunded,2024-02-03 09:00:00 +0000,GBP,20.00,20.00,2024-02-03 09:00:00 +0000,1,Mug,20.00,,0.00,,20.00,Kiln,3
#1002,ann@example.com,paid,2024-02-02 09:00:00 +0000,GBP,99.00,99.00,2024-02-02 09:00:00 +0100,2,Trail shoe - 42,50.00,0042,1.00,,0.00,Fell,2
#1002,ann@example.com,,,,,,,1,"Socks, wool",0.00,77,0.00,,,Fell,
#1001,cy@example.com,voided,,GBP,5.00,5.00,2024-02-01 09:00:00 +0000,1,Mug,5.00,,0.00,2024-02-01 12:00:00 +0000,0.00,Kiln,1
"""


@pytest.fixture
def read(tmp_path):
    def _read(name, content, **data):
        (tmp_path / name).write_text(content)
        lines = [f"{key} = {value!r}" for key, value in {"events": name, **data}.items()]
        (tmp_path / "intently.toml").write_text("\n".join(["[data]", *lines]))
        return Log.read(tmp_path)

    return _read


def lines(rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def test_every_dialect_is_told_by_its_columns():
    for name, dialect in DIALECTS.items():
        assert dialect_of([*dialect.marks, "another"]).name == name
    assert dialect_of(["user_id", "event_type"]) is None


def test_ga4_gives_one_row_an_item(read):
    log = read("ga4.jsonl", lines(GA4), dialect="ga4")
    told = log.events.select("user_id", "event_type", "item_id", "quantity", "amount", "text", "session_id").rows()
    assert told == [
        ("dev.1", "view", "S1", None, None, None, "dev.1.77"),
        ("dev.1", "search", None, None, None, "rain jacket", "dev.1.77"),
        ("ann", "buy", "S1", 2.0, 158.0, None, "dev.1.77"),
        ("ann", "buy", "J2", None, 40.5, None, "dev.1.77"),
        ("dev.2", "scroll", None, None, None, None, None),
    ]
    assert log.events["timestamp"][0] == datetime(2024, 1, 31, 10, tzinfo=UTC)
    assert log.items.rows() == [("J2", "雨衣", None, None, 40.5), ("S1", "Trail shoe", "Fell", "Shoes", 79.0)]


def test_ga4_without_any_items_or_parameters(read):
    bare = [{key: row[key] for key in ("event_timestamp", "event_name", "user_pseudo_id")} for row in GA4]
    log = read("ga4.jsonl", lines(bare), dialect="ga4")
    assert log.events["event_type"].to_list() == ["view", "search", "buy", "scroll"]


def test_segment_gives_one_row_a_product(read):
    log = read("track.jsonl", lines(SEGMENT), dialect="segment")
    told = log.events.select("user_id", "event_type", "item_id", "quantity", "amount", "text", "event_id").rows()
    assert told == [
        ("a1", "view", "S1", None, None, None, "m1"),
        ("a1", "search", None, None, None, "雨衣", "m2"),
        ("ann", "buy", "S1", 2.0, 158.0, None, "m3"),
        ("ann", "buy", "J2", 1.0, 40.5, None, "m3/1"),
        ("a2", "page", None, None, None, None, "m4"),
    ]
    assert log.events["timestamp"][2] == datetime(2024, 1, 31, 9, 2, tzinfo=UTC)
    assert log.events["arrived_at"][2] == datetime(2024, 1, 31, 10, 2, 5, tzinfo=UTC)
    assert log.items.select("item_id", "title", "brand", "category").rows() == [
        ("J2", "Rain jacket", None, "Jackets"),
        ("S1", "Trail shoe", "Fell", None),
    ]


def test_shopify_orders_are_sales_and_refunds_that_nobody_knew_at_the_time(read):
    log = read("orders_export.csv", SHOPIFY, dialect="shopify")
    told = log.events.select("user_id", "event_type", "item_id", "quantity", "amount", "session_id").rows()
    assert sorted(told, key=str) == sorted(
        [
            ("cy@example.com", "buy", "Mug", 1, 5.0, "#1001"),
            ("ann@example.com", "buy", "0042", 2, 99.0, "#1002"),
            ("ann@example.com", "buy", "77", 1, 0.0, "#1002"),
            ("bo@example.com", "buy", "Mug", 1, 20.0, "#1003"),
            ("cy@example.com", "return", None, None, 5.0, "#1001"),
            ("bo@example.com", "return", None, None, 20.0, "#1003"),
        ],
        key=str,
    )
    by_order = {
        (order, kind): at for order, kind, at in log.events.select("session_id", "event_type", "timestamp").rows()
    }
    assert by_order["#1002", "buy"] == datetime(2024, 2, 2, 8, tzinfo=UTC)
    assert by_order["#1001", "return"] == datetime(2024, 2, 1, 12, tzinfo=UTC)
    # Not dated by the export: at the end of it, never at the sale.
    assert by_order["#1003", "return"] == datetime(2024, 2, 3, 9, tzinfo=UTC)
    assert log.items.select("item_id", "title", "brand", "price").rows() == [
        ("0042", "Trail shoe - 42", "Fell", 50.0),
        ("77", "Socks, wool", "Fell", 0.0),
        ("Mug", "Mug", "Kiln", 5.0),
    ]


def test_a_column_of_the_shop_goes_before_the_dialect_s(tmp_path):
    (tmp_path / "ga4.jsonl").write_text(lines(GA4))
    (tmp_path / "intently.toml").write_text(
        '[data]\nevents = "ga4.jsonl"\ndialect = "ga4"\n[data.columns]\nuser_id = "user_pseudo_id"\n'
        '[data.event_types]\npurchase = "order"\n'
    )
    log = Log.read(tmp_path)
    assert set(log.events["user_id"]) == {"dev.1", "dev.2"}
    assert "order" in set(log.events["event_type"])


def test_exports_say_remove_as_the_questions_do():
    ours = {name for one in DIALECTS.values() for name in one.event_types.values()} | set(EVENT_TYPES)
    assert set(ACTS) <= ours
    assert "uncart" not in ours
