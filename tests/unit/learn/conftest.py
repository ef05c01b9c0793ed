"""A tiny reader on the planted shop, with vectors drawn by lot in place of a language model's."""

from datetime import timedelta

import numpy as np
import pytest

from intently.contract import Past, weekly
from intently.learn.reader import SequenceReader
from intently.learn.recipe import Recipe
from intently.tasks.interest import TASK as INTEREST
from intently.tasks.next_item import TASK as NEXT_ITEM
from intently.tasks.purchase_intent import TASK as INTENT
from intently.tasks.purchasing_power import TASK as POWER
from intently.text.verbalise import item_texts
from planted_shop import START, planted

TASKS = (INTENT, POWER, INTEREST, NEXT_ITEM)
UNTIL = START + timedelta(weeks=30)
RECIPE = Recipe(pretrain_epochs=1, epochs=3, negatives=32, threads=1)
SHAPE = {"width": 32, "item_width": 16, "blocks": 1, "attention_heads": 2}


def parts(log, until=UNTIL, tasks=TASKS):
    known = log.before(until)
    found = {}
    for task in tasks:
        examples = task.examples(known, weekly(START + timedelta(weeks=6), until - timedelta(weeks=4)))
        found[task.name] = (examples, Past(known, examples))
    return found


def vectors_of(log):
    texts, _ = item_texts(log.items)
    return np.random.default_rng(0).normal(size=(len(texts), 24)).astype(np.float32)


def fit(log, recipe=RECIPE, **more):
    return SequenceReader(TASKS, recipe, shape=SHAPE).fit(parts(log), vectors=vectors_of(log), **more)


@pytest.fixture(scope="session")
def shop():
    return planted()


@pytest.fixture(scope="session")
def reader(shop):
    return fit(shop)
