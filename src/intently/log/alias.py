"""Logs whose columns are known by name: Google Analytics 4 (BigQuery export), Segment, Shopify orders.

A dialect is a table of names. Where one row of theirs is several events of ours (a basket in an array), `unfold` first
lays it out; it leaves every column that it does not need as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from intently.log import schema

RETURN = "return"

# Columns that `unfold` makes; a dot cannot stand in a column of BigQuery's.
_ITEM = "item."


def _as_it_is(raw: pl.DataFrame) -> pl.DataFrame:
    return raw


@dataclass(frozen=True)
class Dialect:
    """`marks` are columns that together tell the dialect; the others are as in `[data]`."""

    name: str = ""
    marks: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    item_columns: Mapping[str, str] = field(default_factory=dict)
    user_columns: Mapping[str, str] = field(default_factory=dict)
    event_types: Mapping[str, str] = field(default_factory=dict)
    unfold: Callable[[pl.DataFrame], pl.DataFrame] = _as_it_is


def dialect_of(columns: list[str]) -> Dialect | None:
    """The dialect whose marks are all among the columns."""
    return next((one for one in DIALECTS.values() if set(one.marks) <= set(columns)), None)


# --- Google Analytics 4: one row an event, its items in an array, other facts as (key, value) pairs. ---


def _ga4(raw: pl.DataFrame) -> pl.DataFrame:
    """One row an item; an event without items keeps its row. Session and search words come out of `event_params`."""
    if isinstance(raw.schema.get("event_params"), pl.List):
        raw = raw.with_columns(_parameter(raw, key).alias(key) for key in ("ga_session_id", "search_term", "coupon"))
    raw = _filled(raw, ["user_id", "search_term"], pl.String)
    raw = _exploded(raw, "items", ["item_id", "item_name", "item_brand", "item_category", "price", "quantity"])
    price, quantity = _number("price"), _number("quantity").fill_null(1)
    money = pl.when(pl.col("event_name").is_in(["purchase", "refund"])).then(price * quantity)
    # The same session number is given to many devices.
    session = pl.lit(None, dtype=pl.String)
    if "ga_session_id" in raw.columns:
        session = pl.concat_str("user_pseudo_id", "ga_session_id", separator=".")
    return raw.with_columns(money.alias(_ITEM + "amount"), session.alias(_ITEM + "session"))


def _parameter(raw: pl.DataFrame, key: str) -> pl.Expr:
    inner = raw.schema["event_params"].inner  # type: ignore[attr-defined]
    value = next((one.dtype for one in inner.fields if one.name == "value"), None)
    if not isinstance(value, pl.Struct):
        return pl.lit(None, dtype=pl.String)
    kinds = [one.name for one in value.fields if one.name.endswith("_value")]
    said = pl.coalesce(pl.element().struct.field("value").struct.field(kind).cast(pl.String) for kind in kinds)
    wanted = pl.when(pl.element().struct.field("key") == key).then(said)
    return pl.col("event_params").list.eval(wanted.drop_nulls()).list.first()


GA4 = Dialect(
    name="ga4",
    marks=("event_name", "event_timestamp", "user_pseudo_id"),
    columns={
        schema.USER: "COALESCE(user_id, user_pseudo_id)",
        schema.SESSION: f'"{_ITEM}session"',
        schema.TYPE: "event_name",
        schema.TIME: "event_timestamp",
        schema.ITEM: f'"{_ITEM}item_id"',
        schema.QUANTITY: f'"{_ITEM}quantity"',
        schema.AMOUNT: f'"{_ITEM}amount"',
        schema.TEXT: "search_term",
    },
    item_columns={
        schema.TITLE: f'"{_ITEM}item_name"',
        schema.BRAND: f'"{_ITEM}item_brand"',
        schema.CATEGORY: f'"{_ITEM}item_category"',
        schema.PRICE: f'"{_ITEM}price"',
    },
    event_types={
        "purchase": schema.BUY,
        "refund": RETURN,
        "view_item": "view",
        "view_item_list": "list",
        "select_item": "click",
        "add_to_cart": "cart",
        "remove_from_cart": schema.REMOVE,
        "view_cart": "view_cart",
        "add_to_wishlist": "wish",
        "begin_checkout": "checkout",
        "view_search_results": "search",
        "search": "search",
        "view_promotion": "impression",
        "select_promotion": "click",
    },
    unfold=_ga4,
)


# --- Segment: one line a track call, the facts in `properties`, a basket in `properties.products`. ---


def _segment(raw: pl.DataFrame) -> pl.DataFrame:
    if isinstance(raw.schema.get("properties"), pl.Struct):
        raw = raw.with_columns(pl.col("properties").struct.unnest().name.prefix("properties."))
    names = ["product_id", "sku", "name", "brand", "category", "price", "quantity"]
    # Outside a basket the product's own facts stand beside the event's.
    own = {name: raw[f"properties.{name}"] for name in names if f"properties.{name}" in raw.columns}
    raw = _exploded(raw, "properties.products", names)
    numbered = raw["_row"]
    raw = raw.with_columns(
        pl.coalesce(_ITEM + name, values.gather(numbered).cast(pl.String)).alias(_ITEM + name)
        for name, values in own.items()
    )
    raw = _filled(
        raw, ["userId", "anonymousId", "event", "type", "properties.query", "properties.review_body"], pl.String
    )
    ordered = pl.col("event").is_in(["Order Completed", "Order Refunded"])
    return raw.with_columns(
        pl.when(ordered).then(_number("price") * _number("quantity").fill_null(1)).alias(_ITEM + "amount"),
        # A basket's rows share a message; an id of an event is given once.
        pl.when(pl.col("_place") == 0)
        .then(pl.col("messageId"))
        .otherwise(pl.concat_str("messageId", pl.lit("/"), pl.col("_place")))
        .alias(_ITEM + "event_id")
        if "messageId" in raw.columns
        else pl.lit(None, dtype=pl.String).alias(_ITEM + "event_id"),
    )


SEGMENT = Dialect(
    name="segment",
    marks=("anonymousId", "event", "properties"),
    columns={
        schema.USER: "userId",
        schema.SESSION: "anonymousId",
        schema.TYPE: "COALESCE(event, type)",
        schema.TIME: "timestamp",
        schema.ARRIVED: "receivedAt",
        schema.ITEM: f'COALESCE("{_ITEM}product_id", "{_ITEM}sku")',
        schema.QUANTITY: f'"{_ITEM}quantity"',
        schema.AMOUNT: f'"{_ITEM}amount"',
        schema.TEXT: 'COALESCE("properties.query", "properties.review_body")',
        schema.EVENT: f'"{_ITEM}event_id"',
    },
    item_columns={
        schema.TITLE: f'"{_ITEM}name"',
        schema.BRAND: f'"{_ITEM}brand"',
        schema.CATEGORY: f'"{_ITEM}category"',
        schema.PRICE: f'"{_ITEM}price"',
    },
    event_types={
        "Order Completed": schema.BUY,
        "Order Refunded": RETURN,
        "Product Viewed": "view",
        "Product List Viewed": "list",
        "Product Clicked": "click",
        "Product Added": "cart",
        "Product Removed": schema.REMOVE,
        "Cart Viewed": "view_cart",
        "Product Added to Wishlist": "wish",
        "Checkout Started": "checkout",
        "Products Searched": "search",
        "Product Reviewed": "review",
        "Promotion Viewed": "impression",
        "Promotion Clicked": "click",
    },
    unfold=_segment,
)


# --- Shopify: the CSV export of orders, a row a line item, the order's own facts on its first row only. ---

_ORDER = ("Email", "Created at", "Cancelled at", "Financial Status", "Refunded Amount", "Subtotal", "Currency", "Id")


def _shopify(raw: pl.DataFrame) -> pl.DataFrame:
    """Line items as sales, and each order's refund as one more row, at its cancellation or else at the export's end.

    The export does not date a refund; at the order's own time it would tell what nobody knew then.
    """
    there = [name for name in _ORDER if name in raw.columns]
    raw = raw.with_columns(pl.col(name).forward_fill().over("Name") for name in there)
    raw = _filled(raw, ["Email", "Lineitem sku", "Cancelled at", "Financial Status"], pl.String)
    raw = _filled(raw, ["Lineitem discount", "Refunded Amount", "Subtotal"], pl.Float64)
    sold = raw.filter(pl.col("Lineitem name").is_not_null()).with_columns(
        pl.lit(schema.BUY).alias("_type"),
        (
            _plain_number("Lineitem quantity") * _plain_number("Lineitem price")
            - _plain_number("Lineitem discount").fill_null(0)
        ).alias("_amount"),
        pl.col("Created at").cast(pl.String).alias("_time"),
    )
    back = pl.max_horizontal(
        _plain_number("Refunded Amount").fill_null(0),
        pl.when(pl.col("Financial Status") == "voided").then(_plain_number("Subtotal")).fill_null(0),
    )
    last = raw["Created at"].cast(pl.String).max()
    refunds = (
        raw.unique("Name", keep="first", maintain_order=True)
        .filter(back > 0)
        .with_columns(
            pl.lit(RETURN).alias("_type"),
            back.alias("_amount"),
            pl.coalesce(pl.col("Cancelled at").cast(pl.String), pl.lit(last, dtype=pl.String)).alias("_time"),
            pl.lit(None).alias("Lineitem sku"),
            pl.lit(None).alias("Lineitem name"),
            pl.lit(None).alias("Lineitem quantity"),
        )
    )
    return pl.concat([sold, refunds], how="vertical_relaxed")


SHOPIFY = Dialect(
    name="shopify",
    marks=("Name", "Financial Status", "Created at", "Lineitem name", "Lineitem price", "Lineitem quantity"),
    columns={
        schema.USER: "Email",
        schema.SESSION: "Name",
        schema.TYPE: "_type",
        schema.TIME: "_time",
        schema.ITEM: 'COALESCE("Lineitem sku", "Lineitem name")',
        schema.QUANTITY: "Lineitem quantity",
        schema.AMOUNT: "_amount",
    },
    item_columns={schema.TITLE: "Lineitem name", schema.BRAND: "Vendor", schema.PRICE: "Lineitem price"},
    unfold=_shopify,
)

DIALECTS = {one.name: one for one in (GA4, SEGMENT, SHOPIFY)}


def _exploded(raw: pl.DataFrame, column: str, names: list[str]) -> pl.DataFrame:
    """A row for each element of an array of records, their fields as `item.NAME`; an empty array keeps its row.

    `_row` is the row of `raw` and `_place` the number within the array.
    """
    raw = raw.with_row_index("_row")
    if not isinstance(raw.schema.get(column), pl.List):
        raw = raw.drop(column, strict=False).with_columns(pl.lit(0).alias("_place"))
        return _filled(raw, [_ITEM + name for name in names], pl.String)
    raw = raw.explode(column, empty_as_null=True)
    place = pl.int_range(pl.len()).over("_row").alias("_place")
    if not isinstance(raw.schema[column], pl.Struct):
        raw = raw.drop(column).with_columns(place)
        return _filled(raw, [_ITEM + name for name in names], pl.String)
    there = {one.name for one in raw.schema[column].fields}  # type: ignore[attr-defined]
    fields = [
        pl.col(column).struct.field(name).cast(pl.String).alias(_ITEM + name)
        if name in there
        else pl.lit(None, dtype=pl.String).alias(_ITEM + name)
        for name in names
    ]
    return raw.with_columns(place, *fields).drop(column)


def _filled(raw: pl.DataFrame, names: list[str], dtype: type[pl.DataType]) -> pl.DataFrame:
    """With the columns that an export may leave out, empty."""
    return raw.with_columns(pl.lit(None, dtype=dtype).alias(name) for name in names if name not in raw.columns)


def _number(name: str) -> pl.Expr:
    return pl.col(_ITEM + name).cast(pl.Float64, strict=False)


def _plain_number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64, strict=False)
