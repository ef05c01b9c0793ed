"""What went wrong, as RFC 9457 problem documents: what came, and the mend; never a stack trace or the content."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from intently.errors import BundleError, ConfigError, DataError, IntentlyError, StateError

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "The request cannot be read",
    401: "A key is needed",
    403: "The key may not do this",
    404: "There is no such thing here",
    405: "That cannot be done here",
    408: "The request came too slowly",
    409: "That does not fit what is there",
    413: "The request is too large",
    415: "That media type is not taken",
    422: "The request has faults",
    429: "Too many requests",
    500: "The service made a mistake",
    503: "The service cannot answer now",
    507: "The disk is full",
}


class Problem(Exception):
    """A request that cannot be answered, with its HTTP status."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, faults: Sequence[Any] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers, self.faults = status, detail, dict(headers or {}), list(faults)


def problem(
    status: int,
    detail: str,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    faults: Sequence[Any] = (),
) -> Response:
    """A problem document."""
    body: dict[str, Any] = {
        "type": f"urn:intently:problem:{status}",
        "title": _TITLES.get(status, "The request failed"),
        "status": status,
        "detail": detail,
    }
    if request_id:
        body["instance"] = f"urn:intently:request:{request_id}"
    if faults:
        body["faults"] = list(faults)
    return Response(
        json.dumps(body, ensure_ascii=False), status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def of_error(error: IntentlyError) -> Problem:
    """The problem that an error of ours is to who asked."""
    said = f"{error.problem} {error.mend}"
    match error:
        case StateError():
            return Problem(507 if "disk is full" in error.problem else 503, said, {"Retry-After": "1"})
        case DataError():
            return Problem(422, said)
        case ConfigError():
            return Problem(404, said)
        case BundleError():
            return Problem(409, said)
        case _:
            return Problem(422, said)


def told(faults: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Validation faults without what was sent."""
    return [{"where": [str(part)[:64] for part in fault["loc"]], "fault": str(fault["msg"])[:200]} for fault in faults][
        :50
    ]
