"""The events of the toy shop around its visits: ads, reviews and support, with late facts and planted chances."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from intently.log import schema
from intently.log.pack import Array
from intently.log.toy_process import Process
from intently.log.toy_words import CATEGORIES, ENDINGS, OPENINGS, SENTIMENTS, SUPPORT, VAGUE, Phrases

DAY = 86_400.0
LANGUAGES = ("en", "zh")

IMPRESSION, CLICK = "impression", "click"
REVIEW, RATING = "review", "rating"
SUPPORT_MESSAGE, TAG = "support", "tag"

ADS_A_DAY = 0.08
REVIEWED = 0.25
ASKED_A_DAY = 0.006
# Chances that a review says what was felt, a message is vague, an agent tags rightly, a text mixes languages.
SAYS_IT, IS_VAGUE, TAGS_RIGHTLY, MIXES = 0.9, 0.1, 0.95, 0.08
# How often each intent of SUPPORT is meant, in its order.
INTENTS = np.array([0.24, 0.14, 0.12, 0.08, 0.12, 0.14, 0.1, 0.06])


@dataclass(frozen=True)
class Made:
    """Events of one kind with the facts about them, and each event's chances (n, labels) where they are planted."""

    events: pl.DataFrame
    facts: pl.DataFrame
    chances: Array


def ads(process: Process, pairs: Array, key: int, rng: np.random.Generator) -> Made:
    """Impressions at any hour, half of them aimed at the customer's interest, and the clicks on them."""
    often = rng.poisson(ADS_A_DAY, pairs.shape)
    day, customer = np.nonzero(often)
    day, customer = np.repeat(day, often[day, customer]), np.repeat(customer, often[day, customer])
    n = len(day)
    pair, epoch = pairs[day, customer], process.epoch(day)
    blind = rng.choice(len(CATEGORIES), size=n, p=process.catalogue.favoured)
    wanted = process.wanted(customer, pair, day, rng) // process.base.shape[3]
    category = np.where(rng.random(n) < 0.5, wanted, blind)
    item = process.anything(customer, category, epoch, rng)
    own = process.catalogue.style[item] == process.customers.style[customer]
    chance = _logistic(-2.6 + 4.0 * process.shares[pair, category] + 1.0 * own)
    time = (day + rng.random(n)) * DAY
    event = np.arange(key, key + n)
    clicked = rng.random(n) < chance
    facts = _facts(CLICK, customer, item, time + rng.uniform(2, 600, n), event, event + n)
    return Made(
        _events(IMPRESSION, customer, item, time, event), facts.filter(clicked), np.column_stack([1 - chance, chance])
    )


def reviews(
    process: Process, bought: Mapping[str, Array], language: Array, nouns: Array, key: int, rng: np.random.Generator
) -> Made:
    """Reviews of some purchases, days later, and the rating that is read from each of them later still."""
    some = np.flatnonzero(rng.random(len(bought["time"])) < REVIEWED)
    customer, item = bought["customer"][some], bought["item"][some]
    n = len(some)
    prior = feelings(process.catalogue.quality[item])
    feeling = _drawn(prior, rng)
    said = np.where(rng.random(n) < SAYS_IT, feeling, (feeling + rng.integers(1, 3, n)) % 3)
    # What is said given what is felt, (felt, said): the chance of each feeling, by Bayes.
    confusion = np.full((3, 3), (1 - SAYS_IT) / 2) + np.eye(3) * (SAYS_IT - (1 - SAYS_IT) / 2)
    chance = prior * confusion[:, said].T
    chance /= chance.sum(axis=1, keepdims=True)
    first = np.array(LANGUAGES)[language[customer]]
    second = np.where(rng.random(n) < MIXES, np.where(first == "en", "zh", "en"), first)
    openings = _phrases([OPENINGS[name] for name in SENTIMENTS], said, first, nouns[item], rng)
    endings = _phrases([ENDINGS[name] for name in SENTIMENTS], said, second, nouns[item], rng)
    marks = np.where(first == "zh", ",", ", ")
    texts = [a + mark + b for a, mark, b in zip(openings, marks, endings, strict=True)]
    time = bought["time"][some] + rng.uniform(2, 10, n) * DAY
    event = np.arange(key, key + n)
    rating = np.where(feeling == 1, 3, 1 + feeling * 1.5 + rng.integers(2, size=n))
    later = time + rng.uniform(1, 48, n) * 3600
    facts = _facts(RATING, customer, item, later, event, event + n).with_columns(
        pl.Series("rating", rating), pl.Series("_known", later + rng.uniform(0, 24, n) * 3600)
    )
    return Made(_events(REVIEW, customer, item, time, event).with_columns(pl.Series(schema.TEXT, texts)), facts, chance)


def support(process: Process, days: int, language: Array, nouns: Array, key: int, rng: np.random.Generator) -> Made:
    """Messages to the shop's support, and the intent that an agent tags them with, hours later."""
    often = rng.poisson(ASKED_A_DAY * days, len(process.customers))
    customer = np.repeat(np.arange(len(often)), often)
    n, labels = len(customer), len(SUPPORT)
    meant = rng.choice(labels, size=n, p=INTENTS)
    vague = rng.random(n) < IS_VAGUE
    read = np.where(vague[:, None], INTENTS, np.eye(labels)[meant])
    right = np.full((labels, labels), (1 - TAGS_RIGHTLY) / (labels - 1))
    np.fill_diagonal(right, TAGS_RIGHTLY)
    chance = read @ right
    tag = _drawn(right[meant], rng)
    tongue = np.array(LANGUAGES)[language[customer]]
    noun = nouns[rng.integers(len(nouns), size=n)]
    texts = _phrases([*SUPPORT.values(), VAGUE], np.where(vague, labels, meant), tongue, noun, rng)
    time = rng.random(n) * days * DAY
    event = np.arange(key, key + n)
    facts = _facts(TAG, customer, None, time + rng.uniform(1, 24, n) * 3600, event, event + n).with_columns(
        pl.Series("tag", np.array(list(SUPPORT))[tag])
    )
    events = _events(SUPPORT_MESSAGE, customer, None, time, event).with_columns(pl.Series(schema.TEXT, texts))
    return Made(events, facts, chance)


def feelings(quality: Array) -> Array:
    """Chances of a negative, neutral and positive feeling about items of this quality, (n, 3)."""
    negative, positive = _logistic(-quality - 1.3), _logistic(quality + 0.5)
    return np.column_stack([negative, 1 - negative - positive, positive])


def _logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _drawn(chances: Array, rng: np.random.Generator) -> Array:
    column = (np.cumsum(chances, axis=1) <= rng.random((len(chances), 1))).sum(axis=1)
    return np.minimum(column, chances.shape[1] - 1)


def _phrases(kinds: list[Phrases], kind: Array, language: Array, nouns: Array, rng: np.random.Generator) -> list[str]:
    """One phrase of each kind and language by lot; `nouns` (n, 2) are its noun in English and Chinese."""
    lot = rng.random(len(kind))
    texts = []
    for number, tongue, noun, u in zip(kind, language, nouns, lot, strict=True):
        choices = kinds[number][tongue]
        texts.append(choices[int(u * len(choices))].format(noun=noun[LANGUAGES.index(tongue)]))
    return texts


def _events(kind: str, customer: Array, item: Array | None, time: Array, event: Array) -> pl.DataFrame:
    columns = {"_customer": customer, "_time": time, schema.EVENT: event}
    frame = pl.DataFrame(columns if item is None else columns | {"_item": item})
    return frame.with_columns(pl.lit(kind).alias(schema.TYPE))


def _facts(kind: str, customer: Array, item: Array | None, time: Array, about: Array, event: Array) -> pl.DataFrame:
    return _events(kind, customer, item, time, event).with_columns(pl.Series(schema.ABOUT, about))
