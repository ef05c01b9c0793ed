"""`intently pretrain`: a language model made of, or taken further on, the shop's own texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently pretrain --data shop/ --out model/ --until 2017-11-05"


def command(
    data: console.DATA,
    out: Annotated[Path, typer.Option("--out", help="Folder for the model.")],
    until: Annotated[
        str | None, typer.Option("--until", help="Read what was written before this date (UTC); all, without it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Take this model further; without it, one begins from nothing.")
    ] = None,
    objective: Annotated[str, typer.Option("--objective", help="masked (encoders) or causal (decoders).")] = "masked",
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Times that all texts are read.")] = 3,
    width: Annotated[int, typer.Option("--width", min=16, help="Width of a model from nothing.")] = 192,
    layers: Annotated[int, typer.Option("--layers", min=1, help="Layers of a model from nothing.")] = 4,
    threads: console.THREADS = 2,
    seed: console.SEED = 0,
    track: console.TRACK = None,
    as_json: console.JSON = False,
) -> None:
    """Pre-train on reviews, messages, queries and item texts; `intently train --model FOLDER` takes the result.

    This is how a language works for which no model is at hand.
    """
    from intently.errors import ConfigError
    from intently.log import schema
    from intently.log.log import Log, moment

    if objective not in ("masked", "causal"):
        raise ConfigError(f"There is no objective {objective!r}.", mend="Choose masked or causal.")
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} holds something already.", mend="Give --out a new folder.")
    tracker = console.tracker_of(track)
    log = Log.read(data)
    known = log if until is None else log.before(moment(until))
    from intently.learn.pretrain import Pretraining, pretrain
    from intently.text.verbalise import item_texts

    written = known.events[schema.TEXT].drop_nulls().to_list() if schema.TEXT in known.events.columns else []
    texts = [*written, *item_texts(known.items)[0]]
    plan = Pretraining(
        objective="causal" if objective == "causal" else "masked",
        epochs=epochs,
        width=width,
        layers=layers,
        threads=threads,
        seed=seed,
    )
    with console.progress(as_json) as progress:
        losses = pretrain(texts, out, plan, model=model, progress=progress, tracker=tracker)
    if as_json:
        console.say_json({"model": str(out), "texts": len(texts), "losses": losses})
    else:
        console.say(f"Loss by epoch: {', '.join(f'{loss:.2f}' for loss in losses)} nats a token. Model: {out}")
