"""`intently export`: a bundle's readers as ONNX, exact and in eight bits, if both pass."""

from __future__ import annotations

from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently export out/demo/bundle --data out/demo/data"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    examples: Annotated[int, typer.Option("--examples", min=20, help="Examples to compare on.")] = 500,
    as_json: console.JSON = False,
) -> None:
    """Write a bundle's readers as ONNX, exact and in eight bits: into BUNDLE/onnx, text readers into BUNDLE/onnx_texts.

    With the sequence reader goes the language model that reads new items, into BUNDLE/onnx_items.

    The exact one must give what the network gives, to 1e-4; the one in eight bits may lose 0.004 of each task's first
    metric, on the last windows before the bundle's end. One that does not pass is not written.
    """
    from dataclasses import asdict

    import numpy as np

    from intently.errors import BundleError
    from intently.learn.text_reader import TextReader
    from intently.log.log import Log
    from intently.ship import export, model_export, onnx_reader, text_export
    from intently.ship.bundle import load
    from intently.ship.gate import EXPORTED

    trained = load(bundle, console.every_task(), threads=1)
    texts = {
        task.name: next((one for one in trained.predictors[task.name].values() if isinstance(one, TextReader)), None)
        for task in trained.tasks
    }
    if trained.reader is None and not any(texts.values()):
        raise BundleError("The bundle has no reader.", mend="Export a bundle that was trained without --fallback.")
    log, gates = Log.read(data), {}
    folder, folder_of_texts, folder_of_items = (bundle / name for name in EXPORTED)
    if trained.reader is not None:
        reader = trained.reader.newest
        truth = export.examples_of(reader.tasks, log, trained.until, examples)
        made_of = onnx_reader.made_of(bundle / "reader" / "network.safetensors")
        gates[folder] = export.export(reader, next(iter(truth.values()))[1], folder, truth, made_of)
        known = list(reader.texts)
        shown = [known[place] for place in np.linspace(0, len(known) - 1, min(examples, len(known))).astype(int)]
        gates[folder_of_items] = model_export.export(
            reader.text, shown, folder_of_items, onnx_reader.items_made_of(bundle)
        )
    for task in trained.tasks:
        text = texts[task.name]
        if text is not None:
            some, past = export.examples_of([task], log, trained.until, examples)[task.name]
            gates[folder_of_texts / task.name] = text_export.export_both(text, some, past, folder_of_texts / task.name)
    if as_json:
        console.say_json({str(folder): asdict(gate) for folder, gate in gates.items()})
        return
    for folder, gate in gates.items():
        console.say(f"{folder}: compared on {gate.examples:,} examples")
        console.say(f"  exact: {gate.exact_bytes:,} bytes, at most {max(gate.apart.values()):.1g} apart")
        for name, lost in gate.lost.items():
            console.say(f"  int8: {gate.whole_bytes:,} bytes, {name} loses {lost:.4f}")
