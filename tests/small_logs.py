"""Logs that fit on a page, and random ones: what the tests of every room are built on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import strategies as st

from intently.log import schema
from intently.log.log import Log

START = datetime(2024, 1, 1, tzinfo=UTC)
STEP = timedelta(hours=6)


def day(number: float) -> datetime:
    """Midnight (or a fraction) of a day after the start of the small logs."""
    return START + timedelta(days=number)


def tiny() -> Log:
    """Thirty days, three customers, four items; ann and bo buy, cy only looks."""
    rows = [
        # user, item, type, day, quantity, amount
        ("ann", 1, "view", 0.5, None, None),
        ("ann", 1, "buy", 1.0, 2.0, 10.0),
        ("ann", 2, "buy", 1.0, 1.0, 3.0),
        ("bo", 2, "buy", 2.0, 1.0, 3.0),
        ("cy", 3, "view", 3.0, None, None),
        ("ann", 3, "buy", 9.0, 1.0, 20.0),
        ("bo", 1, "view", 10.0, None, None),
        ("bo", 1, "buy", 12.0, 3.0, 15.0),
        ("ann", 1, "buy", 20.0, 1.0, 5.0),
        ("cy", 4, "view", 25.0, None, None),
    ]
    names = (schema.USER, schema.ITEM, schema.TYPE, "day", schema.QUANTITY, schema.AMOUNT)
    events = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    events = events.with_columns(pl.Series(schema.TIME, [day(row[3]) for row in rows])).drop("day")
    items = pl.DataFrame(
        {
            schema.ITEM: [1, 2, 3, 4],
            schema.TITLE: ["green tea", "rice", "winter coat", "雨伞"],
            schema.CATEGORY: ["drinks", "food", "clothes", None],
        }
    )
    return Log.of(events, items, observed_from=START, observed_until=day(30))


@dataclass(frozen=True)
class Event:
    """One line of a random log, as plain Python."""

    user: str
    item: int | None
    kind: str
    time: datetime
    arrived: datetime | None
    amount: float

    @property
    def known(self) -> datetime:
        """When it could be known."""
        return self.time if self.arrived is None else max(self.time, self.arrived)


def log_of(events: list[Event], until: datetime | None = None) -> Log:
    """The log that holds these events."""
    table = pl.DataFrame(
        {
            schema.USER: [event.user for event in events],
            schema.ITEM: [event.item for event in events],
            schema.TYPE: [event.kind for event in events],
            schema.TIME: [event.time for event in events],
            schema.ARRIVED: [event.arrived for event in events],
            schema.QUANTITY: [1.0] * len(events),
            schema.AMOUNT: [event.amount for event in events],
        },
        schema_overrides={schema.ITEM: pl.Int64, schema.ARRIVED: schema.CLOCK, schema.TIME: schema.CLOCK},
    )
    items = pl.DataFrame(
        {
            schema.ITEM: list(range(5)),
            schema.TITLE: [f"thing {n}" for n in range(5)],
            schema.CATEGORY: ["a", "b", "a", None, "c"],
        }
    )
    return Log.of(table, items, observed_from=START, observed_until=until or START + 60 * STEP)


# A coarse grid of times, so that ties and edges are common rather than rare.
TIMES = st.integers(0, 40).map(lambda step: START + step * STEP)

EVENTS = st.lists(
    st.builds(
        Event,
        user=st.sampled_from(["ann", "bo", "cy"]),
        item=st.none() | st.integers(0, 4),
        kind=st.sampled_from(["view", "buy", "search"]),
        time=TIMES,
        arrived=st.none() | TIMES,
        amount=st.integers(0, 50).map(float),
    ),
    min_size=1,
    max_size=25,
)

# Times to ask at: on the grid and a microsecond to either side of it.
ASKED_AT = st.builds(lambda at, shift: at + timedelta(microseconds=shift), TIMES, st.sampled_from([-1, 0, 1]))
