"""`intently export`: a bundle's reader as ONNX, exact and in eight bits, if both pass."""

from __future__ import annotations

from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently export out/demo/bundle --data out/demo/data"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    customers: Annotated[int, typer.Option("--customers", min=20, help="Customers to compare on.")] = 500,
    as_json: console.JSON = False,
) -> None:
    """Write a bundle's sequence reader as ONNX into BUNDLE/onnx: reader.onnx and reader.int8.onnx.

    The exact one must give what the network gives, to 1e-4; the one in eight bits may lose 0.004 of each task's first
    metric, on the last windows before the bundle's end. One that does not pass is not written.
    """
    from dataclasses import asdict

    from intently.errors import BundleError
    from intently.log.log import Log
    from intently.ship import export
    from intently.ship.bundle import load

    trained = load(bundle, console.every_task(), threads=1)
    if trained.reader is None:
        raise BundleError("The bundle has no reader.", mend="Export a bundle that was trained without --fallback.")
    reader = trained.reader.newest
    truth = export.examples_of(reader, Log.read(data), trained.until, customers)
    past = next(iter(truth.values()))[1]
    gate = export.export(reader, past, bundle / "onnx", truth)
    if as_json:
        console.say_json(asdict(gate))
        return
    console.say(f"compared on {gate.customers:,} customers; {bundle / 'onnx'}")
    console.say(f"  {export.EXACT}: {gate.exact_bytes:,} bytes, at most {max(gate.apart.values()):.1g} apart")
    for name, lost in gate.lost.items():
        console.say(f"  {export.WHOLE}: {gate.whole_bytes:,} bytes, {name} loses {lost:.4f}")
