"""`intently recommend`: what one customer is likely to want next, and the other answers about them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from intently.cli import console

EXAMPLE = "Example: intently recommend bundle/ --data shop/ --user 1"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    user: Annotated[str, typer.Option("--user", help="A customer's id.")],
    at: Annotated[str | None, typer.Option("--at", help="As of this date (UTC); the end of the log without it.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many items.")] = 10,
    as_json: console.JSON = False,
) -> None:
    """Rank the catalogue for one customer, and give the other answers about them."""
    from intently.log.log import Log, moment
    from intently.ship.bundle import load

    trained = load(bundle, console.every_task())
    log = Log.read(data)
    when = moment(at) if at else log.observed_until
    told = answers(trained, log.before(when), user, when, k)
    if as_json:
        console.say_json(told)
        return
    console.say(f"customer {told['user_id']} as of {told['at']}")
    for item in told.get("next_item", []):
        console.say(f"  {item['rank']:>2}. {item['item_id']}  {item['title']}  ({item['score']:.3f})")
    for name, value in told["answers"].items():
        console.say(f"  {name}: {value}")


def answers(trained: Any, log: Any, user: str, when: Any, k: int) -> dict[str, Any]:
    """Everything the model says of one customer, as plain values. Raises DataError for an unknown id."""
    import polars as pl

    from intently.contract import AT, Amount, Examples, Past, Ranking, Shares, YesNo
    from intently.errors import DataError
    from intently.log import schema

    ids = log.pack.user_ids
    wanted = pl.Series([user]).cast(ids.dtype, strict=False)
    if wanted[0] is None or not ids.is_in(wanted.implode()).any():
        raise DataError(
            f"Customer {user!r} has no event before {when:%Y-%m-%d %H:%M}.",
            mend=f"Use an id of the log, such as {ids[0] if len(ids) else 'none'}, or a later --at.",
        )
    told: dict[str, Any] = {"user_id": wanted[0], "at": when.isoformat(), "answers": {}}
    asked = pl.DataFrame({schema.USER: wanted}).with_columns(pl.lit(when).cast(pl.Datetime("us", "UTC")).alias(AT))
    for task in trained.tasks:
        if task.key != schema.USER:
            continue
        examples = Examples(task, asked)
        scores = trained.answer(examples, Past(log, examples))
        frame = scores.frame(examples)
        match task.answer:
            case Ranking(of=of):
                best = frame.head(k).join(
                    log.items.select(of, *[c for c in (schema.TITLE, schema.CATEGORY) if c in log.items.columns]),
                    on=of,
                    how="left",
                    maintain_order="left",
                )
                told[task.name] = best.drop(schema.USER, AT).to_dicts()
            case YesNo():
                told["answers"][task.name] = round(float(frame["score"][0]), 4)
            case Amount(unit=unit):
                row = frame.row(0, named=True)
                told["answers"][task.name] = {key: round(row[key], 2) for key in ("mean", "low", "high")} | {"unit": unit}
            case Shares():
                values = dict(zip(scores.labels, scores.values[0].tolist(), strict=True))
                best_labels = sorted(values, key=lambda label: -values[label])[:5]
                told["answers"][task.name] = {label: round(values[label], 4) for label in best_labels}
            case _:
                told["answers"][task.name] = frame.drop(schema.USER, AT).to_dicts()[0]
    return told
