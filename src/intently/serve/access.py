"""Who may ask: a key in the Authorization header, its rate, its scope."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fastapi import Request
from fastapi.security import HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from intently.serve.keys import SCOPES, Caller
from intently.serve.limits import Bucket
from intently.serve.problems import Problem

if TYPE_CHECKING:
    from intently.serve.service import Service

SCHEME = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: Authorization: Bearer ik_...")
# Paths that need no key.
OPEN = ("/health", "/ready", "/openapi.json")


class Access:
    """ASGI middleware: a key that holds, as often as it may ask. Nothing of a request is read before.

    Who has none can make no work of it: they are counted, and noted in the audit once a minute; what keys that are made
    up cost the database is bounded in `keys.py`.
    """

    def __init__(self, app: ASGIApp, *, service: Service) -> None:
        self._app, self._service = app, service
        self._bucket = Bucket(service.settings.rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            caller = scope["state"]["caller"] = await self._caller(scope)
            scope["state"]["key_id"] = caller.key_id
            wait = self._bucket.wait(caller.key_id)
            if wait > 0:
                said = f"At most {self._service.settings.rate:g} requests a second for a key."
                raise Problem(429, said, {"Retry-After": str(max(1, round(wait)))})
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
        kind, _, key = given.partition(" ")
        caller = await self._service.keys.caller(key.strip()) if kind.lower() == "bearer" else None
        if caller is None:
            self._service.monitor.refused.inc()
            self._service.audit.refuse(self._service.clock.now(), 401, scope["state"]["request_id"])
            headers = {"WWW-Authenticate": "Bearer", "Connection": "close"}
            raise Problem(401, "Send a key that holds: Authorization: Bearer ik_...", headers)
        return caller


def needs(scope: str) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that lets in who has a scope."""
    assert scope in SCOPES

    async def enter(request: Request) -> Caller:
        caller: Caller = request.state.caller
        if not caller.may(scope):
            service: Service = request.app.state.service
            action = f"{request.method} {request.scope['route'].path_format}"[:64]
            service.audit.note(service.clock.now(), caller.key_id, action, None, 403, request.state.request_id)
            raise Problem(403, f"The key has no scope {scope!r}; make one with `intently keys create --scope {scope}`.")
        return caller

    return enter
