"""`intently leakcheck`: does anything from the future reach an answer?"""

from __future__ import annotations

from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently leakcheck bundle/ --data shop/"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    at: Annotated[str | None, typer.Option("--at", help="The cut-off (UTC); the bundle's own end without it.")] = None,
    seed: console.SEED = 0,
    as_json: console.JSON = False,
) -> None:
    """Scramble and extend the future, and demand the same answers of every task and predictor."""
