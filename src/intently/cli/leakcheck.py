"""`intently leakcheck`: does anything from the future reach an answer?"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently leakcheck bundle/ --data shop/"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="The cut-off (UTC); without it the end of training, or if earlier 28 days before the log's end.",
        ),
    ] = None,
    seed: console.SEED = 0,
    as_json: console.JSON = False,
) -> None:
    """Scramble and extend the future, and demand the same answers of every task and predictor.

    Exit code 1 where something leaks.
    """
    import numpy as np

    from intently.contract import Scores
    from intently.evaluate.leakcheck import checks, findings
    from intently.log.log import Log, moment
    from intently.ship.bundle import load

    trained = load(bundle, console.every_task())
    log = Log.read(data)
    when = moment(at) if at else min(trained.until, log.observed_until - timedelta(days=28))

    def answer(task: str, predictor: str, some: Log, cutoff: object) -> Scores:
        return trained.predict(task, some, cutoff, predictor)[1]  # type: ignore[arg-type]

    with console.progress(as_json) as progress:
        checked = checks(
            trained.tasks,
            answer,
            {task: list(names) for task, names in trained.predictors.items()},
            log,
            when,
            np.random.default_rng(seed),
            progress,
        )
    found = findings(checked)
    if as_json:
        rows = [{**asdict(row), "difference": None if np.isnan(row.difference) else row.difference} for row in checked]
        console.say_json({"at": when, "checked": rows, "findings": [asdict(one) for one in found]})
    else:
        from rich.table import Table

        table = Table(title=f"Leak check as of {when:%Y-%m-%d}")
        for column in ("task", "predictor or column", "detector", "largest difference", ""):
            table.add_column(column)
        for row in checked:
            table.add_row(row.task, row.predictor, row.detector, f"{row.difference:.3g}", "LEAK" if row.leaks else "")
        console.show(table)
        console.say(
            f"{len(found)} leaks: {'; '.join(one.detail for one in found)}"
            if found
            else "Nothing from the future was read."
        )
    if found:
        raise typer.Exit(1)
