"""What a customer may ask for, what an operator does, and what machines watch."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from intently.serve.access import needs
from intently.serve.forms import Share
from intently.serve.keys import ADMIN, READ, Caller
from intently.serve.models import Served
from intently.serve.problems import Problem
from intently.serve.reply import meta, reply
from intently.serve.routes_scores import Who
from intently.serve.service import Service

router = APIRouter(tags=["operation"])
Admins = Annotated[Caller, Depends(needs(ADMIN))]
Reads = Annotated[Caller, Depends(needs(READ))]
Name = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("/v1/users/{user_id:path}")
async def known_of(request: Request, user_id: Who, caller: Admins) -> Response:
    """Everything that is kept of a customer, and what others said about their events: what they may ask to see."""
    service: Service = request.app.state.service
    user = service.door.user(user_id)
    told = await asyncio.to_thread(service.store.known_of, user, user_id, service.door.user)
    _note(request, service, caller, "export", user)
    return reply({"user_id": user_id} | told | meta(service))


@router.delete("/v1/users/{user_id:path}")
async def forget(request: Request, user_id: Who, caller: Admins) -> Response:
    """Forget a customer: state, caches and kept answers; says what a retraining must leave out."""
    service: Service = request.app.state.service
    user = service.door.user(user_id)
    gone = await asyncio.to_thread(service.forget, user, user_id)
    _note(request, service, caller, "forget", user)
    retrain = {
        "leave_out": list(gone.ids),
        "models": [one.version for one in service.models.line.loaded],
        "note": "Models that were trained before have still learned from them; forget them in the shop's own log too.",
    }
    told = {"events": gone.events, "ids": len(gone.ids), "dead_letters": gone.dead_letters, "pack_rows": gone.pack_rows}
    told["traces"] = gone.traces
    return reply(told | {"retrain": retrain} | meta(service))


@router.get("/v1/audit")
async def audit(
    request: Request,
    caller: Admins,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="The last `seq` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Who did what, newest first, a page at a time."""
    service: Service = request.app.state.service
    rows = await asyncio.to_thread(service.audit.newest, limit, before)
    return reply({"notes": rows, "next": rows[-1]["seq"] if len(rows) == limit else None} | meta(service))


@router.get("/v1/dead-letters")
async def dead(request: Request, caller: Admins, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """Messages of a stream that could not be taken, newest first, with the reason."""
    service: Service = request.app.state.service
    return reply({"letters": await asyncio.to_thread(service.store.dead_letters, limit)} | meta(service))


@router.get("/v1/models")
async def models(request: Request, caller: Admins) -> Response:
    """The bundles that may be loaded, and which serve."""
    service: Service = request.app.state.service
    return reply(_line(service) | {"there": service.models.names()} | meta(service))


@router.post("/v1/models/{name}/swap")
async def swap(request: Request, name: Name, caller: Admins) -> Response:
    """Load a bundle, warm it, and put it into service; requests go on meanwhile."""
    service: Service = request.app.state.service
    await asyncio.to_thread(service.swap, name)
    return _changed(request, service, caller, "models.swap")


@router.post("/v1/models/rollback")
async def roll_back(request: Request, caller: Admins) -> Response:
    """Put the model before back into service, at once."""
    service: Service = request.app.state.service
    await asyncio.to_thread(service.models.roll_back)
    return _changed(request, service, caller, "models.rollback")


@router.post("/v1/models/{name}/trial")
async def trial(request: Request, name: Name, share: Share, caller: Admins) -> Response:
    """Try a bundle on a share of the customers, always the same ones; 0 answers beside, unseen."""
    service: Service = request.app.state.service
    await asyncio.to_thread(service.try_out, name, share.share)
    return _changed(request, service, caller, "models.trial")


@router.delete("/v1/models/trial")
async def end_trial(request: Request, caller: Admins) -> Response:
    """End a trial: everybody is answered by the champion."""
    service: Service = request.app.state.service
    await asyncio.to_thread(service.models.end_trial)
    return _changed(request, service, caller, "models.trial.end")


@router.get("/health", tags=["watching"])
async def health() -> Response:
    """Whether the process lives."""
    return reply({"status": "ok"})


@router.get("/ready", tags=["watching"])
async def ready(request: Request) -> Response:
    """Whether it can answer: the model is warm and the database is there."""
    service: Service = request.app.state.service
    if not service.ready.is_set():
        raise Problem(503, "The model is being made ready.", {"Retry-After": "1"})
    if not service.worker.lives:
        raise Problem(503, "The thread that answers has ended: start the service again.")
    if not service.writer.lives:
        raise Problem(503, "The thread that writes events has ended: start the service again.")
    if not await asyncio.to_thread(service.store.answers):
        raise Problem(503, "The state's database does not answer.", {"Retry-After": "1"})
    return reply({"status": "ready"} | meta(service))


@router.get("/metrics", tags=["watching"])
async def metrics(request: Request, caller: Reads) -> Response:
    """Everything that is measured, for Prometheus."""
    service: Service = request.app.state.service
    await asyncio.to_thread(service.measure)
    return Response(service.monitor.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _changed(request: Request, service: Service, caller: Caller, action: str) -> Response:
    _note(request, service, caller, action, None)
    return reply(_line(service) | meta(service))


def _line(service: Service) -> dict[str, Any]:
    line = service.models.line
    trial = None if line.trial is None else {"name": line.trial.name, "share": line.trial.share}
    return {"champion": _named(line.champion), "before": _named(line.before), "challenger": _named(line.challenger)} | {
        "trial": trial
    }


def _named(served: Served | None) -> dict[str, str] | None:
    return None if served is None else {"name": served.name, "version": served.version}


def _note(request: Request, service: Service, caller: Caller, action: str, user: str | None) -> None:
    service.audit.note(service.clock.now(), caller.key_id, action, user, 200, request.state.request_id)
