"""`intently toy`: a synthetic shop with planted truth, to try things on and to test against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently toy --out out/toy --customers 1000 --days 280"


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder for the log and its planted truth.")],
    customers: Annotated[int, typer.Option("--customers", min=1, help="Made-up customers.")] = 1500,
    days: Annotated[int, typer.Option("--days", min=1, help="Days from 2024-01-01 on.")] = 280,
    seed: console.SEED = 0,
    as_json: console.JSON = False,
) -> None:
    """Write a SYNTHETIC shop's log, and beside it the truth that was planted: nothing in it happened."""
    from intently.errors import ConfigError
    from intently.log import toy_shop

    if out.exists() and (out.is_file() or any(out.iterdir())) and not (out / "planted.json").is_file():
        raise ConfigError(f"{out} holds something that is not a toy shop.", mend="Give --out another folder.")
    with console.progress(as_json) as progress:
        progress("making up a shop", 0.0)
        log, planted = toy_shop.plant(customers, days, seed)
        progress("making up a shop", 0.8)
        toy_shop.write(log, planted, out)
        progress("making up a shop", 1.0)
    told = {
        "note": toy_shop.NOTE,
        "events": len(log.events),
        "customers": len(log.users),
        "items": len(log.items),
        "observed_from": log.observed_from.isoformat(),
        "observed_until": log.observed_until.isoformat(),
        "out": str(out),
    }
    if as_json:
        console.say_json(told)
    else:
        console.say("\n".join(f"{name}: {value}" for name, value in told.items()))
