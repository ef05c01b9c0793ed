"""The short way of plain requests answers what the routes answer, and leaves to them what is not plain."""

from __future__ import annotations

import asyncio
import json

import pytest

from intently.serve.app import create_app
from intently.serve.clock import written
from intently.serve.straight import Straight
from serving import bearer


@pytest.fixture
def went(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of requests that the short way left to the routes."""
    seen: list[str] = []
    begun = Straight.__init__

    def watched(self, app, *, service):
        async def routes(scope, receive, send):
            if scope["type"] == "http":
                seen.append(scope["path"])
            await app(scope, receive, send)

        begun(self, routes, service=service)

    monkeypatch.setattr(Straight, "__init__", watched)
    return seen


def event(service, **more: object) -> dict[str, object]:
    when = written(service.clock.now() - 1_000_000)
    return {"user_id": "c001", "event_type": "buy", "item_id": 1003, "timestamp": when, "amount": 12.5} | more


@pytest.mark.parametrize(("way", "most"), [("scores", 20), ("recommendations", 10)])
def test_the_short_way_and_the_routes_give_one_answer(went, client, admin, way, most) -> None:
    short = client.get(f"/v1/users/c001/{way}", headers=admin)
    again = client.get(f"/v1/users/c001/{way}", headers=admin)
    assert not went
    routed = client.get(f"/v1/users/c001/{way}?most={most}", headers=admin)
    assert went == [f"/v1/users/c001/{way}"]
    # Byte for byte: nothing has happened, so all three are one answer.
    assert short.content == again.content == routed.content
    assert short.headers["content-type"] == routed.headers["content-type"]
    assert {*short.headers} == {*routed.headers}


def test_what_was_written_out_is_given_to_who_asks_the_same_alone(client, admin) -> None:
    # One answer of all questions stands behind both ways: a body of one is no body of the other, nor of somebody else.
    ways = [f"/v1/users/{user}/{way}" for user in ("c001", "c002") for way in ("scores", "recommendations", "scores")]
    first = [client.get(way, headers=admin).json() for way in ways]
    again = [client.get(way, headers=admin).json() for way in ways]
    assert first == again
    for way, told in zip(ways, again, strict=True):
        assert told["user_id"] == way.split("/")[3]
        assert ("recommendations" in way) == ("next_item" in str(told["answers"]))
        routed = client.get(f"{way}?most={10 if 'recommendations' in way else 20}", headers=admin).json()
        assert told == routed


def test_what_happened_is_seen_by_the_short_way(went, client, service, admin) -> None:
    before = client.get("/v1/users/c001/scores", headers=admin).json()
    posted = client.post("/v1/events", json=event(service, amount=900.0), headers=admin)
    assert (posted.status_code, posted.json()["accepted"]) == (201, 1)
    after = client.get("/v1/users/c001/scores", headers=admin).json()
    assert after["events"] == before["events"] + 1
    assert after["answers"] != before["answers"]
    assert not went


def test_an_answer_that_was_written_out_goes_with_who_is_forgotten(client, service, admin) -> None:
    for _ in range(2):
        client.get("/v1/users/c001/scores", headers=admin)
    client.delete("/v1/users/c001", headers=admin)
    assert client.get("/v1/users/c001/scores", headers=admin).json()["known"] is False


@pytest.mark.parametrize(
    "more",
    [
        {"timestamp": "yesterday"},
        {"user_id": ""},
        {"quantity": float("nan")},
        {"event_type": "a b"},
        {"item_id": "x\n"},
    ],
)
def test_the_routes_say_what_is_wrong_with_an_event(went, client, service, admin, more) -> None:
    sent = json.dumps(event(service, **more)).encode()
    answer = client.post("/v1/events", content=sent, headers=admin | {"content-type": "application/json"})
    assert went == ["/v1/events"]
    assert answer.status_code == 422
    assert answer.json()["faults"]


def test_an_event_in_pieces_and_one_of_another_type_are_the_routes(went, client, service, admin) -> None:
    sent = json.dumps(event(service)).encode()
    headers = admin | {"content-type": "application/json; charset=utf-8"}
    assert client.post("/v1/events", content=sent, headers=headers).status_code == 201
    assert client.post("/v1/events", content=sent, headers=admin | {"content-type": "text/plain"}).status_code == 422
    assert went == ["/v1/events"] * 2


def test_who_may_not_is_refused_by_the_routes(went, client, service) -> None:
    reads, writes = (bearer(service.keys.make([scope])) for scope in ("read", "write"))
    assert client.get("/v1/users/c001/scores", headers=writes).status_code == 403
    assert client.post("/v1/events", json=event(service), headers=reads).status_code == 403
    assert client.get("/v1/users/c001/scores").status_code == 401
    assert went == ["/v1/users/c001/scores", "/v1/events"]


def test_an_id_that_is_none_is_the_routes_and_a_slash_is_part_of_one(went, client, admin) -> None:
    assert client.get("/v1/users/c001%09x/scores", headers=admin).status_code == 422
    assert client.get(f"/v1/users/{'x' * 300}/scores", headers=admin).status_code == 422
    assert len(went) == 2
    found = client.get("/v1/users/a%2Frecommendations/scores", headers=admin).json()
    assert found["user_id"] == "a/recommendations"
    assert len(went) == 2


def test_metrics_and_audit_tell_of_the_short_way_as_of_the_routes(went, client, service, admin) -> None:
    client.get("/v1/users/c001/scores", headers=admin)
    client.post("/v1/events", json=event(service), headers=admin)
    assert not went
    text = client.get("/metrics", headers=admin).text
    assert 'intently_request_seconds_count{route="/v1/users/{user_id}/scores",status="200"} 1.0' in text
    assert 'intently_request_seconds_count{route="/v1/events",status="201"} 1.0' in text
    service.audit.flush()
    noted = [(row["action"], row["status"]) for row in service.audit.newest()]
    assert ("scores", 200) in noted
    assert ("events", 201) in noted


def received(service, admin, *, body: bytes | None) -> dict[str, object]:
    """The answer to an event whose body comes as said, without its length; or not at all."""
    sent: list[dict[str, object]] = []
    headers = [(b"content-type", b"application/json"), (b"authorization", admin["Authorization"].encode())]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/events",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> dict[str, object]:
        if body is None:
            await asyncio.sleep(30)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    asyncio.run(create_app(service, close=False)(scope, receive, send))
    told = json.loads(b"".join(message.get("body", b"") for message in sent))
    assert sent[0]["status"] == told["status"]
    assert (b"connection", b"close") in [(name.lower(), value) for name, value in sent[0]["headers"]]
    return told


def test_a_body_that_does_not_come_or_is_too_long_is_said_on_the_short_way_too(
    went, service, admin, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("intently.serve.gate._PATIENCE", 0.05)
    assert received(service, admin, body=None)["status"] == 408
    assert received(service, admin, body=b" " * (service.settings.body + 1))["status"] == 413
    assert not went
    assert "Traceback" not in caplog.text
