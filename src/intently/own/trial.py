"""A shop's own question tried on its log: are the columns there, and is the truth what its answer needs?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from intently import toml
from intently.contract import TRUTH, Amount, EachEvent, Examples, OneOf, Ranking, Shares, Task, YesNo
from intently.errors import TooFewExamples
from intently.log import schema
from intently.log.expression import SqlFault, tried, unknown_columns
from intently.log.log import Log
from intently.log.nearest import nearest
from intently.toml import Fault

_ROWS = 1000


def check(task: Task, log: Log) -> list[str]:
    """Try an own task on a log; gives warnings, sentences about what is allowed but of little use.

    Raises ConfigError that tells every fault. A task that is not of a table has none.
    """
    if task.written is None:
        return []
    written = task.written
    faults = [*_column_faults(task, written, log), *_event_faults(task, log)]
    if not faults:
        faults = _type_faults(task, written, log)
    if not faults:
        faults = _value_faults(task, log)
    toml.refuse(faults, f"Task {task.name}:", mend="docs/own-questions.md shows how each kind of question is written.")
    return _warnings(task, written, log)


def newest_examples(task: Task, log: Log) -> Examples:
    """The examples at the latest time whose windows are wholly observed. Raises TooFewExamples where none is."""
    span = task.asks.span if isinstance(task.asks, EachEvent) else None
    at = log.observed_until - task.horizon
    return task.examples(log, [at if span is None else at - span])


def _columns(log: Log) -> list[str]:
    items = [name for name in log.items.columns if name not in log.events.columns]
    return [*log.events.columns, *(items if schema.ITEM in log.events.columns else [])]


def _rows(log: Log) -> pl.DataFrame:
    """The first and the last events with all that is said of their items."""
    some = pl.concat([log.events.head(_ROWS), log.events.slice(_ROWS).tail(_ROWS)])
    more = [name for name in log.items.columns if name not in some.columns]
    if schema.ITEM not in some.columns or not more:
        return some
    return some.join(log.items.select(schema.ITEM, *more), on=schema.ITEM, how="left")


def _column_faults(task: Task, written: Mapping[str, Any], log: Log) -> list[Fault]:
    columns = _columns(log)
    faults = [
        Fault((key,), fault.told())
        for key in ("truth", "among", "where")
        if key in written
        for fault in unknown_columns(written[key], columns)
    ]
    named: dict[toml.Key, list[str]] = {("sees",): [name for name in task.sees if name not in log.events.columns]}
    match task.answer:
        case Ranking(of=of):
            named["answer", "ranking"] = [] if of in log.events.columns else [of]
        case Shares(of=of):
            # Shares are of what is said of items: a past is summed by it too.
            named["answer", "shares"] = [] if of in log.items.columns else [of]
        case YesNo() | OneOf() | Amount():
            pass
    if task.key not in log.events.columns:
        named["asks",] = [task.key]
    for key, missing in named.items():
        known = log.items.columns if key[-1] == "shares" else log.events.columns
        faults += [Fault(key, f"there is no column {name!r}{_nearest(name, known)}") for name in missing]
    return faults


def _event_faults(task: Task, log: Log) -> list[Fault]:
    if not isinstance(task.asks, EachEvent):
        return []
    faults = []
    kinds = log.events[schema.TYPE].cast(pl.String).unique().sort().to_list()
    if task.asks.kind not in kinds:
        said = f"there is no event {task.asks.kind!r}{_nearest(task.asks.kind, kinds)}"
        faults.append(Fault(("asks", "event"), said))
    if schema.ABOUT not in log.events.columns:
        faults.append(Fault(("asks",), f"no event speaks of another one: there is no column {schema.ABOUT!r}"))
    return faults


def _nearest(name: str, known: list[str]) -> str:
    near = nearest(name, known)
    return f"; there are {', '.join(known)}" if near is None else f"; did you mean {near!r}?"


def _type_faults(task: Task, written: Mapping[str, Any], log: Log) -> list[Fault]:
    rows = _rows(log)
    faults: list[Fault] = []
    if "among" in written:
        faults += _form(written["among"], "among", rows, pl.Boolean, aggregates=True)
    if "where" in written:
        faults += _form(written["where"], "where", rows, pl.Boolean, aggregates=False)
    match task.answer:
        case YesNo():
            faults += _form(written["truth"], "truth", rows, pl.Boolean, aggregates=True)
        case OneOf():
            faults += _form(written["truth"], "truth", rows, pl.String, aggregates=True)
        case Amount():
            faults += _form(written["truth"], "truth", rows, pl.Float64, aggregates=True)
        case Ranking() | Shares():
            pass
    return faults


def _form(text: str, key: str, rows: pl.DataFrame, wanted: type[pl.DataType], *, aggregates: bool) -> list[Fault]:
    """What is wrong with the type of an expression's values, or with how many it gives."""
    try:
        found = tried(text, rows)
    except SqlFault as fault:
        return [Fault((key,), fault.told())]
    dtype = found["value"].dtype
    numeric = wanted == pl.Float64
    fits = dtype.is_numeric() if numeric else dtype == wanted
    faults = []
    if not fits and dtype != pl.Null:
        needed = "a number" if numeric else "yes or no" if wanted == pl.Boolean else "one of the labels, as text,"
        hint = "; write a comparison, such as sum(amount) > 0" if wanted == pl.Boolean and dtype.is_numeric() else ""
        faults.append(_whole(text, key, f"it gives {dtype} where {needed} is needed{hint}"))
    if aggregates and len(rows) > 1 and len(found) != 1:
        some = "sum(...)" if numeric else "bool_or(...)" if wanted == pl.Boolean else "max(...)"
        said = f"it gives a value for every row, not one for the asked one: put it into an aggregate, such as {some}"
        faults.append(_whole(text, key, said))
    if not aggregates and len(rows) > 1 and len(found) != len(rows):
        faults.append(_whole(text, key, "it is an aggregate; here each row is asked whether it counts"))
    return faults


def _whole(text: str, key: str, said: str) -> Fault:
    return Fault((key,), SqlFault(said, text, 0, len(text)).told())


def _value_faults(task: Task, log: Log) -> list[Fault]:
    if not isinstance(task.answer, Amount):
        return []
    try:
        truth = newest_examples(task, log).truth
    except TooFewExamples:
        return []
    bad = truth.filter(~(truth.is_finite() & (truth >= 0)))
    if not len(bad):
        return []
    said = (
        f"{len(bad)} of the {len(truth)} newest truths are negative or not finite, such as {bad[0]}: amounts start at 0"
    )
    return [Fault(("truth",), said)]


def _warnings(task: Task, written: Mapping[str, Any], log: Log) -> list[str]:
    try:
        examples = newest_examples(task, log)
    except TooFewExamples as error:
        return [str(error)]
    if not len(examples):
        left = f", and {examples.left_out} have no truth" if examples.left_out else ""
        return [f"Task {task.name}: nobody is asked on the newest cut-off{left}. Look at among, where and absent."]
    when = f"on the newest cut-off, {examples.cutoffs[-1]:%Y-%m-%d},"
    told = []
    if not isinstance(task.answer, Ranking | Shares) and examples.truth.n_unique() == 1:
        told.append(
            f"Task {task.name}: {when} the truth is {examples.truth[0]} for all {len(examples)} asked. "
            "Nothing can be learned from one class: look at truth and horizon."
        )
    if isinstance(task.answer, OneOf):
        never = [label for label in task.answer.labels if label not in set(examples.frame[TRUTH])]
        if never:
            told.append(f"Task {task.name}: {when} nobody is {', '.join(map(repr, never))}.")
        told += [f"Task {task.name}: {when} {said}, and are left out." for said in _left_out(task, examples, log)]
    return told


def _left_out(task: Task, examples: Examples, log: Log) -> list[str]:
    """How many of those asked for a label have none, and why."""
    silent = 0
    if examples.left_out and task.absent is None:
        heard = replace(task, answer=YesNo(), truth=pl.len() > 0, absent=False)
        silent = int((~newest_examples(heard, log).truth).sum())
    rest, wrong = examples.left_out - silent, "no label" if task.absent is not None else "empty or no label"
    said = [f"{silent} have no rows in the window (`absent` of the answer may say their label)"] if silent else []
    return said + ([f"{rest} have a truth that is {wrong}"] if rest else [])
