"""Who may ask: a key in the Authorization header, its scope, its rate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.security import HTTPBearer

from intently.serve.keys import SCOPES, Caller
from intently.serve.problems import Problem

if TYPE_CHECKING:
    from intently.serve.service import Service

SCHEME = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: Authorization: Bearer ik_...")


def needs(scope: str) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that lets in who has a scope."""
    assert scope in SCOPES

    async def enter(request: Request) -> Caller:
        given = request.headers.get("authorization", "")
        kind, _, key = given.partition(" ")
        service: Service = request.app.state.service
        caller = await service.keys.caller(key.strip()) if kind.lower() == "bearer" else None
        if caller is None:
            _note(request, service, None, 401)
            raise Problem(401, "Send a key that holds: Authorization: Bearer ik_...", {"WWW-Authenticate": "Bearer"})
        request.scope["state"]["key_id"] = caller.key_id
        if not caller.may(scope):
            _note(request, service, caller, 403)
            raise Problem(403, f"The key has no scope {scope!r}; make one with `intently keys create --scope {scope}`.")
        wait = request.app.state.bucket.wait(caller.key_id)
        if wait > 0:
            said = f"At most {service.settings.rate:g} requests a second for a key."
            raise Problem(429, said, {"Retry-After": str(max(1, round(wait)))})
        return caller

    return enter


def _note(request: Request, service: Service, caller: Caller | None, status: int) -> None:
    route = getattr(request.scope.get("route"), "path", "none")
    key = None if caller is None else caller.key_id
    service.audit.note(
        service.clock.now(), key, f"{request.method} {route}"[:64], None, status, request.state.request_id
    )
