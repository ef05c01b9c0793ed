"""`intently keys`: who may ask a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.serve.keys import Keys

EXAMPLE = "Example: intently keys create sqlite:///out/demo/bundle.state/state.db --scope write --label website"

app = typer.Typer(help="Make, list, rotate and revoke the API keys of a service.", no_args_is_help=True)
URL = Annotated[str, typer.Argument(help="The service's state: sqlite:///file or postgresql://user@host/name.")]
KEY = Annotated[str, typer.Argument(help="The id of a key: the part between its two underscores.")]


@app.command(epilog=EXAMPLE)
def create(
    state: URL,
    scope: Annotated[
        list[str], typer.Option("--scope", help="write (events), read (scores) or admin; may be repeated.")
    ],
    label: Annotated[str, typer.Option("--label", help="What it is for.")] = "",
    as_json: console.JSON = False,
) -> None:
    """Make a key and show it, this once."""
    key = _keys(state).make(scope, label)
    console.say_json({"key": key}) if as_json else console.say(key)


@app.command("list")
def list_(state: URL, as_json: console.JSON = False) -> None:
    """List keys by id; the keys themselves are not kept."""
    from intently.serve.clock import written

    rows: list[dict[str, Any]] = [
        {
            "id": row.key_id,
            "label": row.label,
            "scopes": list(row.scopes),
            "made": written(row.made_at),
            "revoked": None if row.revoked_at is None else written(row.revoked_at),
        }
        for row in _keys(state).rows()
    ]
    if as_json:
        console.say_json(rows)
        return
    for row in rows:
        holds = "holds" if row["revoked"] is None else f"revoked {row['revoked']}"
        console.say(f"{row['id']}  {','.join(row['scopes']):<16}  {row['made']}  {holds}  {row['label']}")


@app.command()
def revoke(state: URL, key: KEY, as_json: console.JSON = False) -> None:
    """Take a key back: within a second, nobody is let in with it."""
    _keys(state).revoke(key)
    console.say_json({"revoked": key}) if as_json else console.say(f"revoked {key}")


@app.command()
def rotate(state: URL, key: KEY, as_json: console.JSON = False) -> None:
    """Make a new key with the scopes of an old one, which is revoked."""
    made = _keys(state).rotate(key)
    console.say_json({"key": made, "revoked": key}) if as_json else console.say(made)


def _keys(url: str) -> Keys:
    from pathlib import Path

    from intently.errors import ConfigError

    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise ConfigError(f"There is no state {url}.", mend="Start `intently serve` once; it says where its state is.")
    from intently.serve.clock import Clock
    from intently.serve.keys import Keys
    from intently.serve.store import Store

    return Keys(Store.open(url), Clock().now)
