"""What was planted in a toy shop, and what its process will do from any midnight on, customer by customer.

All of it is told from the latent state of the day that begins: nothing that is drawn later is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from intently.errors import ConfigError
from intently.log import schema
from intently.log.pack import Array, codes
from intently.log.toy_process import BUSY, ITEMS_PER_CATEGORY, QUIET, Process
from intently.log.toy_words import CATEGORIES

_COLUMNS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Lines:
    """Purchases drawn from the process, one row each: `column` is the drawn window that it is in."""

    column: Array
    item: Array
    units: Array
    amount: Array


@dataclass(frozen=True)
class Planted:
    """The laws of a toy shop and the latent days it had: `states` and `pairs` (days, customers).

    `user_ids` and `item_ids` are in the order of the process. `chances` gives, per question about an event (sentiment,
    support, ad_response, next_event), the probability of each label by `event_id`.
    """

    process: Process
    states: Array
    pairs: Array
    user_ids: pl.Series
    item_ids: pl.Series
    chances: Mapping[str, pl.DataFrame]
    start: datetime
    seed: int

    def day(self, at: datetime) -> int:
        """The day of the shop that begins at `at`. Raises ConfigError where none does."""
        day, rest = divmod(at - self.start, timedelta(days=1))
        if rest or not 0 <= day < len(self.states):
            raise ConfigError(
                f"No day of the toy shop begins at {at}.",
                mend=f"Ask at a midnight UTC from {self.start:%Y-%m-%d} on, within {len(self.states)} days.",
            )
        return day

    def any_purchase(self, day: int, days: int) -> Array:
        """The chance that each customer buys something in the `days` from `day` on, (customers,). Closed form."""
        who, constants = self.process.customers, self.process.constants
        bought = who.cart * constants.checkout
        # A visit has a geometric number of looks; this is the chance that one of them is bought.
        visit_buys = 1 - (1 - constants.again) * (1 - bought) / (1 - constants.again * (1 - bought))
        nothing = np.zeros((len(who), 2))
        nothing[np.arange(len(who)), self.states[day]] = 1.0
        for ahead in range(days):
            season = self.process.season(np.array(day + ahead))
            nothing = nothing if ahead == 0 else nothing @ self.process.steps
            nothing = nothing * np.exp(-np.outer(who.rate * visit_buys * season, self.process.lift))
        return 1 - nothing.sum(axis=1)

    def lines(self, day: int, days: int) -> Array:
        """Expected purchase lines of each customer and day, (days, customers). Closed form."""
        who, constants = self.process.customers, self.process.constants
        a_visit = who.cart * constants.checkout / (1 - constants.again)
        busy = (self.states[day] == BUSY).astype(np.float64)
        found = np.empty((days, len(who)))
        for ahead in range(days):
            lift = self.process.lift[QUIET] * (1 - busy) + self.process.lift[BUSY] * busy
            found[ahead] = who.rate * lift * self.process.season(np.array(day + ahead)) * a_visit
            busy = busy * self.process.steps[BUSY, BUSY] + (1 - busy) * self.process.steps[QUIET, BUSY]
        return found

    def items(self, day: int, days: int) -> Array:
        """Expected purchase lines of each customer and item over the days, (customers, items). Closed form."""
        who, constants = self.process.customers, self.process.constants
        lines, shares = self.lines(day, days), self.process.shares_ahead(days)
        epochs = self.process.epoch(day + np.arange(days))
        n = len(who)
        found: Array = np.zeros((n, len(CATEGORIES), ITEMS_PER_CATEGORY))
        by_category = np.zeros((n, len(CATEGORIES)))
        for epoch in np.unique(epochs):
            some = np.flatnonzero(epochs == epoch)
            weight = sum(lines[ahead][:, None] * shares[ahead][self.pairs[day]] for ahead in some)
            by_category += weight
            found += (1 - constants.favourite) * weight[:, :, None] * self.process.base[epoch][who.style]
        found = found.reshape(n, -1)
        np.add.at(found, (np.arange(n)[:, None], who.favourite), constants.favourite * by_category)
        return found

    def spend(self, day: int, days: int) -> Array:
        """Expected money of each customer over the days, (customers,). Closed form."""
        units = 1 + self.process.constants.more
        return units * self.process.customers.taste * (self.items(day, days) @ self.process.catalogue.price)

    def demand(self, day: int, days: int) -> Array:
        """Expected units of each item over the days, (items,). Closed form."""
        return (1 + self.process.constants.more) * self.items(day, days).sum(axis=0)

    def drawn(self, day: int, days: int, customer: Array, rng: np.random.Generator) -> Iterator[Lines]:
        """Monte Carlo windows of the process, one for each entry of `customer` (repeat one for more of them).

        Comes in parts, with `column` counted over all of them.
        """
        for first in range(0, len(customer), _COLUMNS_AT_ONCE):
            who = customer[first : first + _COLUMNS_AT_ONCE]
            states, pairs = self.process.walk(self.states[day, who], self.pairs[day, who], days, rng)
            looks = self.process.looks(who, states, day, rng)
            looks = looks.where(looks.bought)
            buyer = who[looks.customer]
            item = self.process.wanted(buyer, pairs[looks.day, looks.customer], day + looks.day, rng)
            units, amount = self.process.paid(buyer, item, rng)
            yield Lines(first + looks.customer, item, units, amount)

    def customers_of(self, ids: pl.Series) -> Array:
        """The row in the process of each user id. Raises ConfigError where one is not of this shop."""
        return _places(ids, self.user_ids, schema.USER)

    def items_of(self, ids: pl.Series) -> Array:
        """The number in the process of each item id. Raises ConfigError where one is not of this shop."""
        return _places(ids, self.item_ids, schema.ITEM)


def _places(ids: pl.Series, table: pl.Series, column: str) -> Array:
    found = codes(ids.cast(table.dtype), table)
    if (found < 0).any():
        raise ConfigError(
            f"{column} {ids[int((found < 0).argmax())]!r} is not of this toy shop.",
            mend="Ask about the log that was made together with this planted truth.",
        )
    return found.astype(np.int64)
