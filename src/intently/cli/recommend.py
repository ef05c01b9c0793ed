"""`intently recommend`: what one customer is likely to want next, and the other answers about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from intently.cli import console

EXAMPLE = "Example: intently recommend bundle/ --data shop/ --user 1"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    user: Annotated[str, typer.Option("--user", help="A customer's id.")],
    at: Annotated[
        str | None, typer.Option("--at", help="As of this date (UTC); the end of the log without it.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many items.")] = 10,
    rules: Annotated[
        Path | None,
        typer.Option(
            "--rules", help="TOML file with [rules] on what may be shown; the data's intently.toml without it."
        ),
    ] = None,
    as_json: console.JSON = False,
) -> None:
    """Rank the catalogue for one customer, and give the other answers about them."""
    from intently import config
    from intently.log.log import Log
    from intently.log.protect import asked_id
    from intently.log.source import settings_of
    from intently.model import LanguageModel
    from intently.ranking import table

    # Read before anything slow, so that a mistake in it costs nothing.
    held_to = table.read_file(rules) if rules is not None else config.read(config.find(data, None)).rules
    model = LanguageModel.load(bundle, console.every_task())
    if model.trained is not None:
        console.say_fallbacks(model.trained, model.tasks)
    log = Log.read(data)
    told = model.about(asked_id(user, settings_of(data).protection, log.pack.user_ids), log, at, k, held_to)
    if as_json:
        console.say_json(told)
        return
    console.say(f"customer {told['user_id']} as of {told['at']}")
    rankings = {name: value for name, value in told.items() if isinstance(value, list)}
    for name, items in rankings.items():
        if name != "next_item" or len(rankings) > 1:
            console.say(f"  {name}:")
        for item in items:
            console.say(f"  {item['rank']:>2}. {item['item_id']}  {item['title']}  ({item['score']:.3f})")
        if len(items) < k:
            why = "the rules allow no more of what the model ranks" if held_to.leaves_out else "the model ranks no more"
            console.say(f"  {len(items)} of {k}: {why}.")
    for name, value in told["answers"].items():
        console.say(f"  {name}: {value}")
    for name, why in told.get("not_asked", {}).items():
        console.say(f"  {name}: not asked: {why}")
