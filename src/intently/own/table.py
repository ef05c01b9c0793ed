"""A shop's own questions: a `[[tasks]]` table of its config as a Task, its SQL checked before any work.

The same fields as `contract.Task`, with `truth`, `where` and `among` as SQL expressions. A bundle keeps
the table, so it answers where the config is not at hand. Nothing here runs code of the shop's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from intently import metrics, toml
from intently.contract import Amount, Answer, EachEvent, Everyone, OneOf, Ranking, Shares, Task, YesNo
from intently.errors import ConfigError
from intently.log import schema
from intently.log.expression import SqlFault, expression
from intently.toml import Fault

LEAVE_OUT = "leave_out"

_SQL = ("truth", "where", "among")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_STRICT = ConfigDict(extra="forbid", strict=True)

_METRICS: Mapping[type, tuple[str, ...]] = {
    YesNo: ("log_loss", "auroc", "auprc", "brier", "ece"),
    OneOf: ("log_loss", "accuracy", "macro_f1"),
    Amount: ("pinball", "spearman", "mae", "rmse", "coverage_90", "total_ratio"),
    Ranking: ("ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10", "coverage", "diversity"),
    Shares: ("jensen_shannon", "top_share"),
}


class _Asks(BaseModel):
    model_config = _STRICT
    key: str | None = None
    event: str | None = None
    span: str = "7d"


class _Answer(BaseModel):
    model_config = _STRICT
    yes_no: bool | None = None
    one_of: list[str] | None = None
    amount: str | None = None
    ranking: str | None = None
    shares: str | None = None
    absent: str | None = None
    unseen: bool = False


class _Wording(BaseModel):
    model_config = _STRICT
    en: str | None = None
    zh: str | None = None


class Table(BaseModel):
    """What a `[[tasks]]` table may hold."""

    model_config = _STRICT
    name: str
    asks: _Asks = Field(default_factory=lambda: _Asks(key=schema.USER))
    among: str | None = None
    horizon: str
    answer: _Answer
    truth: str | None = None
    where: str | None = None
    absent: bool | float | str | None = None
    sees: list[str] = Field(default_factory=list)
    wording: _Wording
    metrics: list[str] = Field(default_factory=list)
    must_beat: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, table: Any) -> Any:
        if isinstance(table.get("asks"), str):
            table = {**table, "asks": {"key": table["asks"]}}
        return {**table, "answer": {"yes_no": True}} if table.get("answer") == "yes_no" else table


def task(table: Mapping[str, Any]) -> Task:
    """The task that a table means. Raises ConfigError that tells every fault, with carets under those of SQL."""
    made, faults = read(table)
    toml.refuse(
        faults, f"Task {table.get('name', '')}".strip(), mend="docs/own-questions.md says what a task may hold."
    )
    assert made is not None
    return made


def read(table: Mapping[str, Any]) -> tuple[Task | None, list[Fault]]:
    """The task that a table means, or what is wrong with it by key."""
    try:
        told = Table.model_validate(dict(table))
    except ValidationError as error:
        faults = toml.faults_of(error, Table)
        for key in _SQL:
            _sql(table.get(key), key, faults)
        return None, faults
    faults = []
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", told.name):
        faults.append(Fault(("name",), f"{told.name!r} is not a name: small letters, digits and _, a letter first"))
    horizon = _span(told.horizon, ("horizon",), faults)
    answer = _answer(told, faults)
    asks = _asks(told, faults)
    if told.wording.en is None and told.wording.zh is None:
        faults.append(Fault(("wording",), "the question is not put into words: give wording.en or wording.zh"))
    if answer is None or horizon is None or asks is None:
        # The SQL is read all the same, so that its faults are told too.
        for key in ("truth", "where"):
            _sql(getattr(told, key), key, faults)
        return None, faults
    absent = _absent(told, answer, faults)
    must_beat = told.must_beat or _opponent(asks, answer)
    faults += _name_faults(told, answer)
    truth = _truth(told, answer, absent, faults)
    if faults or truth is None:
        return None, faults
    wording = {"en": told.wording.en or told.wording.zh or "", "zh": told.wording.zh or told.wording.en or ""}
    names = tuple(told.metrics) or _METRICS[type(answer)]
    # What was left to a default is written out: a bundle means the same when a default changes.
    settled: dict[str, Any] = {"metrics": list(names), "must_beat": must_beat, "wording": wording}
    if not isinstance(answer, OneOf):
        settled["absent"] = LEAVE_OUT if absent is None else absent
    return Task(
        name=told.name,
        asks=asks,
        answer=answer,
        horizon=horizon,
        truth=truth,
        absent=absent,
        wording=wording,
        sees=tuple(told.sees),
        metrics=names,
        must_beat=must_beat,
        written=json.loads(json.dumps({**table, **settled})),
    ), []


def _span(text: str, key: toml.Key, faults: list[Fault]) -> timedelta | None:
    """A length of time such as 36h, 14d or 2w."""
    found = re.fullmatch(r"\s*([0-9]{1,5})\s*([hdw])\s*", text)
    if found is None or int(found[1]) == 0:
        faults.append(Fault(key, f"{text!r} is not a length of time: write hours, days or weeks, as in 36h, 14d or 2w"))
        return None
    return int(found[1]) * _UNITS[found[2]]


def _answer(told: Table, faults: list[Fault]) -> Answer | None:
    form = told.answer
    kinds = [kind for kind in ("yes_no", "one_of", "amount", "ranking", "shares") if getattr(form, kind)]
    key = ("answer",)
    if len(kinds) != 1:
        said = "one kind is needed: " + '"yes_no", { one_of = [...] }, { amount = "EUR" }, '
        faults.append(Fault(key, said + '{ ranking = "item_id" } or { shares = "category" }'))
        return None
    if form.absent is not None and kinds != ["one_of"]:
        faults.append(Fault((*key, "absent"), "belongs to one_of; write `absent` beside `truth`"))
    if form.unseen and kinds != ["ranking"]:
        faults.append(Fault((*key, "unseen"), "belongs to a ranking"))
    if form.ranking is not None and form.ranking != schema.ITEM:
        faults.append(Fault((*key, "ranking"), f"{form.ranking!r} cannot be ranked, only {schema.ITEM!r}"))
    if form.one_of is not None:
        labels = tuple(dict.fromkeys([*form.one_of, *([] if form.absent is None else [form.absent])]))
        if len(labels) < 2:
            faults.append(Fault((*key, "one_of"), "it takes two labels or more"))
        return OneOf(labels, form.absent)
    if form.amount is not None:
        return Amount(form.amount)
    if form.ranking is not None:
        return Ranking(form.ranking, form.unseen)
    return YesNo() if form.shares is None else Shares(form.shares)


def _asks(told: Table, faults: list[Fault]) -> Everyone | EachEvent | None:
    if told.asks.event is not None:
        if told.asks.key is not None:
            faults.append(Fault(("asks",), "it names a key or an event, not both"))
        if told.among is not None:
            faults.append(Fault(("among",), "belongs to a question about customers or items, not about events"))
        span = _span(told.asks.span, ("asks", "span"), faults)
        return None if span is None else EachEvent(told.asks.event, span)
    if told.sees:
        faults.append(Fault(("sees",), "belongs to a question about events"))
    if told.asks.key not in (schema.USER, schema.ITEM):
        said = f'{told.asks.key!r} cannot be asked: write "{schema.USER}", "{schema.ITEM}" or {{ event = "review" }}'
        faults.append(Fault(("asks",), said))
        return None
    return Everyone(told.asks.key, _sql(told.among, "among", faults))


def _absent(told: Table, answer: Answer, faults: list[Fault]) -> bool | float | str | None:
    """The truth of those of whom the window says nothing; None leaves them out."""
    said, about_events = told.absent, told.asks.event is not None
    key = ("absent",)
    if said == LEAVE_OUT:
        if isinstance(answer, OneOf) and answer.absent is not None:
            said = f"the answer gives those of whom nothing is heard {answer.absent!r}: say one of the two"
            faults.append(Fault(key, said))
        return None
    match answer:
        case YesNo():
            if said is not None and not isinstance(said, bool):
                faults.append(Fault(key, f'{said!r} is not true, false or "{LEAVE_OUT}"'))
            return None if said is None and about_events else bool(said)
        case Amount():
            if said is not None and (isinstance(said, bool | str) or not 0 <= said < float("inf")):
                faults.append(Fault(key, f'{said!r} is not a number from 0 on, or "{LEAVE_OUT}"'))
                return None
            return None if said is None and about_events else float(said or 0.0)
        case OneOf():
            if said is not None:
                faults.append(Fault(key, 'a one_of says it in its answer: answer = { one_of = [...], absent = "..." }'))
            return answer.absent
        case Ranking() | Shares():
            if said is not None:
                faults.append(Fault(key, f'nothing cannot be ranked or shared out: only "{LEAVE_OUT}" is possible'))
            return None


def _truth(told: Table, answer: Answer, absent: bool | float | str | None, faults: list[Fault]) -> pl.Expr | None:
    """The truth as one aggregate; where SQL gives null (nothing to aggregate), it is `absent`."""
    where = _sql(told.where, "where", faults)
    match answer:
        case Ranking(of=of) | Shares(of=of):
            if told.truth is not None and told.truth.strip() != of:
                said = f"it is the column itself, {of!r}: leave it out, and say which rows count with `where`"
                faults.append(Fault(("truth",), said))
            rows = pl.col(of).is_not_null() if where is None else pl.col(of).is_not_null() & where
            chosen = pl.col(of).filter(rows)
            if isinstance(answer, Ranking):
                return pl.when(chosen.len() > 0).then(chosen.unique().sort().implode())
            # The form of Shares: (weight, label) in alphabetic order.
            counted = chosen.cast(pl.String).sort().rle().struct.rename_fields(["weight", "label"]).implode()
            return pl.when(chosen.len() > 0).then(counted)
        case YesNo() | Amount() | OneOf():
            if told.where is not None:
                said = "belongs to rankings and shares; in an aggregate write sum(amount) filter (where ...)"
                faults.append(Fault(("where",), said))
            if told.truth is None:
                faults.append(Fault(("truth",), "the key is missing"))
            truth = _sql(told.truth, "truth", faults)
            if truth is None:
                return None
            if isinstance(answer, Amount):
                truth = truth.cast(pl.Float64)
            truth = truth if absent is None else pl.coalesce(truth, pl.lit(absent))
            if isinstance(answer, OneOf):
                # What is none of the labels is no answer; `check` tells how often it happens.
                truth = pl.when(truth.is_in(list(answer.labels))).then(truth)
            return truth


def _sql(text: Any, key: str, faults: list[Fault]) -> pl.Expr | None:
    if not isinstance(text, str):
        return None
    try:
        return expression(text)
    except SqlFault as fault:
        faults.append(Fault((key,), fault.told()))
        return None


def _opponent(asks: Everyone | EachEvent, answer: Answer) -> str:
    """The strongest simple predictor of such a question."""
    customers = isinstance(asks, Everyone) and asks.key == schema.USER
    match answer:
        case YesNo() | Amount() if customers:
            return "lightgbm"
        case Amount() if isinstance(asks, Everyone):
            return "mean_56_days"
        case Ranking():
            return "repeat_purchase"
        case Shares():
            return "own_shares"
        case _:
            return "constant"


def _name_faults(told: Table, answer: Answer) -> list[Fault]:
    faults = []
    for number, name in enumerate(told.metrics):
        try:
            metrics.of(type(answer).__name__, (name,))
        except ConfigError as error:
            faults.append(Fault(("metrics", number), str(error)))
    if isinstance(answer, Ranking | Shares) and told.asks.key != schema.USER:
        faults.append(Fault(("asks",), f'rankings and shares are asked of customers: asks = "{schema.USER}"'))
    if told.must_beat is not None:
        # Loaded only where it is needed: boosters take a second.
        from intently.baselines import ALL

        known = sorted({kind().name for kind in ALL})
        if told.must_beat not in known:
            near = get_close_matches(told.must_beat, known, n=1, cutoff=0.0)[0]
            faults.append(Fault(("must_beat",), f"there is no baseline {told.must_beat!r}; did you mean {near!r}?"))
    return faults
