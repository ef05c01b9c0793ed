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
from intently.errors import ConfigError
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
    """How likely a customer is to respond to each of some ads now. Raises ConfigError where nothing tells that."""
    served = service.models.champion
    asked = ad_task(served, task)

    history, written = await asyncio.to_thread(_told_by, service, user)
    at, found = service.clock.now(), []
    for start in range(0, len(ads), _TOGETHER):
        # A few at a time: who asks something else waits for a few.
        act = partial(_chances, service.loader, served, asked, history, written, ads[start : start + _TOGETHER], at)
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
    ads: Sequence[Ad],
    at: int,
) -> Array:
    """The chance of each ad (n,) if it were shown at that time: what `intently predict` says of such an event."""
    loader.refresh(served)
    standing = Standing.of(served.shelf, [history], pl.Series(schema.TEXT, list(written), dtype=pl.String))
    examples = Examples(task, _showings(task, ads, served.shelf.ids.dtype, moment(at)))
    past = Past(standing, examples, (np.zeros(len(ads), dtype=np.int32), np.full(len(ads), at)))
    try:
        return np.asarray(served.trained.answer(examples, past).values[:, 0])
    finally:
        served.trained.forget_pasts()


def _of_showings(task: Task) -> bool:
    return isinstance(task.asks, EachEvent) and task.asks.kind == IMPRESSION and isinstance(task.answer, YesNo)


def _showings(task: Task, ads: Sequence[Ad], ids: pl.DataType, when: datetime) -> pl.DataFrame:
    """The showings as events that are asked about, with the columns that the question sees."""
    items = pl.Series(schema.ITEM, [ad.item for ad in ads], dtype=pl.String).cast(ids, strict=False)
    frame = pl.DataFrame(
        {
            schema.EVENT: [f"ad {number}" for number in range(len(ads))],
            schema.USER: np.zeros(len(ads), dtype=np.int64),
            schema.ITEM: items,
            AT: pl.Series([when] * len(ads), dtype=schema.CLOCK),
        }
    )
    told = {schema.TEXT: [ad.text for ad in ads]}
    told |= {name: [ad.more.get(name) for ad in ads] for name in task.sees if name not in (schema.TEXT, schema.ITEM)}
    seen = [pl.Series(name, values, strict=False) for name, values in told.items() if name in task.sees]
    return frame.with_columns(seen)
