"""`intently prune`: a bundle whose text readers have fewer layers and heads, if they keep what they knew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently prune bundle --data shop/ --layers 4 --out smaller"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle with the smaller readers.")],
    layers: Annotated[int | None, typer.Option("--layers", min=1, help="Layers to keep; all without it.")] = None,
    heads: Annotated[int | None, typer.Option("--heads", min=1, help="Attention heads of each to keep.")] = None,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the examples to recover on.")] = 2,
    examples: Annotated[int, typer.Option("--examples", min=20, help="Examples to judge on.")] = 1000,
    as_json: console.JSON = False,
) -> None:
    """Take layers and attention heads out of a bundle's text readers, and train what is left for a little while.

    A reader may lose 0.004 of its task's first metric on the last windows before the bundle's end, on which it does not
    recover; otherwise nothing is written.
    """
    import json
    from dataclasses import asdict

    from intently.errors import ConfigError
    from intently.learn.prune import Pruning
    from intently.log.log import Log
    from intently.ship.bundle import load
    from intently.ship.prune import prune

    if layers is None and heads is None:
        raise ConfigError("Nothing is to be taken out.", mend="Give --layers, --heads, or both.")
    if out.resolve() == bundle.resolve():
        raise ConfigError("--out is the bundle itself.", mend="Give another folder.")
    console.free(out)
    trained = load(bundle, console.every_task(), threads=1)
    made_with = json.loads((bundle / "contract.json").read_text(encoding="utf-8")).get("config")
    pruning = Pruning(layers=layers, heads=heads, epochs=epochs)
    gates = prune(trained, Log.read(data), out, pruning, examples, made_with)
    if as_json:
        console.say_json({name: asdict(gate) for name, gate in gates.items()})
        return
    for name, gate in gates.items():
        console.say(f"{name}: {gate.exact_bytes:,} bytes of weights, now {gate.whole_bytes:,}")
        console.say(f"  loses {gate.lost[name]:.4f} on {gate.examples:,} examples")
