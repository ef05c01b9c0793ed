"""`intently check`: what is wrong with a log, and which questions it can answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.cli import console
from intently.errors import ConfigError

if TYPE_CHECKING:
    from intently.evaluate.suits import Verdict
    from intently.log.check import Checked

EXAMPLE = "Example: intently check shop/ --rejects rejects.parquet"

_KINDS = (".parquet", ".csv")


def command(
    data: Annotated[str, typer.Argument(help="The log: what --data takes elsewhere.")],
    tasks: Annotated[str | None, typer.Option("--tasks", help="Tasks by name: a,b (all, without it).")] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Judge what was known before this date (UTC); all, without it.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="File for the rows set aside: .parquet or .csv.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for check.json and, unless --rejects is given, rejects.parquet."),
    ] = None,
    as_json: console.JSON = False,
) -> None:
    """Name every fault of a log, and say for each task whether it will work on this shop.

    Exit code 1 only where the log cannot be used at all.
    """
    from intently.evaluate.suits import suits
    from intently.log.check import tell
    from intently.log.log import Log, moment

    asked = console.chosen_tasks(None if tasks is None else tasks.split(","))
    at = moment(until) if until else None
    if rejects is None and out is not None:
        rejects = out / "rejects.parquet"
    if rejects is not None and rejects.suffix not in _KINDS:
        raise ConfigError(f"--rejects {rejects} is no table.", mend="Give a name that ends in .parquet or .csv.")
    found: list[Checked] = []

    def watch(one: Checked) -> None:
        # Before the log is made: what cannot be used is shown too.
        found.append(one)
        if rejects is not None:
            _write_rejects(one, rejects)
        if not as_json:
            _show_findings(one)
        if one.events.is_empty():
            tell(one)

    with console.progress(as_json) as progress:
        progress("reading", 0.0)
        log = Log.read(data, watch=watch)
        progress("reading", 1.0)
        verdicts = suits(log, asked, at)
        progress("asking each task", 1.0)
    content = _content(found[0], verdicts, rejects)
    if out is not None:
        _write_json(content, out / "check.json")
    if as_json:
        console.say_json(content)
        return
    _show_verdicts(verdicts)
    _say_rest(found[0], rejects)


def _content(found: Checked, verdicts: Sequence[Verdict], rejects: Path | None) -> dict[str, Any]:
    return {
        "rows_read": found.rows_read,
        "rows_set_aside": found.rows_read - len(found.events),
        "rejects": None if rejects is None else str(rejects),
        "findings": [asdict(one) for one in found.findings],
        "tasks": {
            one.task: {
                "outcome": one.outcome,
                "numbers": one.numbers,
                "reasons": [{"problem": problem, "mend": mend} for problem, mend in one.reasons],
            }
            for one in verdicts
        },
    }


def _show_findings(found: Checked) -> None:
    from rich.markup import escape
    from rich.table import Table

    if not found.findings:
        console.say(f"{found.rows_read:,} events read; no row is at fault.")
        return
    table = Table(title=f"{found.rows_read:,} events read, {found.rows_read - len(found.events):,} set aside")
    for column in ("", "table", "column", "rows", "first row", "what", "what to do"):
        table.add_column(column, overflow="fold")
    for one in found.findings:
        first = "" if one.first_row is None else f"{one.first_row:,}"
        table.add_row(
            one.severity, one.table, one.column or "", f"{one.count:,}", first, escape(one.problem), escape(one.mend)
        )
    console.show(table)


def _show_verdicts(verdicts: Sequence[Verdict]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Will it work on this shop?")
    for column in ("task", "verdict", "why", "numbers"):
        table.add_column(column, overflow="fold")
    for one in verdicts:
        why = "\n".join(f"{problem}. {mend}" for problem, mend in one.reasons)
        numbers = ", ".join(
            f"{name} {value:,.4g}" if value < 1000 else f"{name} {value:,.0f}" for name, value in one.numbers.items()
        )
        table.add_row(one.task, one.outcome, escape(why), escape(numbers))
    console.show(table)


def _say_rest(found: Checked, rejects: Path | None) -> None:
    aside = len(found.rejects)
    if rejects is not None:
        console.say(f"{aside:,} rows set aside, with their reasons, in {rejects}")
    elif aside:
        console.say(f"{aside:,} rows are set aside; --rejects rejects.parquet writes them with their reasons.")


def _write_rejects(found: Checked, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    if file.suffix == ".parquet":
        found.rejects.write_parquet(part)
    else:
        found.rejects.write_csv(part)
    part.replace(file)


def _write_json(content: dict[str, Any], file: Path) -> None:
    import json

    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
