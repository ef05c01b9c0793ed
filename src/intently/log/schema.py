"""Column names of a log, and the check that a table has them with the right types."""

from __future__ import annotations

import polars as pl

USER = "user_id"
ITEM = "item_id"
TYPE = "event_type"
TIME = "timestamp"
ARRIVED = "arrived_at"
QUANTITY = "quantity"
AMOUNT = "amount"
SESSION = "session_id"
TEXT = "text"
EVENT = "event_id"
ABOUT = "about"

TITLE = "title"
CATEGORY = "category"
BRAND = "brand"
PRICE = "price"
DESCRIPTION = "description"

BUY = "buy"
RETURN = "return"
CART = "cart"
REMOVE = "remove"

# The event types that have a meaning of ours or a usual one; a shop may have others.
TYPES = (
    *("view", "search", CART, REMOVE, BUY, RETURN, "review", "rating"),
    *("impression", "click", "mailing", "coupon", "message", "support", "leave"),
)

# What is done to a customer, or noted of them, rather than what they do.
PASSIVE = ("impression", "mailing", "coupon", "tag")

CLOCK = pl.Datetime("us", "UTC")

# What a column holds, in a word; what is none of these is OTHER.
WORDS, NUMBER, FLAG, OTHER = "text", "number", "flag", "other"

REQUIRED_EVENTS = (TYPE, TIME)
REQUIRED_ITEMS = (ITEM, TITLE)
REQUIRED_USERS = (USER,)

_TEXTS = {TYPE, SESSION, TEXT, TITLE, CATEGORY, BRAND, DESCRIPTION}
_NUMBERS = {QUANTITY, AMOUNT, PRICE}
_IDS = {USER, ITEM, EVENT, ABOUT}
_TIMES = {TIME, ARRIVED}


def fault_of(column: str, dtype: pl.DataType) -> str | None:
    """What is wrong with the type of a known column, or None."""
    wanted = None
    if column in _TEXTS and dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        wanted = "text"
    if column in _NUMBERS and not (dtype.is_numeric() or dtype == pl.Null):
        wanted = "a number"
    if column in _IDS and not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Null)):
        wanted = "text or a whole number"
    if column in _TIMES and not isinstance(dtype, pl.Datetime):
        wanted = "a date with a time"
    return None if wanted is None else f"column {column!r} holds {dtype} where {wanted} is needed"


def kind_of(dtype: pl.DataType) -> str:
    """What a column of this type holds, in a word."""
    if dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return WORDS
    if dtype == pl.Boolean:
        return FLAG
    return NUMBER if dtype.is_integer() or dtype.is_float() else OTHER
