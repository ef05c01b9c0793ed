"""`intently predict`: everybody's answers to one question, or to all of them, as Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.contract import Examples, Scores

EXAMPLE = "Example: intently predict bundle/ --data shop/ --at 2017-11-05 --task purchase_intent --out scores.parquet"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    at: Annotated[str, typer.Option("--at", help="Answer as of this date (UTC); later events are not seen.")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file for the answers; without --task, a folder.")],
    task: Annotated[str | None, typer.Option("--task", help="The question, by name; without it, every one.")] = None,
    exported: console.EXPORTED = False,
    as_json: console.JSON = False,
) -> None:
    """Answer one question, or all of them, for everyone who can be asked at a time."""
    from intently.errors import ConfigError
    from intently.log.log import Log, moment
    from intently.ship.bundle import load, questions

    if task is not None and out.suffix != ".parquet":
        raise ConfigError(f"--out {out} is not a Parquet file.", mend="Give a name that ends in .parquet.")
    if task is None and (out.suffix == ".parquet" or out.is_file()):
        raise ConfigError(
            f"--out {out} is one file, and every question is asked.", mend="Give a folder, or choose one with --task."
        )
    when = moment(at)
    if task is not None and task not in (answered := questions(bundle)):
        raise ConfigError(f"The model has no task {task!r}.", mend=f"It answers {', '.join(answered)}.")
    only = None if task is None else lambda one: one.name == task
    trained = load(bundle, console.every_task(), exported=exported or None, only=only)
    asked = trained.tasks if task is None else (trained.task(task),)
    console.say_fallbacks(trained, asked)
    if task is None:
        console.say_unread(trained)
    known = Log.read(data).before(when)
    if task is None:
        told = _write(trained.predict_all(known, when), {one.name: out / f"{one.name}.parquet" for one in asked})
    else:
        told = _write({task: trained.predict(task, known, when)}, {task: out})
    for one in told:
        one |= {"at": when.isoformat(), "served": trained.served[str(one["task"])]}
    if as_json:
        console.say_json(told if task is None else told[0])
        return
    for one in told:
        console.say(f"{one['rows']:,} rows by {one['served']} in {one['out']}")
    if task is not None:
        import polars as pl

        console.say(str(pl.read_parquet(out, n_rows=5)))


def _write(answers: Mapping[str, tuple[Examples, Scores]], files: Mapping[str, Path]) -> list[dict[str, object]]:
    """Each question's answers to its file, whole or not at all; what was written."""
    told = []
    for task, (examples, scores) in answers.items():
        frame, out = scores.frame(examples), files[task]
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_name(out.name + ".part")
        frame.write_parquet(part)
        part.replace(out)
        told.append({"task": task, "rows": len(frame), "out": str(out)})
    return told
