"""How sturdy a text reader is: what changes of the words do to its scores and to its metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from intently import metrics
from intently.contract import Examples, Past, Scores
from intently.evaluate.compare import encode as judged
from intently.learn.augment import Change, drop_events, perturbed, reorder, typos
from intently.learn.text_reader import TextReader
from intently.text.story import Story

AS_IT_IS = "as it is"


def unknown_words(share: float = 0.2) -> Change:
    """Words between blanks become letters that no vocabulary has together, with this chance at each."""

    def strange(words: str, rng: np.random.Generator) -> str:
        return " ".join("zqxj" if rng.random() < share else word for word in words.split(" "))

    def change(story: Story, rng: np.random.Generator) -> Story:
        return replace(story, asked=strange(story.asked, rng))

    return change


CHANGES: Mapping[str, Change] = {
    "typos": typos(0.05),
    "dropped events": drop_events(0.2),
    "swapped events": reorder(3),
    "unseen words": unknown_words(0.2),
}


def sturdiness(
    reader: TextReader, examples: Examples, past: Past, changes: Mapping[str, Change] = CHANGES, seed: int = 0
) -> pl.DataFrame:
    """A row for each change: the task's first metric under it, what that loses, and how far scores move on average.

    `loss` is positive where the metric is worse under the change. `movement` is the mean absolute difference of scores.
    """
    task = examples.task
    metric = metrics.of(type(task.answer).__name__, task.metrics)[0]
    stories = reader.teller.tell(examples.hide(), past)
    plain = reader.predict(examples.hide(), past)
    before = metric.value(*judged(task, examples, plain))
    rows = [{"change": AS_IT_IS, "metric": metric.name, "value": before, "loss": 0.0, "movement": 0.0}]
    for name, change in changes.items():
        told = reader.encoded_stories(perturbed(stories, change, seed))
        values = reader.calibration.apply(task, reader.read(told))
        value = metric.value(*judged(task, examples, Scores(task.answer, values, plain.labels)))
        rows.append(
            {
                "change": name,
                "metric": metric.name,
                "value": value,
                "loss": float(metric.goodness(before) - metric.goodness(value)),
                "movement": float(np.abs(values - plain.values).mean()),
            }
        )
    return pl.DataFrame(rows)
