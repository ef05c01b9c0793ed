"""`intently demo`: the main job on a real shop's year, in one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently demo --out out/demo"
_UNTIL = "2017-11-05"


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for data, bundle, metrics.json, report.html.")] = Path(
        "out/demo"
    ),
    preset: Annotated[str, typer.Option("--preset", help="fast, balanced or best.")] = "fast",
    threads: console.THREADS = 2,
    seed: console.SEED = 0,
) -> None:
    """Fine-tune on 1,469,307 real purchase lines (Complete Journey), compare, save, reload, and ask."""
    from intently.cli.evaluate import READINGS, five_weeks, judged, told, written
    from intently.evaluate.cost import measured
    from intently.learn.train import train
    from intently.log import complete_journey
    from intently.log.log import Log, moment
    from intently.model import LanguageModel
    from intently.ship.bundle import load, save
    from intently.text.language_model import reads_in_bfloat16

    until = moment(_UNTIL)
    tasks = console.standard_tasks()
    minutes = "5 to 8" if reads_in_bfloat16() else "12 to 17"
    console.say(f"Estimate: {minutes} minutes on 2 cores of this kind, 5 GB of memory.")
    with measured() as cost, console.progress() as progress:
        progress("reading Complete Journey", 0.0)
        complete_journey.read().write(out / "data")
        log = Log.read(out / "data")
        progress("reading Complete Journey", 1.0)
        trained = train(log, until, tasks, preset=preset, before=True, threads=threads, seed=seed, progress=progress)
        save(trained, log, out / "bundle")
    row = cost.row("everything", "train")
    with console.progress() as progress:
        reloaded = load(out / "bundle", tasks, threads=1)
        content = judged(reloaded, log, five_weeks(until), seed=seed, costs=[row], progress=progress)
    written(content, out, out / READINGS)
    told(content)
    one = LanguageModel(trained=reloaded).about(log.pack.user_ids[0], log, until, k=5)
    console.say(f"\nCustomer {one['user_id']} as of {until:%Y-%m-%d}: {one['answers']}")
    for item in one.get("next_item", []):
        console.say(f"  {item['rank']}. {item['title']} ({item['item_id']})")
    console.say(
        f"\n{cost.wall_seconds:.0f} s to train ({cost.cpu_seconds:.0f} CPU-s, {cost.peak_megabytes / 1000:.1f} GB). "
        f"Report: {out / 'report.html'}"
    )
