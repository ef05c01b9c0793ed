"""`intently train`: fine-tune on a log and write a bundle."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.cli import console
from intently.cli.labels import by_hand, labels_used, say_used

if TYPE_CHECKING:
    from intently.config import Config
    from intently.contract import Task
    from intently.log.log import Log

EXAMPLE = "Example: intently train --data shop/ --until 2017-11-05 --out bundle/"


def command(
    data: console.DATA,
    out: Annotated[Path, typer.Option("--out", help="Folder for the bundle.")],
    until: console.UNTIL = None,
    tasks: Annotated[str | None, typer.Option("--tasks", help="Tasks by name: a,b (all, without it).")] = None,
    preset: console.PRESET = None,
    model: console.MODEL = None,
    adapt: Annotated[
        str | None, typer.Option("--adapt", help="frozen (without it) or lora: whether the language model is tuned.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="How it is fine-tuned on questions about events: full (without it), lora, ..."),
    ] = None,
    text: console.TEXT = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="A table of suggest-labels, filled in, for one question of --tasks.")
    ] = None,
    fallback: Annotated[
        bool, typer.Option("--fallback", help="Serve a simple predictor where there is too little to learn from.")
    ] = False,
    threads: console.TRAIN_THREADS = None,
    seed: console.TRAIN_SEED = None,
    config: console.CONFIG = None,
    track: console.TRACK = None,
    as_json: console.JSON = False,
) -> None:
    """Fine-tune a language model on a log, choose what to serve, and write a bundle.

    What is not said here is taken from [train] of the config, and its [[tasks]] can be trained like built-in ones.
    """
    from intently.errors import ConfigError
    from intently.log import schema
    from intently.log.log import Log, moment

    found = console.config_of(data, config)
    names = None if tasks is None else tuple(tasks.split(","))
    wanted = found.train.over(
        until=until, tasks=names, preset=preset, model=model, adapt=adapt, method=method, threads=threads, seed=seed
    )
    words, tracker = found.text_plan(text or ()), console.tracker_of(track)
    asked = console.chosen_tasks(wanted.tasks, found.tasks)
    in_words_only(found, asked, method, text, tasks)
    if wanted.until is None:
        raise ConfigError("No end of training is given.", mend="Give --until, or `until` in [train] of the config.")
    at = moment(wanted.until)
    console.free(out)
    log = Log.read(data)
    tried(asked, log.before(at))
    given = {} if labels is None else by_hand(labels, asked, log.before(at))
    # Only now what takes seconds to load: bad input is answered at once.
    from intently.evaluate.report import leaderboard
    from intently.learn.fallback import train_or_fall_back
    from intently.ship.bundle import save
    from intently.text.language_model import PACKAGED

    standard: dict[str, Any] = {
        "preset": "fast",
        "model": PACKAGED,
        "adapt": "frozen",
        "method": "full",
        "threads": 2,
        "seed": 0,
    }
    how = standard | {name: value for name, value in asdict(wanted).items() if name in standard and value is not None}
    words.check([task for task in asked if task.key == schema.EVENT], how["method"])
    made_with = found.resolved(replace(wanted, tasks=tuple(task.name for task in asked), **how)) | words.said()
    checkpoints = out.resolve().with_name(out.resolve().name + ".checkpoints")
    with console.progress(as_json) as progress:
        trained = train_or_fall_back(
            log,
            at,
            asked,
            fallback=fallback,
            **how,
            text=words,
            labels=given,
            checkpoints=checkpoints,
            progress=progress,
            tracker=tracker,
        )
        save(trained, log, out, made_with=made_with)
        shutil.rmtree(checkpoints, ignore_errors=True)
    used = {name: labels_used(log.before(at), at, how["preset"], examples) for name, examples in given.items()}
    if as_json:
        console.say_json(
            {
                "bundle": str(out),
                "served": trained.served,
                "baseline": trained.baseline,
                "fallback": dict(trained.fallback),
                "labels": used,
            }
        )
        return
    if trained.choice.tasks:
        console.show(leaderboard(trained.choice))
    console.say_fallbacks(trained, asked)
    for name, count in used.items():
        say_used(name, count)
    if tracker is not None:
        console.say(f"Losses: {tracker.place}")
    console.say(f"Figures are of the validation cut-off by which the served predictors were chosen. Bundle: {out}")


def in_words_only(
    found: Config, tasks: Sequence[Task], method: str | None, text: Sequence[str] | None, named: str | None
) -> None:
    """Raise ConfigError where it is said how questions about events are learned, and none is asked.

    A table [text] of a config is no fault where the command line names other questions of the same shop.
    """
    from intently.contract import EachEvent
    from intently.errors import ConfigError

    said = ["--method"] if method is not None else []
    said += ["--text"] if text else []
    said += ["[text]"] if found.text and named is None else []
    if said and not any(isinstance(task.asks, EachEvent) for task in tasks):
        raise ConfigError(
            f"{said[0]} says how questions about events are learned, and there is none among "
            f"{', '.join(task.name for task in tasks)}.",
            mend=f"Name one with --tasks, such as sentiment or support, or leave {said[0]} out.",
        )


def tried(tasks: Sequence[Task], log: Log) -> None:
    """Try every own question on the log before any work; warnings go to standard error."""
    if all(task.written is None for task in tasks):
        return
    from intently import own
    from intently.contract import EachEvent, Ranking, Shares
    from intently.errors import ConfigError

    for task in tasks:
        if isinstance(task.asks, EachEvent) and isinstance(task.answer, Ranking | Shares):
            raise ConfigError(
                f"Task {task.name} asks about each {task.asks.kind} for ids or shares, which nothing here learns.",
                mend="Ask for yes_no, one_of or an amount, or leave it out with --tasks.",
            )
        for warning in own.check(task, log):
            sys.stderr.write(f"warning: {warning}\n")
