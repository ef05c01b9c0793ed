"""`intently suggest-labels`: which events a person should label next, as a table to fill in."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently suggest-labels bundle/ --data shop/ --task support --at 2024-06-01 --out rows.csv"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    task: Annotated[str, typer.Option("--task", help="A question about events that has labels, by name.")],
    at: Annotated[str, typer.Option("--at", help="Look at events before this date (UTC).")],
    out: Annotated[Path, typer.Option("--out", help="CSV file to be filled in: its column `label` is empty.")],
    count: Annotated[int, typer.Option("--count", min=1, help="How many events to suggest.")] = 100,
    days: Annotated[int, typer.Option("--days", min=1, help="Look so many days back.")] = 28,
    as_json: console.JSON = False,
) -> None:
    """Suggest the events that are worth labelling: those the text reader is least sure of, and unlike each other.

    Filled in, `intently train --labels` reads the table back.
    """
    import polars as pl

    from intently.contract import AT, EachEvent, Examples, OneOf, Past, YesNo, pooled
    from intently.errors import ConfigError
    from intently.learn.active import found_labels, labelled_in, suggested, unlabelled, write_table
    from intently.learn.ensemble import Ensemble
    from intently.learn.text_reader import TextReader
    from intently.log.log import Log, moment
    from intently.ship.bundle import load

    if out.suffix != ".csv":
        raise ConfigError(f"--out {out} is not a CSV file.", mend="Give a name that ends in .csv.")
    if out.exists():
        raise ConfigError(f"{out} is there already, and may hold labels.", mend="Give --out another name.")
    when = moment(at)
    trained = load(bundle, console.every_task())
    question = trained.task(task)
    mine = trained.predictors[task].values()
    # Of several members the first will do: what one is unsure of, the others are too.
    readers = [
        one.fitted[0] if isinstance(one, Ensemble) else one for one in mine if isinstance(one, TextReader | Ensemble)
    ]
    if not readers or not isinstance(question.asks, EachEvent) or not isinstance(question.answer, OneOf | YesNo):
        raise ConfigError(
            f"{task} is not a question about events with labels that a text reader answers.",
            mend="Train one such as sentiment or support first.",
        )
    known = Log.read(data).before(when)
    spans = -(-timedelta(days=days) // question.asks.span)
    cutoffs = [when - back * question.asks.span for back in range(spans, 0, -1)]
    # Whole spans may reach further back.
    examples = pooled([question.questions(known, at) for at in cutoffs])
    examples = examples.where(pl.col(AT) >= when - timedelta(days=days))
    if not len(examples):
        raise ConfigError(f"There is no {question.asks.kind} in these {days} days.", mend="Give more --days.")
    asked = unlabelled(Examples(question, examples.frame), labelled_in(question, known, cutoffs))
    if task in trained.labels:
        asked = unlabelled(asked, found_labels(trained.labels[task], question, known))
    if not len(asked):
        raise ConfigError(
            f"There is a label for every one of the {len(examples)} {question.asks.kind} in these {days} days.",
            mend="Give more --days, or another --at.",
        )
    table = suggested(readers[0], asked, Past(known, asked), count)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_table(table, out)
    if as_json:
        console.say_json({"task": task, "looked_at": len(asked), "suggested": len(table), "out": str(out)})
    else:
        console.say(f"{len(table):,} of {len(asked):,} to label, the most wanted first: {out}")
