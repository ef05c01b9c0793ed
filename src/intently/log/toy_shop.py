"""A synthetic shop whose truth is known: made-up customers, items and texts, drawn from a planted process.

Nothing in it happened. It serves to test: what a model finds can be compared with the best there is to find.
The process is in `toy_process.py`, its formulas in docs/toy-shop.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.errors import ConfigError
from intently.log import schema
from intently.log import toy_events as around
from intently.log.log import Log
from intently.log.pack import Array
from intently.log.toy_planted import Planted
from intently.log.toy_process import ITEMS_PER_CATEGORY, Constants, Looks, Process
from intently.log.toy_words import CATEGORIES, OF_MONEY, QUERIES, SENTIMENTS, SIZES, STYLES, SUPPORT

NOTE = "Synthetic: made up by intently toy. No customer, item or event of it is real."
START = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday

LABELS = {
    "sentiment": SENTIMENTS,
    "support": tuple(SUPPORT),
    "ad_response": ("no", "yes"),
    "next_event": ("view", "cart", "buy", "search", "leave"),
}

_CHINESE = 0.5
_OFFLINE = 0.05
_STEP_SECONDS = 15
# Searching, viewing, putting in the cart and buying, in this order at each look.
_STEPS = 4


def read(customers: int = 1500, days: int = 280, seed: int = 0, constants: Constants | None = None) -> Log:
    """A synthetic log of `days` whole days from Monday 2024-01-01, UTC."""
    return plant(customers, days, seed, constants)[0]


def plant(
    customers: int = 1500, days: int = 280, seed: int = 0, constants: Constants | None = None
) -> tuple[Log, Planted]:
    """The synthetic log with the truth that was planted in it; the same for the same arguments."""
    if customers < 1 or days < 1:
        raise ConfigError(
            f"A toy shop of {customers} customers and {days} days is empty.", mend="Give at least one of each."
        )
    rng = np.random.default_rng(seed)
    process = Process.drawn(customers, rng, constants)
    states, pairs = process.walk(*process.first(rng), days, rng)
    language = (rng.random(customers) < _CHINESE).astype(np.int64)
    nouns = np.array([noun for _, names in CATEGORIES.values() for noun in names])
    nouns = nouns[np.arange(len(process.catalogue.price)) // 5]  # five sizes of each noun
    looks = process.looks(np.arange(customers), states, 0, rng)
    item = process.wanted(looks.customer, pairs[looks.day, looks.customer], looks.day, rng)
    visits = pl.concat(list(_visits(process, looks, item, language, nouns, rng)), how="diagonal")
    bought = visits.filter(pl.col(schema.TYPE) == schema.BUY)
    columns = {"customer": bought["_customer"], "item": bought["_item"], "time": bought["_time"]}
    key = 1 + int(visits[schema.EVENT].max() or 0)  # type: ignore[arg-type]
    shown = around.ads(process, pairs, key, rng)
    key += 2 * len(shown.events)
    arrays = {name: values.to_numpy() for name, values in columns.items()}
    reviewed = around.reviews(process, arrays, language, nouns, key, rng)
    key += 2 * len(reviewed.events)
    asked = around.support(process, days, language, nouns, key, rng)
    parts = [part for made in (shown, reviewed, asked) for part in (made.events, made.facts)]
    users = pl.Series([f"toy-{number:05}" for number in range(1, customers + 1)], dtype=pl.String)
    items = _items(process)
    until = START + timedelta(days=days)
    events = _dated(pl.concat([visits, *parts], how="diagonal"), users, items[schema.ITEM], until)
    if events.is_empty():
        raise ConfigError(
            f"A toy shop as small as this has no events (customers: {customers}, days: {days}).",
            mend="Give more customers or more days.",
        )
    people = pl.DataFrame({schema.USER: users, "language": np.array(around.LANGUAGES)[language]})
    log = Log.of(events, items, people, observed_from=START, observed_until=until)
    kept = log.events.select(schema.EVENT)
    chances = {"next_event": _next_events(process, visits)}
    for name, made in (("ad_response", shown), ("sentiment", reviewed), ("support", asked)):
        chances[name] = _labelled(name, made.events[schema.EVENT], made.chances)
    chances = {name: frame.join(kept, on=schema.EVENT, how="semi") for name, frame in chances.items()}
    return log, Planted(process, states, pairs, users, items[schema.ITEM], chances, START, seed)


def write(log: Log, planted: Planted, folder: Path) -> None:
    """Write the log in our schema with its note, and the planted truth beside it.

    `planted.json` has the constants and labels, `planted.parquet` each customer's traits and latent days,
    `planted_events.parquet` the chances of each label of the events that are asked about.
    """
    log.write(folder)
    manifest = folder / "log.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"note": NOTE}, indent=1) + "\n")
    process = planted.process
    catalogue = {name: np.asarray(values).tolist() for name, values in asdict(process.catalogue).items()}
    content = {
        "note": NOTE,
        "made_with": {"customers": len(process.customers), "days": len(planted.states), "seed": planted.seed},
        "start": planted.start.isoformat(),
        "categories": list(CATEGORIES),
        "constants": asdict(process.constants),
        "catalogue": catalogue,
        "labels": LABELS,
    }
    (folder / "planted.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    traits = {name: getattr(process.customers, name) for name in ("rate", "cart", "taste", "style", "favourite")}
    pl.DataFrame(
        {schema.USER: planted.user_ids}
        | traits
        | {
            "busy": planted.states.T,
            "main": planted.pairs.T // len(CATEGORIES),
            "second": planted.pairs.T % len(CATEGORIES),
        }
    ).write_parquet(folder / "planted.parquet")
    rows = [
        frame.select(
            pl.lit(name).alias("question"), schema.EVENT, pl.concat_list(pl.exclude(schema.EVENT)).alias("chances")
        )
        for name, frame in planted.chances.items()
    ]
    pl.concat(rows).write_parquet(folder / "planted_events.parquet")


def _visits(
    process: Process, looks: Looks, item: Array, language: Array, nouns: Array, rng: np.random.Generator
) -> Iterator[pl.DataFrame]:
    """Searches, views, carts and buys of all looks; an event's id is its place in the funnel of its look."""
    count = int(looks.visit[-1]) + 1 if len(looks.visit) else 0
    hour = rng.choice(np.arange(7, 23), size=count, p=_hours())
    begin = hour * 3600.0 + rng.uniform(0, 3600, count)
    offline = rng.random(count) < _OFFLINE
    late = rng.uniform(1, 36, count) * 3600
    searched = rng.random(len(item)) < process.constants.search
    units, amount = process.paid(looks.customer, item, rng)
    for step, (kind, some) in enumerate(
        (("search", searched), ("view", None), ("cart", looks.carted), (schema.BUY, looks.bought))
    ):
        rows = np.arange(len(item)) if some is None else np.flatnonzero(some)
        visit, place = looks.visit[rows], looks.place[rows]
        within = (place * _STEPS + step + rng.random(len(rows)) * 0.9) * _STEP_SECONDS
        time = looks.day[rows] * around.DAY + begin[visit] + within
        frame = pl.DataFrame(
            {
                "_customer": looks.customer[rows],
                "_item": item[rows],
                "_time": time,
                schema.SESSION: visit,
                schema.EVENT: rows * _STEPS + step,
            }
        ).with_columns(pl.lit(kind).alias(schema.TYPE), pl.format("v{}", schema.SESSION).alias(schema.SESSION))
        if kind == "search":
            who = looks.customer[rows]
            spends = process.constants.wording * np.log(process.customers.taste[who])
            texts = _queries(item[rows], language[who], spends, nouns, rng)
            frame = frame.drop("_item").with_columns(pl.Series(schema.TEXT, texts, dtype=pl.String))
        if kind in ("search", "view"):
            # What an app that was offline looked at is learned of later; what the till has done is known at once.
            known = pl.Series("_known", np.where(offline[visit], time + late[visit], np.nan)).fill_nan(None)
            frame = frame.with_columns(known)
        if kind == schema.BUY:
            bought = pl.Series(schema.QUANTITY, units[rows].astype(np.float64))
            frame = frame.with_columns(bought, pl.Series(schema.AMOUNT, amount[rows].round(2)))
        yield frame


def _queries(item: Array, language: Array, spends: Array, nouns: Array, rng: np.random.Generator) -> list[str]:
    """A query for each item, the likelier one that speaks of money as the customer `spends` it (0: all alike)."""
    categories = [(name, zh) for name, (zh, _) in CATEGORIES.items()]
    running = np.cumsum(np.exp(spends[:, None] * np.array(OF_MONEY)), axis=1)
    choice = (running <= (rng.random(len(item)) * running[:, -1])[:, None]).sum(axis=1)
    texts = []
    for number, tongue, chosen in zip(item, language, choice, strict=True):
        texts.append(
            QUERIES[around.LANGUAGES[tongue]][chosen].format(
                noun=nouns[number][tongue],
                style=STYLES[number % len(STYLES)][1 + tongue],
                category=categories[number // ITEMS_PER_CATEGORY][tongue],
            )
        )
    return texts


def _hours() -> Array:
    """How visits spread over the hours 7 to 22, UTC; none runs over midnight."""
    weight = 1 + np.exp(-(((np.arange(7, 23) - 12.5) / 2) ** 2)) + 2 * np.exp(-(((np.arange(7, 23) - 20) / 2) ** 2))
    return np.asarray(weight / weight.sum())


def _next_events(process: Process, visits: pl.DataFrame) -> pl.DataFrame:
    """What the customer does next in the visit after each of its events, by the law of the funnel."""
    constants = process.constants
    on = constants.again * np.array([1 - constants.search, 0, 0, constants.search, 0])  # view, cart, buy, search, leave
    on[4] = 1 - constants.again
    cart = process.customers.cart[visits["_customer"].to_numpy()][:, None]
    kind = visits[schema.TYPE].to_numpy()[:, None]
    after_view = cart * np.eye(5)[1] + (1 - cart) * on
    after_cart = constants.checkout * np.eye(5)[2] + (1 - constants.checkout) * on
    chance = np.where(kind == "search", np.eye(5)[0], np.where(kind == "view", after_view, on))
    chance = np.where(kind == "cart", after_cart, chance)
    return _labelled("next_event", visits[schema.EVENT], chance)


def _labelled(question: str, event: pl.Series, chances: Array) -> pl.DataFrame:
    columns = {label: chances[:, number].astype(np.float32) for number, label in enumerate(LABELS[question])}
    return pl.DataFrame({schema.EVENT: event} | columns)


def _items(process: Process) -> pl.DataFrame:
    rows = []
    for number, price in enumerate(process.catalogue.price):
        category, (zh, names) = list(CATEGORIES.items())[number // ITEMS_PER_CATEGORY]
        noun = names[number % ITEMS_PER_CATEGORY // 5]
        brand, style = STYLES[number % len(STYLES)][0], STYLES[number % len(STYLES)][1:]
        size = SIZES[number % 5]
        title = f"{size[0]} {style[0]} {noun[0]} {size[1]}{style[1]}{noun[1]}"
        rows.append((1001 + number, title, category, brand, float(price), f"{category} {zh} (synthetic)"))
    names_ = (schema.ITEM, schema.TITLE, schema.CATEGORY, schema.BRAND, schema.PRICE, schema.DESCRIPTION)
    return pl.DataFrame(rows, schema=list(names_), orient="row")


def _dated(events: pl.DataFrame, users: pl.Series, items: pl.Series, until: datetime) -> pl.DataFrame:
    """Numbers as ids and seconds as times; what is not known by `until` is not in the log."""

    def clock(name: str) -> pl.Expr:
        return (pl.lit(START) + pl.duration(microseconds=(pl.col(name) * 1e6).cast(pl.Int64))).cast(schema.CLOCK)

    dated = events.with_columns(
        users.gather(events["_customer"]).alias(schema.USER),
        pl.Series(schema.ITEM, items.to_numpy()[events["_item"].fill_null(0).to_numpy()]),
        clock("_time").alias(schema.TIME),
        clock("_known").alias(schema.ARRIVED),
    ).with_columns(pl.when(pl.col("_item").is_not_null()).then(schema.ITEM).alias(schema.ITEM))
    known = pl.max_horizontal(schema.TIME, schema.ARRIVED)
    return dated.filter(known < until).drop("_customer", "_item", "_time", "_known").sort(schema.TIME, schema.EVENT)
