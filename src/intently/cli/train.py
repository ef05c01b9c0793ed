"""`intently train`: fine-tune on a log and write a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently train --data shop/ --until 2017-11-05 --out bundle/"


def command(
    data: console.DATA,
    until: Annotated[str, typer.Option("--until", help="Learn from what was known before this date (UTC).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")],
    tasks: Annotated[str | None, typer.Option("--tasks", help="Tasks by name: a,b (all, without it).")] = None,
    preset: Annotated[str, typer.Option("--preset", help="fast, balanced or best.")] = "fast",
    model: Annotated[str | None, typer.Option("--model", help="Language model: a name or a folder.")] = None,
    adapt: Annotated[
        str, typer.Option("--adapt", help="frozen or lora: whether the language model is tuned.")
    ] = "frozen",
    fallback: Annotated[
        bool, typer.Option("--fallback", help="Serve a simple predictor where there is too little to learn from.")
    ] = False,
    threads: console.THREADS = 2,
    seed: console.SEED = 0,
    as_json: console.JSON = False,
) -> None:
    """Fine-tune a language model on a log, choose what to serve, and write a bundle."""
    from intently.log.log import Log, moment

    asked = console.chosen_tasks(tasks)
    at = moment(until)
    console.free(out)
    log = Log.read(data)
    # Only now what takes seconds to load: bad input is answered at once.
    from intently.evaluate.report import leaderboard
    from intently.learn.fallback import train_or_fall_back
    from intently.ship.bundle import save
    from intently.text.language_model import PACKAGED

    checkpoints = out.with_name(out.name + ".checkpoints")
    with console.progress(as_json) as progress:
        trained = train_or_fall_back(
            log,
            at,
            asked,
            fallback=fallback,
            preset=preset,
            model=model or PACKAGED,
            adapt=adapt,
            threads=threads,
            seed=seed,
            checkpoints=checkpoints,
            progress=progress,
        )
        save(trained, log, out)
        shutil.rmtree(checkpoints, ignore_errors=True)
    if as_json:
        console.say_json(
            {
                "bundle": str(out),
                "served": trained.served,
                "baseline": trained.baseline,
                "fallback": dict(trained.fallback),
            }
        )
        return
    if trained.choice.tasks:
        console.show(leaderboard(trained.choice))
    console.say_fallbacks(trained, asked)
    console.say(f"Figures are of the validation cut-off by which the served predictors were chosen. Bundle: {out}")
