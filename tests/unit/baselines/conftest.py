"""A small shop whose customers have habits."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.log.log import Log

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="session")
def habits() -> Log:
    """Twenty weeks of forty customers and twenty items in four categories; five more items were never bought.

    Customer u buys item u % 20 every week, item 7 * u % 20 every second week, and now and then another.
    Item k is of category k % 4.
    """
    draws = np.random.default_rng(5)
    rows = []
    for week in range(20):
        for user in range(40):
            bought = {user % 20} | ({7 * user % 20} if (week + user) % 2 else set())
            bought |= {int(draws.integers(20))} if draws.random() < 0.3 else set()
            when = START + timedelta(days=7 * week + user % 6, hours=9)
            rows += [(f"u{user:02}", f"i{item:02}", "buy", when, 1.0, 2.0 + item) for item in sorted(bought)]
    names = ["user_id", "item_id", "event_type", "timestamp", "quantity", "amount"]
    ids = [f"i{item:02}" for item in range(20)] + [f"new{item}" for item in range(5)]
    items = pl.DataFrame({"item_id": ids, "title": ids, "category": [f"c{number % 4}" for number in range(25)]})
    return Log.of(
        pl.DataFrame(rows, schema=names, orient="row"),
        items,
        observed_from=START,
        observed_until=START + timedelta(days=140),
    )
