"""What is asked most, by the shortest way: a customer's scores, their recommendations, and one event.

Finding a route, filling its forms and going through a framework's layers takes longer than giving an answer again.
What is not plain here (a query, a fault, a key without the scope) goes on to the routes, which answer the same and
say what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intently.contract import Ranking
from intently.serve.arrivals import LONGEST_ID, EventIn, readable
from intently.serve.keys import READ, WRITE, Caller
from intently.serve.reply import body_of, scored
from intently.serve.routes_events import took
from intently.serve.routes_scores import MOST_ITEMS, MOST_LABELS
from intently.serve.service import Service

_BEFORE, _SCORES, _RECOMMENDATIONS, _EVENTS = "/v1/users/", "/scores", "/recommendations", "/v1/events"


@dataclass(frozen=True)
class _Route:
    """What metrics and log lines call the way that a request has taken."""

    path_format: str


_ROUTES = {end: _Route(f"{_BEFORE}{{user_id}}{end}") for end in (_SCORES, _RECOMMENDATIONS)}
_EVENT = _Route(_EVENTS)


class Straight:
    """ASGI middleware behind `Access`: who calls is known, and may ask this often."""

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        answer: Response | None = None
        if scope["type"] == "http" and not scope["query_string"] and "caller" in scope["state"]:
            caller: Caller = scope["state"]["caller"]
            if scope["method"] == "GET" and caller.may(READ):
                answer = await self._customer(scope, caller)
            elif scope["method"] == "POST" and scope["path"] == _EVENTS and caller.may(WRITE):
                answer, receive = await self._event(scope, receive, caller)
        if answer is None:
            await self._app(scope, receive, send)
        else:
            await answer(scope, receive, send)

    async def _customer(self, scope: Scope, caller: Caller) -> Response | None:
        """Scores or recommendations of one customer, without a choice; None for anything else."""
        path: str = scope["path"]
        end = next((end for end in _ROUTES if path.startswith(_BEFORE) and path.endswith(end)), None)
        asked = "" if end is None else path[len(_BEFORE) : -len(end)]
        if end is None or not _plain(asked):
            return None
        scope["route"] = _ROUTES[end]
        service, champion = self._service, self._service.models.champion
        user, rankings = service.door.user(asked), champion.of_kind(Ranking)
        if end == _SCORES:
            action, names, most = "scores", service.asked_tasks(champion.but_rankings), MOST_LABELS
            answer = (await service.answer([user], names, most=most))[0]
        elif rankings:
            action, names, most = "recommendations", rankings[:1], MOST_ITEMS
            answer = await service.recommend(user, names[0], service.settings.rules, most=most)
        else:
            return None
        service.audit.note(service.clock.now(), caller.key_id, action, user, 200, scope["state"]["request_id"])
        body = answer.bodies.get((asked, names, most))
        if body is None:
            body = answer.bodies[asked, names, most] = body_of(scored(asked, answer))
        return Response(body, media_type="application/json")

    async def _event(self, scope: Scope, receive: Receive, caller: Caller) -> tuple[Response | None, Receive]:
        """The answer to an event that can be taken as it is, else None; and what still gives the whole body."""
        if not _is_json(scope):
            return None, receive
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body", False):
            return None, _again(message, receive)
        try:
            event = EventIn.model_validate_json(body)
        except ValidationError:
            return None, _again(message, receive)
        scope["route"] = _EVENT
        return await took(self._service, [event], caller, scope["state"]["request_id"]), receive


def _plain(asked: str) -> bool:
    """Whether an id is one as it stands; what is wrong with another is for the routes to say."""
    try:
        return 0 < len(readable(asked)) <= LONGEST_ID
    except ValueError:
        return False


def _is_json(scope: Scope) -> bool:
    return any(name == b"content-type" and value == b"application/json" for name, value in scope["headers"])


def _again(message: Message, receive: Receive) -> Receive:
    """A message that was received, once more, and then what follows."""
    waiting = [message]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
