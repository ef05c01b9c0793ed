"""Events and items in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.responses import Response

from intently.errors import DataError
from intently.serve import bring
from intently.serve.access import needs
from intently.serve.arrivals import EventIn
from intently.serve.event import Event, Placed
from intently.serve.forms import Accepted, EventBatch, ItemBatch, Streamed
from intently.serve.gate import STREAM
from intently.serve.keys import WRITE, Caller
from intently.serve.problems import Problem
from intently.serve.reply import meta, reply
from intently.serve.service import Service

router = APIRouter(tags=["events"])
Writes = Annotated[Caller, Depends(needs(WRITE))]

_LINES = ("application/x-ndjson", "text/plain")
_LONGEST_LINE = 100_000
_TOGETHER = 500
_MOST_FAULTS = 100


@router.post("/v1/events", response_model=Accepted, status_code=201)
async def one_event(request: Request, event: EventIn, caller: Writes) -> Response:
    """Take one event. The answer comes when it is on disk; every later score has seen it."""
    return await took(request.app.state.service, [event], caller, request.state.request_id)


@router.post("/v1/events/batch", response_model=Accepted, status_code=201)
async def many_events(request: Request, batch: EventBatch, caller: Writes) -> Response:
    """Take up to 1,000 events: all of them, or none where one has a fault."""
    return await took(request.app.state.service, batch.events, caller, request.state.request_id)


@router.post(
    STREAM,
    response_model=Streamed,
    openapi_extra={"requestBody": {"content": {kind: {"schema": {"type": "string"}} for kind in _LINES}}},
)
async def stream(request: Request, caller: Writes) -> Response:
    """Take events as lines of JSON, as many as come; a line with a fault is left out and named."""
    service: Service = request.app.state.service
    faults: list[dict[str, Any]] = []
    rejected = accepted = duplicates = number = 0
    waiting: list[Event] = []

    async def write() -> None:
        nonlocal accepted, duplicates, waiting
        new, old, _ = await _written(service, waiting)
        accepted, duplicates, waiting = accepted + new, duplicates + old, []

    async for line in _lines(request.stream()):
        number += 1
        if not line.strip():
            continue
        try:
            waiting += service.receive([EventIn.model_validate_json(line)])
        except ValidationError as error:
            rejected += 1
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part)[:64] for part in first["loc"])
            faults.append({"line": number, "fault": f"{where}: {first['msg']}"[:200]})
        except DataError as error:
            rejected += 1
            faults.append({"line": number, "fault": f"{error.problem} {error.mend}"[:200]})
        del faults[_MOST_FAULTS:]
        if len(waiting) >= _TOGETHER:
            await write()
    if waiting:
        await write()
    service.monitor.events.labels("rejected").inc(rejected)
    told = {"accepted": accepted, "duplicates": duplicates, "rejected": rejected, "faults": faults}
    _noted(request, service, caller, "events.stream", 200)
    return reply(told | meta(service))


@router.post("/v1/items")
async def items(request: Request, batch: ItemBatch, caller: Writes) -> Response:
    """Say what items are. Their texts are read by the language model in the background; until then answers say so."""
    service: Service = request.app.state.service
    bodies = {}
    for one in batch.items:
        body = {"title": one.title, **(one.model_extra or {})}
        bodies[service.door.item(one.item_id)] = body

    def put() -> int:
        return service.store.put_items(bring.learn_columns(service.store, bodies))

    changed = await asyncio.to_thread(put)
    service.shelver.look()
    _noted(request, service, caller, "items", 200)
    return reply({"changed": changed, "items_behind": service.shelver.behind} | meta(service))


async def took(service: Service, given: list[EventIn], caller: Caller, request_id: str) -> Response:
    """Take events, all or none, and say so when they are on disk."""
    events = service.receive(given)
    accepted, duplicates, _ = await _written(service, events)
    service.audit.note(service.clock.now(), caller.key_id, "events", None, 201, request_id)
    ids = [event.event_id for event in events]
    return reply({"accepted": accepted, "duplicates": duplicates, "event_ids": ids} | meta(service), 201)


async def _written(service: Service, events: list[Event]) -> tuple[int, int, list[Placed | None]]:
    placed = await asyncio.wrap_future(service.append(events))
    accepted = sum(one is not None for one in placed)
    service.monitor.events.labels("accepted").inc(accepted)
    service.monitor.events.labels("duplicate").inc(len(events) - accepted)
    return accepted, len(events) - accepted, placed


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) > _LONGEST_LINE:
            raise Problem(413, f"A line may have {_LONGEST_LINE:,} bytes.")
    if rest:
        yield rest


def _noted(request: Request, service: Service, caller: Caller, action: str, status: int) -> None:
    service.audit.note(service.clock.now(), caller.key_id, action, None, status, request.state.request_id)
