"""Scores, rankings and forecasts out."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import AfterValidator
from starlette.responses import Response

from intently.contract import Ranking, Shares
from intently.serve.access import needs
from intently.serve.ads import chances
from intently.serve.answers import number
from intently.serve.arrivals import EventIn, readable
from intently.serve.clock import written
from intently.serve.forecast import Forecast
from intently.serve.forms import Ads, ManyUsers, Meta, PostedHistory, RankedAds, Scored, ScoredMany, Wanted
from intently.serve.keys import READ, Caller
from intently.serve.problems import Problem
from intently.serve.reply import meta, reply, scored
from intently.serve.rules import read
from intently.serve.service import Service

# Labels and items in an answer, without `most`.
MOST_LABELS, MOST_ITEMS = 20, 10

router = APIRouter(tags=["scores"])
# An id may hold a slash, which comes encoded and is decoded before a path is looked up: `:path` takes it.
Reads = Annotated[Caller, Depends(needs(READ))]
Who = Annotated[str, Path(min_length=1, max_length=256), AfterValidator(readable)]
Tasks = Annotated[str | None, Query(max_length=500, description="Questions by name: a,b (all, without it).")]
Fresh = Annotated[
    float | None,
    Query(ge=0, le=3600, description="Oldest answer in seconds that may be given again while nothing happened."),
]
Most = Annotated[int, Query(ge=1, le=100, description="Labels or items at most.")]


@router.get("/v1/users/{user_id:path}/scores", response_model=Scored)
async def of_user(
    request: Request, user_id: Who, caller: Reads, tasks: Tasks = None, max_age: Fresh = None, most: Most = MOST_LABELS
) -> Response:
    """Every answer about a customer as of now, or those named by `tasks`."""
    service: Service = request.app.state.service
    names = service.asked_tasks(_names(tasks) or service.models.champion.but_rankings)
    return await _one(request, caller, "scores", user_id, names, most, max_age)


@router.get("/v1/sessions/{session_id:path}/scores", response_model=Scored)
async def of_session(
    request: Request,
    session_id: Who,
    caller: Reads,
    tasks: Tasks = None,
    max_age: Fresh = None,
    most: Most = MOST_LABELS,
) -> Response:
    """Every answer about a visitor without a name, whose session stands for them."""
    service: Service = request.app.state.service
    names = service.asked_tasks(_names(tasks) or service.models.champion.but_rankings)
    return await _one(request, caller, "scores", session_id, names, most, max_age)


@router.get("/v1/users/{user_id:path}/recommendations", response_model=Scored)
async def recommended(
    request: Request, user_id: Who, caller: Reads, max_age: Fresh = None, most: Most = MOST_ITEMS
) -> Response:
    """The items that a customer is most likely to want next, best first, over the whole catalogue."""
    return await _recommended(request, caller, user_id, None, most, max_age)


@router.post("/v1/users/{user_id:path}/recommendations", response_model=Scored)
async def recommended_by_rules(request: Request, user_id: Who, wanted: Wanted, caller: Reads) -> Response:
    """The same, held to rules that come with the question instead of the shop's own."""
    return await _recommended(request, caller, user_id, wanted.rules, wanted.most, None)


@router.get("/v1/users/{user_id:path}/interest", response_model=Scored)
async def interested(
    request: Request, user_id: Who, caller: Reads, max_age: Fresh = None, most: Most = MOST_LABELS
) -> Response:
    """What a customer is interested in, as shares."""
    names = of_kind(request.app.state.service, Shares)
    return await _one(request, caller, "interest", user_id, names, most, max_age)


@router.post("/v1/scores", response_model=Scored)
async def of_history(request: Request, asked: PostedHistory, caller: Reads) -> Response:
    """Answers about a history that comes with the question; nothing of it is kept."""
    service: Service = request.app.state.service
    names = service.asked_tasks(asked.tasks)
    events = [service.door.take(_somebody(one)) for one in asked.events]
    answer = await service.answer_history(events, names, most=asked.most)
    _note(request, service, caller, "scores.history", None)
    return reply(scored(None, answer))


@router.post("/v1/scores/batch", response_model=ScoredMany)
async def of_many(request: Request, asked: ManyUsers, caller: Reads) -> Response:
    """Answers about up to 200 customers."""
    service: Service = request.app.state.service
    names = service.asked_tasks(asked.tasks or service.models.champion.but_rankings)
    users = [service.door.user(user) for user in asked.user_ids]
    answers = await service.answer(users, names, most=asked.most, reuse=asked.max_age)
    for user in users:
        _note(request, service, caller, "scores", user)
    return reply({"results": [scored(user, one) for user, one in zip(asked.user_ids, answers, strict=True)]})


@router.post("/v1/users/{user_id:path}/ads", response_model=RankedAds)
async def of_ads(request: Request, user_id: Who, asked: Ads, caller: Reads) -> Response:
    """Ads or mailings by how likely the customer is to respond to each if it were shown now, the likeliest first.

    Nothing of them is kept. `tells_apart` is false where the model reads the customer alone: all chances are equal.
    """
    service: Service = request.app.state.service
    user = service.door.user(user_id)
    found = await chances(service, user, asked.task, [service.door.ad(one) for one in asked.ads])
    _note(request, service, caller, "ads", user)
    order = np.argsort(-found.chance, kind="stable")
    ranked = [
        {"ad_id": asked.ads[place].ad_id, "probability": number(found.chance[place]), "rank": rank}
        for rank, place in enumerate(order, start=1)
    ]
    return reply(
        {
            "user_id": user_id,
            "task": found.task,
            "known": found.events > 0,
            "events": found.events,
            "model_version": found.model,
            "as_of": written(found.as_of),
            "lag_seconds": max(0, found.as_of - found.newest) / 1e6 if found.events else None,
            "tells_apart": found.tells_apart,
            "ads": ranked,
        }
    )


@router.get("/v1/items/{item_id:path}/demand")
async def of_item(request: Request, item_id: Who, caller: Reads) -> Response:
    """How many units of an item will be needed: from the newest forecast, whose time is in `as_of`."""
    service: Service = request.app.state.service
    found = {}
    made: dict[str, Any] | None = None
    item = service.door.item(item_id)
    for name in service.forecasts.tasks:
        forecast = service.forecasts.of(name)
        if forecast is not None and item in forecast.rows:
            mean, low, high = forecast.rows[item]
            found[name] = {"mean": mean, "low": low, "high": high, "unit": forecast.unit}
            made = _made(service, forecast)
    if made is None:
        raise Problem(404, "There is no forecast of that item: it has not sold, or the first forecast is being made.")
    _note(request, service, caller, "demand", None)
    return reply({"item_id": item_id, "answers": found} | made)


@router.get("/v1/demand")
async def demands(
    request: Request,
    caller: Reads,
    after: Annotated[str, Query(max_length=256, description="The last item_id of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The newest forecasts of all items, a page at a time in order of item_id."""
    service: Service = request.app.state.service
    names = service.forecasts.tasks
    forecast = service.forecasts.of(names[0]) if names else None
    if forecast is None:
        raise Problem(404, "There is no forecast yet.")
    ids = sorted(item for item in forecast.rows if item > after)[:limit]
    rows = [dict(zip(("item_id", "mean", "low", "high"), (item, *forecast.rows[item]), strict=True)) for item in ids]
    made = _made(service, forecast)
    _note(request, service, caller, "demand", None)
    more = ids[-1] if len(ids) == limit else None
    return reply({"task": forecast.task, "unit": forecast.unit, "items": rows, "next": more} | made)


@router.get("/v1/model", response_model=Meta)
async def model(request: Request, caller: Reads) -> Response:
    """What the model answers, what it learned from, and how well each question was answered when it was chosen."""
    service: Service = request.app.state.service
    served = service.models.champion
    contract = served.contract
    told = {name: contract[name] for name in ("until", "language_model", "data", "versions")}
    tasks = {
        name: {key: one[key] for key in ("asks", "answer", "horizon_days", "wording", "served", "fallback")}
        | {"online": name in served.tasks}
        for name, one in contract["tasks"].items()
    }
    return reply({"name": served.name, "tasks": tasks, "items_behind": service.shelver.behind} | told | meta(service))


@router.get("/v1/model/card")
async def card(request: Request, caller: Reads) -> Response:
    """The model card, in Markdown."""
    service: Service = request.app.state.service
    text = (service.models.champion.folder / "README.md").read_text(encoding="utf-8")
    return Response(text, media_type="text/markdown; charset=utf-8")


async def _one(
    request: Request, caller: Caller, action: str, asked: str, names: tuple[str, ...], most: int, max_age: float | None
) -> Response:
    service: Service = request.app.state.service
    user = service.door.user(asked)
    answer = (await service.answer([user], names, most=most, reuse=max_age))[0]
    _note(request, service, caller, action, user)
    return reply(scored(asked, answer))


async def _recommended(
    request: Request, caller: Caller, asked: str, rules: dict[str, Any] | None, most: int, max_age: float | None
) -> Response:
    service: Service = request.app.state.service
    held_to = service.settings.rules if rules is None else read(rules)
    user, task = service.door.user(asked), of_kind(service, Ranking)[0]
    answer = await service.recommend(user, task, held_to, most=most, reuse=max_age)
    _note(request, service, caller, "recommendations", user)
    return reply(scored(asked, answer))


def _names(tasks: str | None) -> list[str]:
    return [name.strip() for name in (tasks or "").split(",") if name.strip()]


def of_kind(service: Service, kind: type) -> tuple[str, ...]:
    """The questions of one kind that the model in service answers. Raises Problem where there is none."""
    names = service.models.champion.of_kind(kind)
    if not names:
        raise Problem(404, "The model in service was not trained on that question.")
    return names


def _somebody(event: EventIn) -> EventIn:
    """A posted history is one person's, named or not, and was known as it happened where it does not say when."""
    told: dict[str, Any] = {} if event.user_id or event.session_id else {"session_id": "posted"}
    if event.arrived_at is None:
        told["arrived_at"] = event.timestamp
    return event.model_copy(update=told)


def _made(service: Service, forecast: Forecast) -> dict[str, Any]:
    lag = (service.clock.now() - forecast.as_of) / 1e6
    return {"model_version": forecast.model, "as_of": written(forecast.as_of), "lag_seconds": lag}


def _note(request: Request, service: Service, caller: Caller, action: str, user: str | None) -> None:
    service.audit.note(service.clock.now(), caller.key_id, action, user, 200, request.state.request_id)
