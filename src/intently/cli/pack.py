"""`intently pack`: read a log, check it, and write it packed for fast pasts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently pack --data shop/ --out shop/pack"


def command(
    data: console.DATA,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pack.")],
    as_json: console.JSON = False,
) -> None:
    """Read a log, check it, and pack its rows by customer and by item."""
    from intently.log.log import Log

    with console.progress(as_json) as progress:
        progress("reading", 0.0)
        log = Log.read(data)
        progress("reading", 1.0)
        log.pack.save(out)
        progress("packing", 1.0)
    told = {
        "events": len(log.events),
        "customers": len(log.pack.user_ids),
        "items": len(log.pack.item_ids),
        "event_types": list(log.pack.event_types),
        "observed_from": log.observed_from.isoformat(),
        "observed_until": log.observed_until.isoformat(),
        "out": str(out),
    }
    if as_json:
        console.say_json(told)
    else:
        console.say("\n".join(f"{name}: {value}" for name, value in told.items()))
