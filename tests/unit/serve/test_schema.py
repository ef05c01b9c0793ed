"""Requests made up from the OpenAPI document, good and bad: none of them may be the service's fault."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from intently.serve.app import create_app

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")


@pytest.mark.filterwarnings("ignore")
def test_no_made_up_request_is_a_fault_of_the_service(service) -> None:
    """A few for each path; docs/serve.md has the command for ten minutes against a real process."""
    service.ready.set()
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(service, close=False))
    key = service.keys.make(["admin"])
    seen = set()
    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        def ask(case) -> None:
            answer = case.call(headers={"Authorization": f"Bearer {key}"})
            seen.add((case.method, case.path))
            assert answer.status_code < 500 or case.path == "/ready", (case.method, case.path, answer.text)

        ask()
    assert len(seen) >= 20
