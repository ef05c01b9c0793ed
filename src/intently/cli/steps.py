"""`intently steps`: what comes next at every step of a session, learned from earlier sessions and judged on later."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently steps --data shop/ --until 2024-06-01 --days 28 --out steps.parquet"


def command(
    data: console.DATA,
    until: Annotated[str, typer.Option("--until", help="Learn from sessions over before this date (UTC).")],
    out: Annotated[Path, typer.Option("--out", help="Parquet file for the answers, a row for each step.")],
    days: Annotated[int, typer.Option("--days", min=1, help="Answer the sessions of so many days from then on.")] = 28,
    model: console.MODEL = None,
    method: Annotated[str, typer.Option("--method", help="How it is fine-tuned: full, lora, ...")] = "full",
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", min=1, help="Times that all sessions are read (2, and more often where they are few)."
        ),
    ] = None,
    language: Annotated[str, typer.Option("--language", help="What steps are told in: en or zh.")] = "en",
    threads: console.THREADS = 2,
    seed: console.SEED = 0,
    track: console.TRACK = None,
    as_json: console.JSON = False,
) -> None:
    """Say at every step of later sessions what follows, from what was done in the session so far.

    A language model that looks back only is fine-tuned on earlier sessions. Beside each label's precision, recall and
    F1 stands the mean F1 of a Markov chain, which knows the last step's type alone.
    """
    import polars as pl

    from intently.errors import ConfigError, TooFewExamples
    from intently.log import schema
    from intently.log.log import Log, moment
    from intently.text.steps import sessions
    from intently.text.wording import wording_of

    if out.suffix != ".parquet":
        raise ConfigError(f"--out {out} is not a Parquet file.", mend="Give a name that ends in .parquet.")
    wording_of(language)
    at, tracker = moment(until), console.tracker_of(track)
    log = Log.read(data)
    end = min(at + timedelta(days=days), log.observed_until)
    earlier, later = sessions(log, log.observed_from, at, language), sessions(log, at, end, language)
    if not later or not earlier:
        raise TooFewExamples(
            f"There are {len(earlier)} sessions before {at:%Y-%m-%d} and {len(later)} in the {days} days from then on.",
            mend="Choose an --until inside the log, or more --days.",
        )
    # Only now what takes seconds to load: bad input is answered at once.
    from intently.learn.step_reader import StepReader, markov
    from intently.learn.text_finetune import TextRecipe
    from intently.text.language_model import PACKAGED

    recipe = TextRecipe(epochs=2, threads=threads, seed=seed)
    if epochs is not None:
        # What is said is done, however few steps that makes.
        recipe = replace(recipe, epochs=epochs, fewest_steps=0)
    with console.progress(as_json) as progress:
        reader = StepReader(model or PACKAGED, method, recipe=recipe, language=language, progress=progress)
        fitted = reader.fit(log, log.observed_from, at, tracker=tracker)
        found = fitted.predict(log, at, end)
    report, plain = found.report(), markov(earlier, later, found.labels).report()
    kept = [
        name for name in (schema.EVENT, schema.USER, schema.SESSION, schema.TIME, schema.TYPE) if name in log.events
    ]
    chances = pl.DataFrame(found.chances, schema=[f"chance_{label}" for label in found.labels], orient="row")
    frame = log.events.select(kept)[found.row].with_columns(pl.Series("then", found.then))
    out.parent.mkdir(parents=True, exist_ok=True)
    pl.concat([frame, chances], how="horizontal").write_parquet(out)
    mean, markov_f1, read = report["f1"][-1], plain["f1"][-1], len(fitted.losses)
    if as_json:
        told = {"steps": len(frame), "sessions": len(later), "learned": len(earlier), "epochs": read, "out": str(out)}
        console.say_json(told | {"macro_f1": mean, "markov_macro_f1": markov_f1, "report": report.to_dicts()})
        return
    for row in report.iter_rows(named=True):
        told_row = f"precision {row['precision']:.3f}  recall {row['recall']:.3f}  F1 {row['f1']:.3f}"
        console.say(f"{row['label']:<16} {told_row}  of {row['number']:,}")
    console.say(f"Mean F1 {mean:.3f}; of a Markov chain {markov_f1:.3f}. {len(frame):,} steps: {out}")
    console.say(f"{len(earlier):,} earlier sessions were read {'once' if read == 1 else f'{read} times'}.")
