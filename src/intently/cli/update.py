"""`intently update`: a bundle taken further with what became known since, if it does not forget too much."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console
from intently.cli.labels import by_hand, say_used

EXAMPLE = "Example: intently update bundle/ --data shop/ --until 2024-07-01 --out bundle-july/"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    until: Annotated[str, typer.Option("--until", help="Learn from what was known before this date (UTC).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the new bundle.")],
    way: Annotated[
        str,
        typer.Option("--way", help="replay (old examples mixed in), anchor (elastic weights), distil or naive."),
    ] = "replay",
    most_forgotten: Annotated[
        float,
        typer.Option("--most-forgotten", min=0.0, help="Refuse to lose more of a task's first metric on old events."),
    ] = 0.02,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Tasks by name: a,b (all that are read as words).")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            help="More labels by hand, as in train. Those of the bundle are used again, except of events that the log "
            "no longer has.",
        ),
    ] = None,
    threads: console.THREADS = 2,
    track: console.TRACK = None,
    as_json: console.JSON = False,
) -> None:
    """Take a bundle's text readers further on the events of the new months, and report what they forgot and gained.

    A quarter of the customers is kept from it and judged, on events of before the bundle's end and after. A reader
    that forgets more than is allowed, or gains nothing, is refused, and nothing is written. Other questions stay as
    they were trained.
    """
    from intently.errors import ConfigError
    from intently.learn.continual import WAYS, Update
    from intently.learn.update import learned_until, renewed
    from intently.log.log import Log, moment
    from intently.ship.bundle import load, made_with, save

    if way not in WAYS:
        raise ConfigError(f"There is no way {way!r} to update.", mend=f"Choose one of {', '.join(WAYS)}.")
    if out.resolve() == bundle.resolve():
        raise ConfigError(
            f"--out {out} is the bundle itself.", mend="Give another folder, and serve it when it is good."
        )
    console.free(out)
    tracker = console.tracker_of(track)
    at = moment(until)
    trained = load(bundle, console.every_task())
    names = None if tasks is None else [trained.task(name.strip()).name for name in tasks.split(",")]
    log = Log.read(data)
    asked = trained.tasks if names is None else [trained.task(name) for name in names]
    given = {} if labels is None else by_hand(labels, asked, log.before(at))
    with console.progress(as_json) as progress:
        new, done = renewed(
            trained,
            log,
            at,
            names=names,
            labels=given,
            update=Update(WAYS[way]),
            at_most=most_forgotten,
            threads=threads,
            progress=progress,
            tracker=tracker,
        )
        save(new, log, out, made_with=made_with(bundle))
    left = [task.name for task in trained.tasks if task.name not in [one.task for one in done]]
    if as_json:
        console.say_json({"bundle": str(out), "updated": [one.to_json() for one in done], "left": left})
        return
    for one in done:
        told = one.report.measured()
        console.say(
            f"{one.task}: learned from {one.learned:,} new events. {one.report.metric} on earlier events "
            f"{told['old_before']:.4f} to {told['old_after']:.4f}, on new ones "
            f"{told['new_before']:.4f} to {told['new_after']:.4f}. Served, as before, by {new.served[one.task]}"
        )
        if one.labels:
            say_used(one.task, one.labels)
    if left:
        ends = [f"{name} (until {learned_until(trained, name):%Y-%m-%d})" for name in left]
        console.say(f"As they were: {', '.join(ends)}")
    console.say(f"Bundle: {out}")
