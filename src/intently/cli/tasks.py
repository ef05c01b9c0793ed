"""`intently tasks`: every question that can be asked, and how much there is to learn it from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.contract import Answer, Examples, Task
    from intently.log.log import Log

EXAMPLE = "Example: intently tasks --data shop/ --config intently.toml"


def command(
    data: Annotated[str | None, typer.Option("--data", help="A log: count the newest examples of each.")] = None,
    config: console.CONFIG = None,
    as_json: console.JSON = False,
) -> None:
    """List the built-in questions and your own; with --data, try each on the newest whole window."""
    found = console.config_of(data, config)
    every = (*console.every_task(), *found.tasks)
    rows = [_row(task) for task in every]
    warnings: list[str] = []
    if data is not None:
        from intently import own
        from intently.log.log import Log

        log = Log.read(data)
        for task, row in zip(every, rows, strict=True):
            warnings += own.check(task, log)
            row |= _counts(task, log)
    if as_json:
        console.say_json({"tasks": rows, "warnings": warnings})
        return
    _show(rows, counted=data is not None)
    for warning in warnings:
        console.say(f"warning: {warning}")


def _row(task: Task) -> dict[str, Any]:
    from intently.contract import Everyone
    from intently.tasks import EVERY

    built_in = any(task is one for one in EVERY)
    asked = task.asks.key if isinstance(task.asks, Everyone) else f"each {task.asks.kind}"
    some = isinstance(task.asks, Everyone) and task.asks.among is not None
    row: dict[str, Any] = {
        "name": task.name,
        "from": "built in" if built_in else "installed" if task.written is None else "own",
        "asks": asked + (", some" if some else ""),
        "horizon_days": task.horizon.total_seconds() / 86_400,
        "answer": _answer(task.answer),
        "wording": dict(task.wording),
    }
    return row if task.written is None else row | {"written": dict(task.written)}


def _answer(answer: Answer) -> str:
    from intently.contract import Amount, OneOf, Ranking, Shares, YesNo

    match answer:
        case YesNo():
            return "yes or no"
        case OneOf(labels=labels):
            return f"one of {', '.join(labels)}"
        case Amount(unit=unit):
            return f"amount of {unit}"
        case Ranking(of=of):
            return f"ranking of {of}"
        case Shares(of=of):
            return f"shares of {of}"


def _counts(task: Task, log: Log) -> dict[str, Any]:
    """How many examples there are on the newest cut-off, how many have no truth, and how the truths lie."""
    from intently import own
    from intently.errors import IntentlyError

    try:
        examples = own.newest_examples(task, log)
    except IntentlyError as error:
        return {"problem": str(error)}
    return {
        "at": examples.cutoffs[-1].isoformat() if len(examples) else None,
        "examples": len(examples),
        "left_out": examples.left_out,
        "truths": _truths(examples),
    }


def _truths(examples: Examples) -> dict[str, int]:
    """How many are true, above nothing, of each label; a ranking and shares always have something."""
    from intently.contract import Amount, OneOf, Ranking, Shares, YesNo

    truth = examples.truth
    match examples.task.answer:
        case YesNo():
            return {"yes": int(truth.sum())}
        case Amount():
            return {"above 0": int((truth > 0).sum())}
        case OneOf(labels=labels):
            return {label: int((truth == label).sum()) for label in labels}
        case Ranking() | Shares():
            return {"with some": len(truth)}


def _show(rows: list[dict[str, Any]], *, counted: bool) -> None:
    from rich.table import Table

    table = Table(title="Questions")
    for column in ("name", "from", "asks", "days", "answer", "question", *(["newest examples"] if counted else [])):
        table.add_column(column)
    for row in rows:
        question = row["wording"].get("en", "")
        cells = [row["name"], row["from"], row["asks"], f"{row['horizon_days']:g}", row["answer"], question]
        if counted:
            cells.append(row.get("problem") or _told(row))
        table.add_row(*cells)
    console.show(table)


def _told(row: dict[str, Any]) -> str:
    parts = [f"{count:,} {name}" for name, count in row["truths"].items()]
    left = f"; {row['left_out']:,} left out" if row["left_out"] else ""
    return f"{row['examples']:,}: {', '.join(parts)}{left}"
