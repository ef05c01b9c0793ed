"""`intently forecast`: how many units of each item will be needed, from a service's state."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = (
    "Example: INTENTLY_STATE=sqlite:///out/demo/bundle.state/state.db intently forecast out/demo/bundle --at 2017-11-05"
)


def command(
    bundle: console.BUNDLE,
    at: Annotated[str, typer.Option("--at", help="As of this date (UTC); later events are not seen.")],
    state: Annotated[
        str | None, typer.Option("--state", help="The service's state by URL; INTENTLY_STATE without it.")
    ] = None,
    exported: console.EXPORTED = False,
    as_json: console.JSON = False,
) -> None:
    """Forecast every item from the events of a service; the service itself calls this every few hours."""
    from intently.errors import ConfigError
    from intently.log.log import moment
    from intently.serve.bring import log_of
    from intently.serve.clock import micros
    from intently.serve.forecast import forecasts, is_of_items
    from intently.serve.models import version_of
    from intently.serve.store import Store
    from intently.ship.bundle import load

    url = state or os.environ.get("INTENTLY_STATE")
    if url is None:
        raise ConfigError("No state is given.", mend="Give --state, or set INTENTLY_STATE.")
    when = moment(at)
    trained = load(bundle, console.every_task(), threads=1, exported=exported or None, only=is_of_items)
    store = Store.open(url)
    made = forecasts(trained, version_of(bundle), log_of(store), micros(when))
    store.close()
    if as_json:
        console.say_json([one.to_json() for one in made])
        return
    for one in made:
        console.say(f"{one.task}: {len(one.rows):,} items as of {when:%Y-%m-%d %H:%M}")
