"""A span for each request, by OpenTelemetry: off, and nothing is sent, unless somebody says where to."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from starlette.types import Scope

from intently.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

CONSOLE = "console"
# Seconds for what waits when the service ends.
_LAST = 3.0
_PATH = "/v1/traces"
# Nothing else of a request's headers is read.
_CARRIED = (b"traceparent", b"tracestate")


class Traces:
    """Makes spans and sends them in the background: a place that does not answer holds no request up.

    A span says the route, never the path, which holds ids of customers; nothing that was sent; and the request's id,
    by which the log has it too. No provider is set for the whole process: libraries tell nothing on their own.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = TracerProvider(resource=Resource({"service.name": "intently"}), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("intently.serve")
        self._carried = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, where: str) -> Self:
        """Spans to a collector (OTLP over HTTP, such as http://127.0.0.1:4318), or to standard error: "console".

        Raises ConfigError for another place, and where OpenTelemetry is not installed.
        """
        if where != CONSOLE and not _an_address(where):
            raise ConfigError(f"Spans cannot be sent to {where!r}.", mend="Name http://host:4318, or console.")
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter
        except ModuleNotFoundError as error:
            raise ConfigError(f"Tracing needs {error.name}.", mend='pip install "intently[traces]"') from None
        if where == CONSOLE:
            return cls(ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.to_json(indent=None) + "\n"))
        return cls(OTLPSpanExporter(endpoint=where.rstrip("/").removesuffix(_PATH).rstrip("/") + _PATH))

    def begin(self, scope: Scope) -> Span:
        """The span of a request, under the caller's own where they say so (W3C `traceparent`)."""
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        said = {name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _CARRIED}
        under = self._carried.extract(said) if said else Context()
        return self._tracer.start_span(scope["method"], context=under, kind=SpanKind.SERVER)

    def end(self, span: Span, method: str, route: str, status: int, request_id: str) -> None:
        """The request was answered."""
        from opentelemetry.trace import StatusCode

        span.update_name(f"{method} {route}")
        span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "intently.request_id": request_id,
            }
        )
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send what waits, for a few seconds: one who does not answer does not hold up the end."""
        ending = threading.Thread(target=self._provider.shutdown, name="intently-traces", daemon=True)
        ending.start()
        ending.join(_LAST)


def _an_address(where: str) -> bool:
    try:
        told = urlsplit(where)
        return told.scheme in ("http", "https") and bool(told.hostname) and (told.port is None or told.port > 0)
    except ValueError:
        return False
