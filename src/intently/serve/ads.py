"""Which of some ads a customer is likeliest to respond to: a question about events, asked before they happen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from intently.contract import AT, EachEvent, Examples, Past, Task, YesNo
from intently.errors import ConfigError, DataError
from intently.log import schema
from intently.log.pack import Array
from intently.serve.clock import moment
from intently.serve.models import Served
from intently.serve.pasts import History
from intently.serve.standing import Standing
from intently.tasks.ad_response import TASK as AD_RESPONSE

if TYPE_CHECKING:
    from intently.serve.loader import Loader
    from intently.serve.service import Service

# What a showing is called in the log.
IMPRESSION = "impression"
# Columns of ids, which some logs hold as whole numbers.
_IDS = (schema.USER, schema.EVENT, schema.SESSION, schema.ABOUT)
_TYPES = {schema.WORDS: pl.String, schema.NUMBER: pl.Float64, schema.FLAG: pl.Boolean, schema.OTHER: pl.Null}
_LARGEST = 1e12
# A text reader takes some ten milliseconds an ad.
_TOGETHER = 4


@dataclass(frozen=True)
class Ad:
    """An ad as it would be shown now; `more` are the further columns of the event."""

    item: str | None = None
    text: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chances:
    """The chance of each ad, in the order asked, with what it was made of."""

    task: str
    model: str
    as_of: int
    events: int
    newest: int
    chance: Array

    @property
    def tells_apart(self) -> bool:
        """Whether the ads differ at all: a predictor that reads the customer alone cannot rank them."""
        return len(self.chance) < 2 or bool(np.ptp(self.chance) > 0)


async def chances(service: Service, user: str, task: str | None, ads: Sequence[Ad]) -> Chances:
    """How likely a customer is to respond to each of some ads now.

    Raises ConfigError where nothing tells that, DataError for an ad that is not told as the log would.
    """
    served = service.models.champion
    asked = ad_task(served, task)

    history, written = await asyncio.to_thread(_told_by, service, user)
    at, found = service.clock.now(), []
    kinds = served.contract["tasks"].get(asked.name, {}).get("sees")
    shown = showings(asked, kinds, user, ads, served.shelf.ids.dtype, moment(at))
    for start in range(0, len(ads), _TOGETHER):
        # A few at a time: who asks something else waits for a few.
        act = partial(_chances, service.loader, served, asked, history, written, shown[start : start + _TOGETHER], at)
        found.append(await asyncio.wrap_future(service.worker.call(act)))
    return Chances(asked.name, served.version, at, len(history), history.newest, np.concatenate(found))


def _told_by(service: Service, user: str) -> tuple[History, list[str | None]]:
    """A customer's past, and what was written in each event of it."""

    def read() -> tuple[History, list[tuple[int, str | None]]]:
        return service.pasts.of(user), service.store.written_by(user)

    history, written = read()
    if history.mark != (max((seq for seq, _ in written), default=0), len(written)):
        # Something was stored between the two. Nothing waits here while files are written anew: then nothing is stored.
        with service.store.alone():
            history, written = read()
    return history, [text for _, text in written]


def ad_task(served: Served, name: str | None) -> Task:
    """The question about showings of that name, or the first. Raises ConfigError where there is none."""
    there = {task.name: task for task in served.trained.tasks if _of_showings(task)}
    wanted = AD_RESPONSE.name if name is None and not there else name
    if wanted is not None and wanted in served.trained.unread:
        # That says why, and what would mend it.
        served.trained.task(wanted)
    if not there or (name is not None and name not in there):
        mend = f"It answers {', '.join(there)}." if there else "Train on a log with impressions and clicks."
        raise ConfigError("The model does not answer that of an ad.", mend=mend)
    return next(iter(there.values())) if name is None else there[name]


def _chances(
    loader: Loader,
    served: Served,
    task: Task,
    history: History,
    written: Sequence[str | None],
    shown: pl.DataFrame,
    at: int,
) -> Array:
    """The chance of each showing (n,) if it were shown at that time: what `intently predict` says of such an event."""
    loader.refresh(served)
    standing = Standing.of(served.shelf, [history], pl.Series(schema.TEXT, list(written), dtype=pl.String))
    examples = Examples(task, shown)
    past = Past(standing, examples, (np.zeros(len(shown), dtype=np.int32), np.full(len(shown), at)))
    try:
        return np.asarray(served.trained.answer(examples, past).values[:, 0])
    finally:
        served.trained.forget_pasts()


def _of_showings(task: Task) -> bool:
    return isinstance(task.asks, EachEvent) and task.asks.kind == IMPRESSION and isinstance(task.answer, YesNo)


def showings(
    task: Task, kinds: Mapping[str, str] | None, user: str, ads: Sequence[Ad], ids: pl.DataType, when: datetime
) -> pl.DataFrame:
    """The showings as events that are asked about, with the columns that the question sees.

    `kinds` says what these hold in the log; what it does not name is not in the log. Without it, as in bundles of
    earlier versions, each holds what the first ad gives for it. Raises DataError for a value that is of another kind.
    """
    many = len(ads)
    told: dict[str, list[Any]] = {
        schema.USER: [user] * many,
        schema.TYPE: [IMPRESSION] * many,
        schema.TIME: [when] * many,
        schema.ARRIVED: [when] * many,
        schema.ITEM: [ad.item for ad in ads],
        schema.TEXT: [ad.text for ad in ads],
    }
    seen = []
    for name in task.sees:
        if kinds is None or name in kinds:
            values = told.get(name, [ad.more.get(name) for ad in ads])
            seen.append(_column(name, values, None if kinds is None else kinds[name], ids))
    frame = pl.DataFrame(
        {
            schema.EVENT: [f"ad {number}" for number in range(many)],
            schema.USER: [user] * many,
            AT: pl.Series([when] * many, dtype=schema.CLOCK),
        }
    )
    return frame.with_columns(seen)


def _column(name: str, values: Sequence[Any], kind: str | None, ids: pl.DataType) -> pl.Series:
    if name in (schema.TIME, schema.ARRIVED):
        return pl.Series(name, values, dtype=schema.CLOCK)
    if name == schema.ITEM:
        return pl.Series(name, values, dtype=pl.String).cast(ids, strict=False)
    if name in _IDS:
        column = pl.Series(name, values, dtype=pl.String)
        return column.cast(pl.Int64, strict=False) if kind == schema.NUMBER else column
    found = [None if value is None else _kind(value) for value in values]
    kind = kind or next((one for one in found if one is not None), schema.WORDS)
    for number, one in enumerate(found):
        if one is not None and (one != kind or kind == schema.OTHER):
            mend = "Leave it out." if kind == schema.OTHER else f"Send {kind}, as the log has it, or leave it out."
            raise DataError(f"Ad {number}: {name} is not what the log has in that column.", mend=mend)
    return pl.Series(name, values, dtype=_TYPES[kind], strict=False)


def _kind(value: Any) -> str:
    """What a value is, in the words for columns."""
    if isinstance(value, bool):
        return schema.FLAG
    if isinstance(value, int | float):
        # As of events: a number that is none, or too long, would be told as no log can tell it.
        return schema.NUMBER if -_LARGEST <= value <= _LARGEST else schema.OTHER
    return schema.WORDS if isinstance(value, str) else schema.OTHER
