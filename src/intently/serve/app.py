"""The service over HTTP: FastAPI, `/v1`, OpenAPI at /openapi.json."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from intently.errors import IntentlyError
from intently.serve import routes_admin, routes_events, routes_scores
from intently.serve.access import SCHEME, Access
from intently.serve.forms import ProblemBody
from intently.serve.gate import Gate
from intently.serve.problems import Problem, of_error, problem, told
from intently.serve.service import Service
from intently.serve.straight import Straight
from intently.serve.traces import Traces

_STATUSES = (400, 401, 403, 404, 405, 408, 409, 413, 422, 429, 503, 507)


def create_app(service: Service, *, close: bool = True, traces: Traces | None = None) -> FastAPI:
    """The application of a service; when it ends, what was begun is finished and the service closed."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        if close:
            service.close()

    app = FastAPI(
        title="Intently",
        summary="Scores about a shop's customers and items, as events arrive.",
        version=version("intently"),
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(SCHEME)],
        # It would tell paths, which hold ids of customers, and what was sent where that has a fault: see `traces.py`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        responses={status: {"model": ProblemBody, "description": "A problem document"} for status in _STATUSES},
    )
    app.state.service = service
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(IntentlyError, _ours)
    for router in (routes_events.router, routes_scores.router, routes_admin.router):
        app.include_router(router)
    # What is added last is passed first.
    app.add_middleware(Straight, service=service)
    app.add_middleware(Access, service=service)
    app.add_middleware(Gate, monitor=service.monitor, body=service.settings.body, traces=traces)
    return app


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(422, "The faults are listed.", request.state.request_id, faults=told(error.errors()))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail)[:300], request.state.request_id, error.headers)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem(error.status, error.detail, request.state.request_id, error.headers, error.faults)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, IntentlyError)
    said = of_error(error)
    return problem(said.status, said.detail, request.state.request_id, said.headers)
