"""Labels given by hand with --labels: read for the one question that they are of, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from intently.cli import console

if TYPE_CHECKING:
    from datetime import datetime

    from intently.contract import Examples, Task
    from intently.log.log import Log


def by_hand(file: Path, tasks: Sequence[Task], log: Log) -> dict[str, Examples]:
    """Labels of a filled-in table, for the one question about events that has labels."""
    from intently.contract import EachEvent, OneOf, YesNo
    from intently.errors import ConfigError, DataError
    from intently.learn.active import labelled_by

    if not file.is_file():
        raise DataError(f"There is no file {file}.", mend="Give the table that suggest-labels wrote.")
    able = [task for task in tasks if isinstance(task.asks, EachEvent) and isinstance(task.answer, OneOf | YesNo)]
    if len(able) != 1:
        raise ConfigError(
            "--labels is for one question about events that has labels; there is "
            f"{', '.join(task.name for task in able) or 'none'}.",
            mend="Name it with --tasks.",
        )
    return {able[0].name: labelled_by(file, able[0], log)}


def labels_used(known: Log, until: datetime, preset: str, given: Examples) -> dict[str, int]:
    """How many labels of a filled-in table were used, were overruled by the log, or lie outside of what is learned."""
    import polars as pl

    from intently.errors import TooFewExamples
    from intently.learn.active import used
    from intently.learn.presets import plan_of
    from intently.learn.train import examples_until

    try:
        learned, _ = examples_until(given.task, known, until, plan_of(preset), given)
    except TooFewExamples:
        # A simple predictor serves, which learned from none.
        learned = given.where(pl.lit(value=False))
    return used(given, known, learned)


def say_used(task: str, count: Mapping[str, int]) -> None:
    """What became of the labels, in a sentence on standard output."""
    console.say(
        f"{task}: {count['used']:,} labels by hand were used, {count['overruled']:,} were overruled by the log, "
        f"and {count['out_of_range']:,} are of events before or after those learned from."
    )
