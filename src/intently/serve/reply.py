"""Answers as JSON, and what every answer says of itself."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from intently.serve.clock import written
from intently.serve.kept import Answer
from intently.serve.service import Service

_WRITE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def reply(content: Any, status: int = 200) -> Response:
    """JSON, written at once: nothing in it needs to be checked again."""
    return Response(body_of(content), status_code=status, media_type="application/json")


def body_of(content: Any) -> bytes:
    """Content as the JSON of a body."""
    return _WRITE(content).encode()


def meta(service: Service) -> dict[str, Any]:
    """The model in service, and now."""
    return {"model_version": service.models.champion.version, "as_of": written(service.clock.now())}


def scored(user: str | None, answer: Answer) -> dict[str, Any]:
    """One customer's answers."""
    lag = max(0, answer.as_of - answer.newest) / 1e6 if answer.events else None
    return {
        "user_id": user,
        "known": answer.events > 0,
        "events": answer.events,
        "model_version": answer.model,
        "as_of": written(answer.as_of),
        "lag_seconds": lag,
        "unread_items": answer.unread,
        "complete": answer.unread == 0,
        "answers": answer.answers,
    }
