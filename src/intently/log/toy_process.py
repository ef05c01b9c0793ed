"""The process behind the toy shop: how its made-up customers visit, look and buy. Formulas in docs/toy-shop.md.

All that moves from day to day is a finite Markov chain: a customer is busy or quiet, and their interest is a pair
(main, second) of categories. So what the process will do is known in closed form, or drawn from the same code
that made the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intently.log.pack import Array
from intently.log.toy_words import CATEGORIES, STYLES

ITEMS_PER_CATEGORY = 25
QUIET, BUSY = 0, 1


@dataclass(frozen=True)
class Constants:
    """What is the same for every customer; chances a day where nothing else is said."""

    rate: tuple[float, float, float, float] = (1.4, 0.9, 0.3, 4.0)  # median, spread of the log, least, most
    cart: tuple[float, float] = (-1.7, 1.3)  # mean and spread of the log odds
    taste: float = 0.5  # spread of the log
    quiet: float = 0.1  # visits while quiet, as a part of those while busy
    to_quiet: float = 1 / 600
    to_busy: float = 1 / 400
    again: float = 0.25  # that a visit goes on to one more look
    search: float = 0.25  # that a look is searched for
    checkout: float = 0.6  # that what is in the cart is bought
    favourite: float = 0.45  # that a look goes to one's favourite of the category
    main: float = 0.6
    second: float = 0.25
    move: float = 1 / 150  # that an interest moves on
    style: float = 2.0  # log odds of one's own style
    more: float = 0.3  # mean of the units after the first
    wording: float = 0.0  # how far the words of a search go with taste
    noise: float = 0.25  # standard deviation of log amount
    weekday: tuple[float, ...] = (0.85, 0.85, 0.9, 0.95, 1.1, 1.25, 1.1)  # Monday first
    sale: tuple[int, int] = (98, 105)  # the days of the sale week, half-open
    sale_lift: float = 1.7
    launches: tuple[int, ...] = (84, 126, 168, 196)  # days on which the late items are launched


@dataclass(frozen=True)
class Catalogue:
    """Items by number: item `i` is of category `i // 25`. Arrays (items,) unless said otherwise.

    `launched` is the day from which an item is there, `popularity` its weight within its category, `quality`
    what reviews speak of; `favoured` (categories,) are weights of categories.
    """

    style: Array
    price: Array
    launched: Array
    popularity: Array
    quality: Array
    favoured: Array


@dataclass(frozen=True)
class Customers:
    """Lasting traits, (customers,) each; `favourite` is an item number for each category, (customers, 12).

    `rate` is visits a day while busy, `cart` the chance that a look ends in the cart, `taste` a factor on prices.
    """

    rate: Array
    cart: Array
    taste: Array
    style: Array
    favourite: Array

    def __len__(self) -> int:
        return len(self.rate)


@dataclass(frozen=True)
class Looks:
    """Looks at items, one row each, visit by visit: `place` counts the looks within a visit."""

    visit: Array
    customer: Array
    day: Array
    place: Array
    carted: Array
    bought: Array

    def where(self, keep: Array) -> Looks:
        """The looks for which a boolean array holds."""
        return Looks(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Process:
    """The toy shop's laws: constants, catalogue and customers; day 0 is a Monday, midnight UTC."""

    constants: Constants
    catalogue: Catalogue
    customers: Customers

    @classmethod
    def drawn(cls, customers: int, rng: np.random.Generator, constants: Constants | None = None) -> Process:
        """A catalogue and customers by lot."""
        constants = constants or Constants()
        median, spread, least, most = constants.rate
        catalogue = _catalogue(constants, rng)
        bare = Customers(
            rate=np.exp(rng.normal(np.log(median), spread, customers)).clip(least, most),
            cart=1 / (1 + np.exp(-rng.normal(*constants.cart, customers))),
            taste=np.exp(rng.normal(0.0, constants.taste, customers)),
            style=rng.integers(len(STYLES), size=customers),
            favourite=np.zeros((customers, len(CATEGORIES)), dtype=np.int64),
        )
        process = cls(constants, catalogue, bare)
        everyone = np.repeat(np.arange(customers), len(CATEGORIES))
        category = np.tile(np.arange(len(CATEGORIES)), customers)
        favourite = process.anything(everyone, category, np.zeros(len(everyone), dtype=np.int64), rng)
        traits = {name: getattr(bare, name) for name in ("rate", "cart", "taste", "style")}
        return cls(constants, catalogue, Customers(**traits, favourite=favourite.reshape(customers, -1)))

    # --- What is known of a day, and of the chains. ---

    def season(self, day: Array) -> Array:
        """Visits of a day as a multiple of an average one."""
        first, after = self.constants.sale
        sale = np.where((day >= first) & (day < after), self.constants.sale_lift, 1.0)
        return np.asarray(self.constants.weekday)[day % 7] * sale

    @property
    def lift(self) -> Array:
        """Visits in each state, (2,), as a multiple of those while busy."""
        return np.array([self.constants.quiet, 1.0])

    @property
    def steps(self) -> Array:
        """Chances from one state to the next day's, (2, 2)."""
        to_busy, to_quiet = self.constants.to_busy, self.constants.to_quiet
        return np.array([[1 - to_busy, to_busy], [to_quiet, 1 - to_quiet]])

    @cached_property
    def shares(self) -> Array:
        """Shares of categories in the looks of each pair main * 12 + second, (144, 12)."""
        k = len(CATEGORIES)
        rest = 1 - self.constants.main - self.constants.second
        table = np.tile(rest * self.catalogue.favoured, (k * k, 1))
        pair = np.arange(k * k)
        table[pair, pair // k] += self.constants.main
        table[pair, pair % k] += self.constants.second
        return table

    @cached_property
    def next_second(self) -> Array:
        """Chances of the new second interest, given the one that becomes the main one, (12, 12)."""
        table = np.tile(self.catalogue.favoured, (len(CATEGORIES), 1))
        np.fill_diagonal(table, 0.0)
        return table / table.sum(axis=1, keepdims=True)

    @cached_property
    def pair_steps(self) -> Array:
        """Chances from one pair to the next day's, (144, 144)."""
        k = len(CATEGORIES)
        steps = (1 - self.constants.move) * np.eye(k * k)
        pair = np.arange(k * k)
        for new in range(k):
            steps[pair, (pair % k) * k + new] += self.constants.move * self.next_second[pair % k, new]
        return steps

    def shares_ahead(self, days: int) -> Array:
        """Expected shares of categories 0 ... days - 1 days ahead of each pair, (days, 144, 12)."""
        found = [self.shares]
        for _ in range(days - 1):
            found.append(self.pair_steps @ found[-1])
        return np.stack(found)

    @cached_property
    def _launched(self) -> Array:
        return np.array([0, *self.constants.launches])

    def epoch(self, day: Array) -> Array:
        """How many launches have been by a day."""
        return np.searchsorted(self._launched, day, side="right") - 1

    @cached_property
    def base(self) -> Array:
        """Chances of items within their category, by epoch, style and category: (epochs, styles, 12, 25)."""
        item = self.catalogue
        there = item.launched[None, :] <= self._launched[:, None]
        own = np.exp(self.constants.style * (item.style[None, :] == np.arange(len(STYLES))[:, None]))
        weight = there[:, None, :] * (own * item.popularity)[None]
        weight = weight.reshape(len(self._launched), len(STYLES), len(CATEGORIES), ITEMS_PER_CATEGORY)
        return weight / weight.sum(axis=3, keepdims=True)

    # --- Draws: the log is made of these, and so is every Monte Carlo answer. ---

    def first(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """State and interest of each customer on day 0; the state is drawn from the stationary law of its chain."""
        n, k = len(self.customers), len(CATEGORIES)
        busy = self.constants.to_busy / (self.constants.to_busy + self.constants.to_quiet)
        main = rng.choice(k, size=n, p=self.catalogue.favoured)
        return (rng.random(n) < busy).astype(np.int8), main * k + self._second(main, rng)

    def walk(self, state: Array, pair: Array, days: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """States and interests of `days` days, the first as given, (days, n) each."""
        states, pairs = np.empty((days, len(state)), dtype=np.int8), np.empty((days, len(pair)), dtype=np.int16)
        leave = np.array([self.constants.to_busy, self.constants.to_quiet])
        states[0], pairs[0] = state, pair
        for day in range(1, days):
            turns = rng.random(len(state)) < leave[states[day - 1]]
            states[day] = states[day - 1] ^ turns
            moves = np.flatnonzero(rng.random(len(pair)) < self.constants.move)
            pairs[day] = pairs[day - 1]
            main = pairs[day - 1, moves] % len(CATEGORIES)
            pairs[day, moves] = main * len(CATEGORIES) + self._second(main, rng)
        return states, pairs

    def looks(self, customer: Array, states: Array, start: int, rng: np.random.Generator) -> Looks:
        """Visits and their looks on the days of `states` (days, n), the first of which is day `start`.

        `customer` (n,) says who each column is; in the answer `customer` is the column, `day` counts from `start`.
        """
        season = self.season(start + np.arange(len(states)))
        visits = rng.poisson(self.lift[states] * season[:, None] * self.customers.rate[customer][None, :])
        day, column = np.nonzero(visits)
        often = visits[day, column]
        day, column = np.repeat(day, often), np.repeat(column, often)
        length = rng.geometric(1 - self.constants.again, len(day))
        visit = np.repeat(np.arange(len(day)), length)
        place = np.arange(len(visit)) - np.repeat(np.cumsum(length) - length, length)
        carted = rng.random(len(visit)) < self.customers.cart[customer[column[visit]]]
        bought = carted & (rng.random(len(visit)) < self.constants.checkout)
        return Looks(visit, column[visit], day[visit], place, carted, bought)

    def wanted(self, customer: Array, pair: Array, day: Array, rng: np.random.Generator) -> Array:
        """The item of each look, by customer, interest and day of the shop; (n,) item numbers."""
        # Rows of 144 x 12: which category, from the shares of the pair.
        category = _picked(np.cumsum(self.shares, axis=1)[pair], rng)
        chosen = self.anything(customer, category, self.epoch(day), rng)
        favourite = rng.random(len(customer)) < self.constants.favourite
        return np.where(favourite, self.customers.favourite[customer, category], chosen)

    def anything(self, customer: Array, category: Array, epoch: Array, rng: np.random.Generator) -> Array:
        """An item of a category that is not looked for as a favourite, (n,) item numbers."""
        running = np.cumsum(self.base, axis=3)[epoch, self.customers.style[customer], category]
        return category * ITEMS_PER_CATEGORY + _picked(running, rng)

    def paid(self, customer: Array, item: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Units and money of each purchase, (n,) each."""
        units = 1 + rng.poisson(self.constants.more, len(item))
        noise = rng.normal(-(self.constants.noise**2) / 2, self.constants.noise, len(item))
        return units, units * self.catalogue.price[item] * self.customers.taste[customer] * np.exp(noise)

    def _second(self, main: Array, rng: np.random.Generator) -> Array:
        return _picked(np.cumsum(self.next_second, axis=1)[main], rng)


def _picked(running: Array, rng: np.random.Generator) -> Array:
    """A column for each row of running sums of chances, (n,)."""
    # Sums may end a rounding error below 1.
    column = (running <= rng.random((len(running), 1)) * running[:, -1:]).sum(axis=1)
    return np.minimum(column, running.shape[1] - 1)


def _catalogue(constants: Constants, rng: np.random.Generator) -> Catalogue:
    categories, items = len(CATEGORIES), len(CATEGORIES) * ITEMS_PER_CATEGORY
    place = np.concatenate([rng.permutation(ITEMS_PER_CATEGORY) for _ in range(categories)])
    launched = np.zeros(items, dtype=np.int64)
    late = rng.choice(items, size=items // 10, replace=False)
    launched[late] = rng.choice(constants.launches, size=len(late))
    level = np.repeat(np.exp(rng.normal(np.log(20.0), 0.6, categories)), ITEMS_PER_CATEGORY)
    favoured = rng.dirichlet(np.full(categories, 8.0))
    return Catalogue(
        style=np.arange(items) % len(STYLES),
        price=(level * np.exp(rng.normal(0.0, 0.4, items))).round(2).clip(1.0, None),
        launched=launched,
        popularity=1 / (1.0 + place) ** 0.7,
        quality=rng.normal(0.0, 1.0, items),
        favoured=favoured,
    )
