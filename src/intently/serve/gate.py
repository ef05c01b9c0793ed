"""What every request passes through: its id, its size, its time, and what is said when something breaks."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from intently.errors import IntentlyError
from intently.serve.monitor import Monitor
from intently.serve.problems import Problem, of_error, problem
from intently.serve.traces import Traces

_ACCESS = logging.getLogger("intently.serve.access")
_SAY = logging.getLogger("intently.serve")
_ID = re.compile(rb"[A-Za-z0-9-]{1,64}")
_PATIENCE = 30.0
STREAM = "/v1/events/stream"
STREAM_BYTES = 1_000_000_000
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class Gate:
    """ASGI middleware: ids, body limit, patience with slow senders, metrics, a log line, a span."""

    def __init__(self, app: ASGIApp, *, monitor: Monitor, body: int, traces: Traces | None = None) -> None:
        self._app, self._monitor, self._body, self._traces = app, monitor, body, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        span = None if self._traces is None else self._traces.begin(scope)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode()), *_HEADERS]
            await send(message)

        try:
            await self._guarded(
                scope, _limited(scope, receive, self._most(scope)), answer, request_id, lambda: status > 0
            )
        finally:
            route = getattr(scope.get("route"), "path_format", "none")
            self._tell(scope, route, status, time.perf_counter() - begun)
            if self._traces is not None and span is not None:
                self._traces.end(span, scope["method"], route, status, request_id)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, request_id: str, begun: Any) -> None:
        try:
            declared = next((value for name, value in scope["headers"] if name == b"content-length"), None)
            most = self._most(scope)
            if declared is not None and declared.isdigit() and int(declared) > most:
                raise Problem(413, f"A body may have {most:,} bytes.", {"Connection": "close"})
            await self._app(scope, receive, send)
        except Problem as error:
            if not begun():
                await problem(error.status, error.detail, request_id, error.headers, error.faults)(scope, receive, send)
        except HTTPException as error:
            # Of `_limited`, to who receives before FastAPI does.
            if not begun():
                await problem(error.status_code, str(error.detail), request_id, error.headers)(scope, receive, send)
        except IntentlyError as error:
            said = of_error(error)
            if not begun():
                await problem(said.status, said.detail, request_id, said.headers)(scope, receive, send)
        except Exception:
            _SAY.exception("request %s failed", request_id)
            if not begun():
                detail = "It is in the service's log under this request's id."
                await problem(500, detail, request_id)(scope, receive, send)

    def _most(self, scope: Scope) -> int:
        """How many bytes a request may have: a stream is taken line by line, and may be long."""
        return STREAM_BYTES if scope["path"] == STREAM else self._body

    def _tell(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        self._monitor.answered(route, status, seconds)
        if _ACCESS.isEnabledFor(logging.INFO):
            # The route, never the path: a path holds ids of customers.
            line = {
                "request_id": scope["state"]["request_id"],
                "method": scope["method"],
                "route": route,
                "status": status,
            }
            caller = scope["state"].get("key_id")
            _ACCESS.info(json.dumps(line | {"ms": round(seconds * 1000, 2), "key": caller}))


def _limited(scope: Scope, receive: Receive, most: int) -> Receive:
    """What is received, up to so many bytes, each part within the patience."""
    got = 0

    async def limited() -> Message:
        nonlocal got
        if scope["state"].get("whole"):
            # Only a client that leaves is waited for now.
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), _PATIENCE)
        except TimeoutError:
            raise HTTPException(408, f"Nothing came for {_PATIENCE:g} seconds.", {"Connection": "close"}) from None
        got += len(message.get("body", b""))
        if got > most:
            # FastAPI lets this kind through, and makes a 400 of any other.
            raise HTTPException(413, f"A body may have {most:,} bytes.", {"Connection": "close"})
        if message["type"] == "http.request" and not message.get("more_body", False):
            scope["state"]["whole"] = True
        return message

    return limited
