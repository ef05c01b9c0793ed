"""A seeded shop whose customers have lasting habits: what a predictor can learn from, in a tenth of a second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from intently.log import schema
from intently.log.log import Log

START = datetime(2024, 1, 1, tzinfo=UTC)
UNTIL = START + timedelta(weeks=40)
CUSTOMERS, ITEMS, CATEGORIES = 120, 200, 8
COLOURS = ("red", "green", "blue", "old")


def planted(seed: int = 7) -> Log:
    """Forty weeks of 120 customers and 200 items in eight categories; the last sixteen items are never sold.

    A customer visits at their own rate, between once in ten weeks and twice a week, prefers two categories and
    looks before buying. `income` is the rate with noise: a trait, as informative of the past as of the
    future. `town` is drawn by lot.
    """
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(-0.7, 0.8, CUSTOMERS)).clip(0.1, 2.0)
    liked = rng.integers(CATEGORIES, size=(CUSTOMERS, 2))
    price = rng.integers(100, 3000, ITEMS) / 100
    visits = rng.poisson(rate * 40)
    user = np.repeat(np.arange(CUSTOMERS), visits)
    time = rng.integers(0, 40 * 7 * 24 * 60, len(user))
    lines = rng.integers(2, 6, len(user))
    user, time = np.repeat(user, lines), np.repeat(time, lines)
    anything = rng.integers(CATEGORIES, size=len(user))
    category = np.where(rng.random(len(user)) < 0.8, liked[user, rng.integers(2, size=len(user))], anything)
    # Item k is of category k % 8, and the first of each category sell best.
    item = category + CATEGORIES * np.minimum(rng.geometric(0.12, len(user)) - 1, 22)
    buys = rng.random(len(user)) < 0.6
    units = rng.integers(1, 4, len(user))
    events = pl.DataFrame(
        {
            schema.USER: [f"c{number:03}" for number in user],
            schema.ITEM: item + 1000,
            schema.TYPE: np.where(buys, schema.BUY, "view"),
            schema.TIME: pl.Series((time * 60_000_000).astype(np.int64)).cast(pl.Duration("us")) + START,
            schema.QUANTITY: pl.Series(units.astype(np.float64)).set(pl.Series(~buys), None),
            schema.AMOUNT: pl.Series((units * price[item]).round(2)).set(pl.Series(~buys), None),
        }
    )
    items = pl.DataFrame(
        {
            schema.ITEM: np.arange(ITEMS) + 1000,
            schema.TITLE: [f"{COLOURS[number % 4]} thing {number}" for number in range(ITEMS)],
            schema.CATEGORY: [f"kind {number % CATEGORIES}" for number in range(ITEMS)],
            schema.PRICE: price,
        }
    )
    users = pl.DataFrame(
        {
            schema.USER: [f"c{number:03}" for number in range(CUSTOMERS)],
            "income": (rate * np.exp(rng.normal(0, 0.4, CUSTOMERS)) * 30_000).round(),
            "town": rng.choice(["north", "south", "west"], CUSTOMERS),
        }
    )
    return Log.of(events, items, users, observed_from=START, observed_until=UNTIL)
