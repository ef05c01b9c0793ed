"""`intently pack`: read a log block by block, check it, and write it packed for fast pasts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently pack --data shop/ --out shop/pack"


def command(
    data: console.DATA,
    out: Annotated[Path, typer.Option("--out", help="Folder for the pack.")],
    threads: console.THREADS = 2,
    as_json: console.JSON = False,
) -> None:
    """Pack a log's rows by customer and by item. An interrupted run goes on where it stopped.

    Parquet files in the schema are read in blocks, so such a log may be larger than memory; all else is read whole.
    """
    from intently.evaluate.cost import measured
    from intently.log.blocks import Unpacked
    from intently.log.pack_stream import estimate, pack
    from intently.log.packed import PackedLog

    tables = Unpacked.of(data)
    needs = estimate(tables, threads)
    if not as_json:
        console.say(
            f"Estimate for {needs.events:,} events: {needs.minutes} on 2 cores, {needs.memory_gigabytes:.1f} GB of "
            f"memory, {needs.disk_gigabytes:.2g} GB of disk while packing and a third of it after."
        )
    with measured() as cost, console.progress(as_json) as progress:
        pack(tables, out, threads=threads, progress=progress)
    log = PackedLog.open(out)
    told = {
        "events": log.events,
        "customers": len(log.pack.user_ids),
        "items": len(log.pack.item_ids),
        "event_types": list(log.pack.event_types),
        "observed_from": log.observed_from.isoformat(),
        "observed_until": log.observed_until.isoformat(),
        "out": str(out),
        "wall_seconds": round(cost.wall_seconds, 2),
        "cpu_seconds": round(cost.cpu_seconds, 2),
        "events_per_second": round(log.events / cost.wall_seconds),
        "peak_megabytes": round(cost.peak_megabytes),
    }
    if as_json:
        console.say_json(told)
    else:
        console.say("\n".join(f"{name}: {value}" for name, value in told.items()))
