"""What the verbs share: options, a progress bar, tables and JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.errors import ConfigError

if TYPE_CHECKING:
    from intently.config import Config
    from intently.contract import Task
    from intently.learn.track import Tracker
    from intently.learn.trained import Trained

DATA = Annotated[
    str, typer.Option("--data", help="A folder, a file of events, intently.toml, or a database by URL (docs/log.md).")
]
BUNDLE = Annotated[Path, typer.Argument(help="Folder of a trained model.")]
JSON = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
CONFIG = Annotated[
    Path | None, typer.Option("--config", help="TOML file; intently.toml in the data folder without it.")
]
UNTIL = Annotated[str | None, typer.Option("--until", help="Learn from what was known before this date (UTC).")]
PRESET = Annotated[str | None, typer.Option("--preset", help="fast (without it), balanced or best.")]
MODEL = Annotated[str | None, typer.Option("--model", help="Language model: a name or a folder.")]
TEXT = Annotated[
    list[str] | None,
    typer.Option("--text", help="KEY=VALUE of [text] (docs/text-reader.md), as in members=3; may come again."),
]
TRACK = Annotated[
    str | None,
    typer.Option(
        "--track", help="Record losses with mlflow, tensorboard or wandb, on this machine; mlflow=URI goes elsewhere."
    ),
]
THREADS = Annotated[int, typer.Option("--threads", min=1, help="Processor threads to use.")]
# Of verbs that read [train] of a config, where the two may be said too.
TRAIN_THREADS = Annotated[int | None, typer.Option("--threads", min=1, help="Processor threads to use (2).")]
TRAIN_SEED = Annotated[int | None, typer.Option("--seed", help="Seed of every random draw (0).")]
EXPORTED = Annotated[
    bool,
    typer.Option("--exported", help="Answer by what `intently export` wrote, as is done where torch is not installed."),
]
SEED = Annotated[int, typer.Option("--seed", help="Seed of every random draw.")]


@contextlib.contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[str, float], None]]:
    """A bar on standard error while something long runs."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False, refresh_per_second=2) as bar:
        known: dict[str, Any] = {}

        def show(what: str, fraction: float) -> None:
            if what not in known:
                known[what] = bar.add_task(what, total=1.0)
            bar.update(known[what], completed=min(fraction, 1.0))

        yield show


def say(text: str) -> None:
    """One line on standard output."""
    sys.stdout.write(text + "\n")


def say_json(content: Any) -> None:
    """JSON on standard output."""
    say(json.dumps(content, ensure_ascii=False, indent=1, default=str, allow_nan=False))


def say_fallbacks(trained: Trained, tasks: Iterable[Task]) -> None:
    """One line on standard error for each of the tasks that is served by a simple predictor, and why."""
    for name in (task.name for task in tasks if task.name in trained.fallback):
        sys.stderr.write(f"{name} falls back on {trained.served[name]}: {trained.fallback[name]}\n")


def say_unread(trained: Trained) -> None:
    """One line on standard error for each task that is left out, since what serves it cannot be read here."""
    for name, served in trained.unread.items():
        sys.stderr.write(f"{name} is left out: it is answered by its {served}, which needs torch\n")


def show(renderable: Any) -> None:
    """A table on standard output."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(renderable)


def chosen_tasks(names: Sequence[str] | None, own: Sequence[Task] = ()) -> tuple[Task, ...]:
    """The tasks of these names; without names those asked of every log, installed and own ones."""
    if names is None:
        return (*standard_tasks(), *own)
    known = (*every_task(), *own)
    by_name = {task.name: task for task in known}
    wanted = [name.strip() for name in names if name.strip()]
    unknown = [name for name in wanted if name not in by_name]
    if unknown or not wanted:
        raise ConfigError(
            f"There is no task {', '.join(map(repr, unknown)) or 'in an empty list'}.",
            mend=f"Choose from {', '.join(by_name)}.",
        )
    return tuple(by_name[name] for name in dict.fromkeys(wanted))


def every_task() -> tuple[Task, ...]:
    """The tasks that come with Intently and those that installed packages offer in the group intently.tasks."""
    from intently.tasks import EVERY

    return (*EVERY, *_installed())


def standard_tasks() -> tuple[Task, ...]:
    """The tasks that are asked of every log, and those of installed packages."""
    from intently.tasks import BUILT_IN

    return (*BUILT_IN, *_installed())


def _installed() -> Sequence[Task]:
    from importlib.metadata import entry_points

    return [point.load() for point in entry_points(group="intently.tasks")]


def config_of(data: str | Path | None, file: Path | None) -> Config:
    """The config that goes with some data. Raises ConfigError that tells every fault in it."""
    from intently import config

    taken = [task.name for task in every_task()]
    return config.read(file, taken) if data is None else config.with_data(data, file, taken)


def tracker_of(said: str | None) -> Tracker | None:
    """What records the losses of a training, as --track names it; nothing without it."""
    from intently.learn.track import Tracker

    return None if said is None else Tracker.of(said)


def free(out: Path) -> None:
    """Refuse, before any work is done, to write a bundle over something else."""
    if out.exists() and not (out / "contract.json").is_file() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"{out} holds something that is not a bundle.", mend="Give --out another folder.")
