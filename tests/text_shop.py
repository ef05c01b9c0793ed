"""A shop in which customers write: what they write, and what an agent says of it later."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl

from intently.contract import EachEvent, OneOf, Task, YesNo
from intently.log import schema
from intently.log.log import Log
from small_logs import START, day

SAID = {
    "refund": ("refund the red thing", "my refund is late", "where is my refund"),
    "parcel": ("where is my parcel", "the parcel is late", "parcel not here"),
    "other": ("good day", "it is blue", "a thing"),
}
TASK = Task(
    name="asked_for",
    asks=EachEvent("support", timedelta(days=7)),
    answer=OneOf(tuple(SAID)),
    horizon=timedelta(days=2),
    truth=pl.col("tag").filter(pl.col(schema.TYPE) == "tag").first(),
    absent=None,
    wording={"en": "What does this message want?", "zh": "这条消息想要什么?"},
    sees=(schema.TEXT,),
)
URGENT = Task(
    name="urgent",
    asks=TASK.asks,
    answer=YesNo(),
    horizon=TASK.horizon,
    truth=(pl.col("tag") == "refund").any(),
    absent=None,
    wording={"en": "Is it urgent?", "zh": "急吗?"},
    sees=(schema.TEXT,),
)


def shop(messages: int = 120, seed: int = 0) -> Log:
    """Messages of twelve customers, each with a purchase before it, tagged a day later."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(messages):
        meant = tuple(SAID)[rng.integers(len(SAID))]
        text = SAID[meant][rng.integers(3)]
        user, when = f"u{number % 12}", float(rng.integers(1, 80))
        rows.append((user, int(rng.integers(4)), "buy", day(when - 0.5), f"b{number}", None, None, None, 10.0))
        rows.append((user, None, "support", day(when), f"m{number}", None, text, None, None))
        rows.append((user, None, "tag", day(when + 1), f"t{number}", f"m{number}", None, meant, None))
    names = (schema.USER, schema.ITEM, schema.TYPE, schema.TIME, schema.EVENT, schema.ABOUT, schema.TEXT, "tag")
    kinds = {schema.ITEM: pl.Int64, schema.TEXT: pl.String, "tag": pl.String, schema.ABOUT: pl.String}
    events = pl.DataFrame(
        rows, schema=[*names, schema.AMOUNT], schema_overrides=kinds, orient="row", infer_schema_length=None
    )
    items = pl.DataFrame({schema.ITEM: range(4), schema.TITLE: ["red thing", "green thing", "blue thing", "old thing"]})
    return Log.of(events, items, observed_from=START, observed_until=day(90))
