"""The verbs joined into one command, and how it speaks when something is wrong."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Annotated

import typer

from intently.cli import (
    check,
    demo,
    doctor,
    evaluate,
    export,
    forecast,
    init,
    keys,
    leakcheck,
    pack,
    predict,
    pretrain,
    prune,
    recommend,
    search,
    serve,
    steps,
    suggest_labels,
    tasks,
    toy,
    train,
    update,
    watch,
)
from intently.cli.process import prepare
from intently.errors import IntentlyError

app = typer.Typer(
    name="intently",
    help="Fine-tune a pre-trained language model on a shop's event log, and ask it about customers and items.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

LOG = (init, check, tasks, pack)
MODEL = (pretrain, search, train, update, suggest_labels, steps, evaluate, predict, recommend, export, prune)
# Which extra brings what may be missing: a service answers without what only training needs.
EXTRAS = dict.fromkeys(("torch", "transformers", "peft", "accelerate"), "train")
EXTRAS |= dict.fromkeys(("onnxruntime", "tokenizers"), "serve")
SERVICE = (serve, watch, forecast)

for verb in (demo, *LOG, *MODEL, *SERVICE, leakcheck, doctor, toy):
    app.command(verb.__name__.rsplit(".", 1)[-1].replace("_", "-"), epilog=verb.EXAMPLE)(verb.command)
app.add_typer(keys.app, name="keys")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"intently {version('intently')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which one it is.")
    ] = False,
) -> None:
    """Before a verb there is one option."""


def run() -> None:
    """Run the command; a fault that a person can mend is one sentence and exit code 1."""
    prepare()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft|torch")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        app()
    except IntentlyError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").split(".")[0])
        if extra is None:
            raise
        sys.stderr.write(f"error: This needs {error.name}, which is not installed. pip install 'intently[{extra}]'\n")
        sys.exit(1)
    except PermissionError as error:
        sys.stderr.write(f"error: {error.filename} cannot be opened: permission denied. Give a folder you may use.\n")
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        sys.stderr.write(f"error: {error.filename or 'a file'}: {error.strerror}. Check the path and the free space.\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("stopped. Nothing that was whole has been lost; run the command again.\n")
        sys.exit(130)
