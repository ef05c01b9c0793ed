"""`intently init`: look at a shop's data and write the mapping to our schema, for a person to correct."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.log.draft import Draft, Guess

EXAMPLE = "Example: intently init orders.csv --out intently.toml"


def command(
    data: Annotated[str, typer.Argument(help="A file, a folder of files, or a database by URL.")],
    out: Annotated[Path, typer.Option("--out", help="TOML file to write.")] = Path("intently.toml"),
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: console.JSON = False,
) -> None:
    """Guess how a shop's columns map to ours, with a reason for each, and write intently.toml."""
    from intently.errors import ConfigError
    from intently.log.draft import toml
    from intently.log.infer import draft_of
    from intently.log.source import parsed, read_tables

    if out.exists() and not force:
        raise ConfigError(f"{out} is there already.", mend="Give --out another file, or --force to write over it.")
    draft = draft_of(data, out.parent)
    text = toml(draft)
    # Read back before it is written: what is written works.
    tables = read_tables(parsed(text.encode(), out))
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.unlink(missing_ok=True)
    # Only for its owner: a database's URL may hold a password.
    part.touch(mode=0o600)
    part.write_text(text, encoding="utf-8")
    part.replace(out)
    types = tables.events["event_type"].cast(str).value_counts(sort=True).rows() if len(tables.events) else []
    read: dict[str, Any] = {
        "events": len(tables.events),
        "items": None if tables.items is None else len(tables.items),
        "users": None if tables.users is None else len(tables.users),
        "event_types": dict(types[:20]),
        "notes": [str(note) for note in tables.notes],
    }
    if as_json:
        sections = {name: [_shown(guess) for guess in guesses] for name, guesses in draft.sections.items()}
        unsure = [guess.ours for guess in draft.unsure]
        console.say_json({"out": str(out), "guesses": sections, "unsure": unsure, "notes": draft.notes, "read": read})
    else:
        _told(draft, read, out)


def _shown(guess: Guess) -> dict[str, Any]:
    from intently.log.sql import is_url, without_password

    return asdict(guess) | ({"theirs": without_password(guess.theirs)} if is_url(guess.theirs) else {})


def _told(draft: Draft, read: dict[str, Any], out: Path) -> None:
    for name, guesses in draft.sections.items():
        console.say(f"[{name}]")
        for guess in guesses:
            console.say(f"  {guess.ours} = {_shown(guess)['theirs']}")
            console.say(f"      {guess.why}" + (f"; otherwise {guess.second}" if guess.second else ""))
    types = ", ".join(f"{name} {count:,}" for name, count in read["event_types"].items())
    made = "; ".join(f"{read[name]:,} {name}" for name in ("events", "items", "users") if read[name] is not None)
    console.say(f"\nRead with this mapping: {made}. Event types: {types}.")
    for note in (*draft.notes, *read["notes"]):
        console.say(note)
    if draft.unsure:
        console.say("\nNot sure of these; look at them (marked CHECK in the file):")
        for guess in draft.unsure:
            console.say(f"  {guess.ours} = {guess.theirs}: {guess.why}")
    console.say(f"\nWritten to {out}. Next: intently pack --data {out} --out pack/")
