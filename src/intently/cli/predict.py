"""`intently predict`: everybody's answers to one question, as Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently predict bundle/ --data shop/ --at 2017-11-05 --task purchase_intent --out scores.parquet"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    at: Annotated[str, typer.Option("--at", help="Answer as of this date (UTC); later events are not seen.")],
    task: Annotated[str, typer.Option("--task", help="The question, by name.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file for the answers.")],
    as_json: console.JSON = False,
) -> None:
    """Answer one question for everyone who can be asked at a time."""
    from intently.errors import ConfigError
    from intently.log.log import Log, moment
    from intently.ship.bundle import load

    if out.suffix != ".parquet":
        raise ConfigError(f"--out {out} is not a Parquet file.", mend="Give a name that ends in .parquet.")
    when = moment(at)
    trained = load(bundle, console.every_task())
    console.say_fallbacks(trained, [trained.task(task)])
    examples, scores = trained.predict(task, Log.read(data).before(when), when)
    frame = scores.frame(examples)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    frame.write_parquet(part)
    part.replace(out)
    told = {"task": task, "at": when.isoformat(), "served": trained.served[task], "rows": len(frame), "out": str(out)}
    if as_json:
        console.say_json(told)
    else:
        console.say(f"{len(frame):,} rows by {trained.served[task]} in {out}")
        console.say(str(frame.head(5)))
