"""The service over HTTP, in one process: what it answers and what it refuses."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import shutil
import socket
import sqlite3
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from functools import partial
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from sqlalchemy import event as hooks

from intently.errors import ConfigError, DataError, StateError
from intently.serve import keys as keys_module
from intently.serve import rules as rules_module
from intently.serve import run
from intently.serve.app import create_app
from intently.serve.arrivals import Door, EventIn
from intently.serve.clock import moment, written
from intently.serve.event import Event
from intently.serve.limits import Bucket
from intently.serve.models import Trial, version_of
from intently.serve.traces import Traces
from serving import bearer

testclient = pytest.importorskip("starlette.testclient")

STRANGER = f"ik_{'0' * 12}_{'A' * 43}"


def body(service, user: str = "c001", **more: object) -> dict[str, object]:
    when = written(service.clock.now() - 1_000_000)
    return {
        "user_id": user,
        "event_type": "buy",
        "item_id": 1003,
        "timestamp": when,
        "amount": 12.5,
        "quantity": 1,
    } | more


def numbers(told: object) -> list[float]:
    """Every number in an answer, in its order."""
    if isinstance(told, dict | list):
        return [number for one in (told.values() if isinstance(told, dict) else told) for number in numbers(one)]
    return [] if isinstance(told, str | bool | None) else [float(told)]


def fault(answer) -> dict:
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(told)
    assert told["status"] == answer.status_code
    assert "Traceback" not in answer.text
    return told


def test_an_event_moves_the_next_answer(client, service, admin) -> None:
    before = client.get("/v1/users/c001/scores", headers=admin).json()
    posted = client.post("/v1/events", json=body(service, amount=900.0), headers=admin)
    assert posted.status_code == 201
    assert posted.json()["accepted"] == 1
    after = client.get("/v1/users/c001/scores", headers=admin).json()
    assert set(after["answers"]) == {"purchase_intent", "purchasing_power", "interest"}
    assert after["answers"]["purchasing_power"] != before["answers"]["purchasing_power"]
    assert after["events"] == before["events"] + 1
    assert after["lag_seconds"] < before["lag_seconds"]
    assert after["model_version"] == service.models.champion.version
    assert after["as_of"] > before["as_of"]


def test_every_way_to_ask(client, service, admin) -> None:
    ranked = client.get("/v1/users/c001/recommendations?most=5", headers=admin).json()["answers"]["next_item"]["items"]
    assert [row["rank"] for row in ranked] == [1, 2, 3, 4, 5]
    assert sorted((row["score"] for row in ranked), reverse=True) == [row["score"] for row in ranked]
    shares = client.get("/v1/users/c001/interest", headers=admin).json()["answers"]["interest"]["shares"]
    assert sum(row["share"] for row in shares) == pytest.approx(1, abs=1e-4)
    stranger = client.get("/v1/sessions/never-seen/scores", headers=admin).json()
    assert stranger["known"] is False
    assert 0 < stranger["answers"]["purchase_intent"]["probability"] < 1
    many = client.post("/v1/scores/batch", json={"user_ids": ["c002", "c001"]}, headers=admin).json()["results"]
    assert [row["user_id"] for row in many] == ["c002", "c001"]
    posted = {"events": [{k: v for k, v in body(service).items() if k != "user_id"}], "tasks": ["purchase_intent"]}
    history = client.post("/v1/scores", json=posted, headers=admin).json()
    assert history["events"] == 1
    assert list(history["answers"]) == ["purchase_intent"]
    assert client.get("/v1/model", headers=admin).json()["tasks"]["next_item"]["served"] == "stack"
    assert client.get("/v1/model/card", headers=admin).text.startswith("#")
    assert client.get("/health").json() == {"status": "ok"}


def test_a_posted_history_is_answered_alike_in_whatever_order_it_comes(client, service, admin) -> None:
    now, day = service.clock.now(), 86_400_000_000
    happened = {1: "buy", 2: "view", 9: "view", 40: "buy", 90: "buy", 200: "view"}
    newest_first = [
        body(service, "kept", event_type=kind, item_id=str(1000 + ago), timestamp=written(now - ago * day))
        for ago, kind in happened.items()
    ]
    shuffled = [newest_first[place] for place in (3, 0, 5, 1, 4, 2)]
    names = list(service.models.champion.tasks)

    def posted(events) -> list[float]:
        told = client.post("/v1/scores", json={"events": events, "tasks": names, "most": 5}, headers=admin).json()
        assert told["events"] == len(events)
        return numbers([told["answers"][name] for name in names])

    in_order = posted(newest_first[::-1])
    assert len(in_order) > len(names)
    assert posted(newest_first) == pytest.approx(in_order, abs=1e-4)
    assert posted(shuffled) == pytest.approx(in_order, abs=1e-4)
    known = [one | {"arrived_at": one["timestamp"]} for one in shuffled]
    assert client.post("/v1/events/batch", json={"events": known}, headers=admin).status_code == 201
    told = client.get(f"/v1/users/kept/scores?most=5&tasks={','.join(names)}", headers=admin).json()
    assert numbers([told["answers"][name] for name in names]) == pytest.approx(in_order, abs=1e-4)


def test_recommendations_keep_to_the_rules_of_the_request_or_of_the_shop(client, service, admin) -> None:
    from dataclasses import replace

    from intently.contract import Examples, Past
    from intently.log import schema
    from intently.ranking import Rules, ruled
    from intently.serve.bring import log_of

    def items(answer) -> list[int]:
        assert answer.status_code == 200, answer.text
        return [row["item_id"] for row in answer.json()["answers"]["next_item"]["items"]]

    where = "/v1/users/c001/recommendations"
    table = {
        "only": "price < 20",
        "categories": ["kind 1", "kind 3", "kind 5"],
        "per_category": 2,
        "not_bought_days": 30,
    }
    found = client.post(where, json={"most": 5, "rules": table}, headers=admin)
    as_of = datetime.fromisoformat(found.json()["as_of"])
    rules = Rules(only="price < 20", categories=("kind 1", "kind 3", "kind 5"), per_category=2, not_bought_days=30)
    log = log_of(service.store).before(as_of)
    task = service.models.champion.trained.task("next_item")
    asked = pl.DataFrame({"user_id": ["c001"]}).with_columns(pl.lit(as_of).cast(schema.CLOCK).alias("at"))
    past = Past(log, Examples(task, asked))
    offline = ruled(service.models.champion.trained.answer(Examples(task, asked), past), past, rules, 5)
    assert items(found) == offline.ids[0][np.isfinite(offline.values[0])].tolist()
    assert items(found) != items(client.get(where + "?most=5", headers=admin))
    service.settings = replace(service.settings, rules=rules)
    assert items(client.get(where + "?most=5", headers=admin)) == items(found), "the shop's own"
    assert len(items(client.post(where, json={"rules": {}}, headers=admin))) == 10, "none, where the request says so"
    for wrong in ({"only": "stok > 0"}, {"only": "summ("}, {"most": 1}, {"only": "x" * 2000}, {"per_category": -1}):
        assert fault(client.post(where, json={"rules": wrong}, headers=admin))["status"] == 422, wrong


@pytest.mark.parametrize(
    "table",
    [
        {"only": "(" * 400 + "price<3" + ")" * 400},
        {"only": "not " * 240 + "price<3"},
        {"only": "price < \ud800"},
        {"categories": ["\ud800"]},
        {"\ud800": 1},
        {"boost": [{"where": "brand = '\udfff'", "factor": 2}]},
    ],
)
def test_a_rule_that_cannot_be_read_is_a_fault_of_who_sent_it(table) -> None:
    with pytest.raises(DataError, match="The rules") as caught:
        rules_module.read(table)
    assert str(caught.value).encode()


def test_demand_comes_from_a_forecast(client, service, admin) -> None:
    assert fault(client.get("/v1/demand", headers=admin))["status"] == 404
    service.forecasts.make()
    page = client.get("/v1/demand?limit=3", headers=admin).json()
    assert len(page["items"]) == 3
    following = client.get(f"/v1/demand?limit=3&after={page['next']}", headers=admin).json()
    assert following["items"][0]["item_id"] > page["items"][-1]["item_id"]
    item = page["items"][0]["item_id"]
    one = client.get(f"/v1/items/{item}/demand", headers=admin).json()
    assert one["answers"]["demand"]["mean"] == page["items"][0]["mean"]
    assert fault(client.get("/v1/items/999999/demand", headers=admin))["status"] == 404


def test_a_model_of_events_alone_says_that_it_answers_nothing_of_a_customer(service, monkeypatch) -> None:
    monkeypatch.setattr(service.models.champion, "tasks", ())
    with pytest.raises(ConfigError, match="does not answer that") as caught:
        service.asked_tasks(["sentiment"])
    assert caught.value.mend == "It answers nothing of a customer, only of events or of items."


def test_a_batch_is_taken_whole_or_not(client, service, admin) -> None:
    good, bad = body(service, event_id="b1"), body(service, event_id="b2", amount=-1e300)
    refused = client.post("/v1/events/batch", json={"events": [good, bad]}, headers=admin)
    assert refused.status_code == 422
    assert service.store.known_of("c001")["events"][-1]["event_id"] != "b1"
    taken = client.post("/v1/events/batch", json={"events": [good, good | {"event_id": "b2"}]}, headers=admin)
    assert taken.json()["accepted"] == 2
    again = client.post("/v1/events/batch", json={"events": [good]}, headers=admin)
    assert again.json() | {"as_of": ""} == again.json() | {"accepted": 0, "duplicates": 1, "as_of": ""}


def test_event_types_are_bounded_within_a_batch_and_among_those_that_wait(client, service, admin) -> None:
    there = len(service.store.types)

    def kinds(first: int, last: int) -> list[dict]:
        return [body(service, event_type=f"kind{n}") for n in range(first, last)]

    told = fault(client.post("/v1/events/batch", json={"events": kinds(0, 1000)}, headers=admin))
    assert told["status"] == 422
    assert "64" in told["detail"]
    assert len(service.store.types) == there, "none of them was taken"
    service.receive([EventIn(**one) for one in kinds(0, 60 - there)])
    assert client.post("/v1/events/batch", json={"events": kinds(60, 66)}, headers=admin).status_code == 422
    assert client.post("/v1/events/batch", json={"events": kinds(60, 64)}, headers=admin).status_code == 201
    assert client.post("/v1/events", json=body(service), headers=admin).status_code == 201


@pytest.mark.parametrize("user", ["a/b", "/", "a/b/scores", "https://shop.example/u/7?x=1#2"])
def test_an_id_with_a_slash_is_scored_exported_and_forgotten(client, service, admin, user) -> None:
    client.post("/v1/events", json=body(service, user), headers=admin)
    where = f"/v1/users/{quote(user, safe='')}"
    assert client.get(f"{where}/scores", headers=admin).json()["events"] == 1
    assert client.get(f"{where}/recommendations", headers=admin).json()["user_id"] == user
    assert client.get(f"/v1/sessions/{quote(user, safe='')}/scores", headers=admin).json()["events"] == 1
    if not user.endswith("/scores"):
        assert len(client.get(where, headers=admin).json()["events"]) == 1
    assert client.delete(where, headers=admin).json()["events"] == 1
    assert client.get(f"{where}/scores", headers=admin).json()["known"] is False


def test_a_stream_takes_good_lines_and_names_the_others(client, service, admin) -> None:
    lines = [json.dumps(body(service, event_id=f"s{n}")) for n in range(1200)]
    lines[7] = '{"event_type": "buy"}'
    lines[9] = "not json"
    lines[11] = json.dumps(body(service, item_id="not a number"))
    told = client.post("/v1/events/stream", content="\n".join(lines), headers=admin).json()
    assert (told["accepted"], told["rejected"]) == (1197, 3)
    assert [row["line"] for row in told["faults"]] == [8, 10, 12]
    assert "not a number" not in json.dumps(told["faults"])


def test_who_has_no_key_a_wrong_one_or_a_revoked_one_is_not_let_in(client, service) -> None:
    good = service.keys.make(["read"])
    key_id = good.split("_")[1]
    other = f"ik_{key_id}_{'A' * 43}"
    wrong = (
        {},
        bearer("nonsense"),
        bearer(other),
        {"Authorization": f"Basic {good}"},
        bearer("ik_" + "0" * 12 + "_" + "A" * 43),
    )
    for headers in wrong:
        answer = client.get("/v1/users/c001/scores", headers=headers)
        assert fault(answer)["status"] == 401, headers
        assert answer.headers["www-authenticate"] == "Bearer"
    assert client.get("/v1/users/c001/scores", headers=bearer(good)).status_code == 200
    service.keys.revoke(key_id)
    assert client.get("/v1/users/c001/scores", headers=bearer(good)).status_code == 401


def test_who_has_no_key_can_have_nothing_read_and_fills_no_table(client, service, hands, monkeypatch) -> None:
    monkeypatch.setattr(keys_module, "_SOON", 0.0)

    def refused(count: int) -> list[str]:
        for number in range(count):
            sent = client.post("/v1/events", content=b"[" * 1000, headers=bearer(f"ik_{number:012x}_{'A' * 43}"))
            assert fault(sent)["status"] == 401, "the key is looked at before the body"
        service.audit.flush()
        return [note["action"] for note in service.audit.newest() if note["status"] == 401]

    known = dict(service.keys._known)
    assert refused(50) == ["refused (1)"]
    assert service.keys._known == known, "keys that were made up are not remembered"
    hands.at += 61_000_000
    assert refused(10) == ["refused (50)", "refused (1)"]
    assert "intently_refused_total 60.0" in service.monitor.text().decode()


def test_every_path_needs_its_scope(client, service) -> None:
    """Whatever is added: a path is open only if it is listed here."""
    wants = {"/health": None, "/ready": None, "/openapi.json": None}
    found = {}
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method in methods:
            where = (
                path.replace("{user_id}", "c001")
                .replace("{name}", "x")
                .replace("{item_id}", "1")
                .replace("{session_id}", "s")
            )
            if path in wants:
                continue
            assert client.request(method, where).status_code == 401, path
            answers = {
                s: client.request(method, where, headers=bearer(service.keys.make([s]))).status_code
                for s in ("write", "read")
            }
            found[method, path] = frozenset(scope for scope, status in answers.items() if status != 403)
    assert found["post", "/v1/events"] == found["post", "/v1/items"] == {"write"}
    assert found["get", "/v1/users/{user_id}/scores"] == found["get", "/metrics"] == {"read"}
    only_admin = {key for key, scopes in found.items() if not scopes}
    assert {("delete", "/v1/users/{user_id}"), ("get", "/v1/users/{user_id}"), ("get", "/v1/audit")} <= only_admin
    assert {("post", "/v1/models/{name}/swap"), ("post", "/v1/models/rollback")} <= only_admin


def test_a_revoked_key_is_forgotten_within_a_second_by_another_process(service) -> None:
    seconds = [0.0]
    there = keys_module.Keys(service.store, service.clock.now, lambda: seconds[0])
    key = service.keys.make(["read"])
    assert asyncio.run(there.caller(key)) is not None
    service.keys.revoke(key.split("_")[1])
    seconds[0] = 1.0
    assert asyncio.run(there.caller(key)) is None


def test_keys_are_hashed_at_rest_and_compared_in_constant_time(service, tmp_path, monkeypatch) -> None:
    key = service.keys.make(["read"], "a label")
    compared, plain = [], hmac.compare_digest

    def digest(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return plain(a, b)

    monkeypatch.setattr(keys_module.hmac, "compare_digest", digest)
    assert asyncio.run(service.keys.caller(key)) is not None
    assert asyncio.run(service.keys.caller(STRANGER)) is None
    assert len(compared) == 2, "who is unknown is compared too"
    secret = key.split("_", 2)[2]
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_rotation_gives_a_new_key_with_the_old_scopes(client, service) -> None:
    old = service.keys.make(["read"])
    new = service.keys.rotate(old.split("_")[1])
    assert client.get("/v1/users/c001/scores", headers=bearer(old)).status_code == 401
    assert client.get("/v1/users/c001/scores", headers=bearer(new)).status_code == 200
    assert client.post("/v1/events", json=body(service), headers=bearer(new)).status_code == 403


def test_a_large_body_is_refused_whether_it_says_so_or_not(client, service, admin) -> None:
    most = service.settings.body
    said = client.post("/v1/events", content=b" " * (most + 1), headers=admin)
    assert fault(said)["status"] == 413

    def chunks():
        for _ in range(most // 100_000 + 2):
            yield b" " * 100_000

    unsaid = client.post("/v1/events", content=chunks(), headers=admin)
    assert fault(unsaid)["status"] == 413


@pytest.mark.parametrize(
    "sent",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"user_id": "x", "event_type": "buy", "timestamp": "2024-01-01T00:00:00Z", "amount": NaN}',
        b'{"user_id": "x", "event_type": "buy", "timestamp": "2024-01-01T00:00:00Z", "amount": Infinity}',
        b'{"user_id": "x", "event_type": "buy", "timestamp": "2024-01-01T00:00:00Z", "amount": 1e999}',
        b'{"user_id": "\\ud800", "event_type": "buy", "timestamp": "2024-01-01T00:00:00Z"}',
        b'{"user_id": "a\\u0000b", "event_type": "buy", "timestamp": "2024-01-01T00:00:00Z"}',
        b'{"user_id": "x", "event_type": "buy\\n", "timestamp": "2024-01-01T00:00:00Z"}',
        b'{"user_id": "x", "event_type": "buy", "timestamp": "9999-12-31T23:59:59Z"}',
        b'{"user_id": "x", "event_type": "buy", "timestamp": 1e300}',
        b'{"user_id": "x", "event_type": "buy", "timestamp": "0001-01-01T00:00:00+14:00"}',
        b'{"event_type": "buy", "timestamp": "2024-01-01T00:00:00Z"}',
        b"\xff\xfe",
        b"",
    ],
)
def test_what_cannot_be_an_event_is_a_fault_of_who_sent_it(client, admin, sent) -> None:
    answer = client.post("/v1/events", content=sent, headers=admin | {"content-type": "application/json"})
    assert fault(answer)["status"] in (400, 422)


def test_sql_in_an_id_is_an_id(client, service, admin) -> None:
    before = service.store.count()
    for text in ("'; DROP TABLE events; --", '" OR 1=1 --', "%' UNION SELECT hash FROM keys --", "c001' --"):
        posted = client.post("/v1/events", json=body(service, text, event_id=text), headers=admin)
        assert posted.status_code == 201
        assert client.get("/v1/users/x/scores", params={"tasks": text}, headers=admin).status_code == 404
        told = client.post("/v1/scores/batch", json={"user_ids": [text]}, headers=admin).json()["results"][0]
        assert told["events"] == 1
    assert service.store.count() == before + 4


def test_the_log_holds_no_key_no_id_and_no_line_of_a_stranger(client, service, caplog) -> None:
    key = service.keys.make(["admin"])
    with caplog.at_level(logging.DEBUG):
        client.get("/v1/users/c001%0AFAKE%20LINE/scores", headers=bearer(key) | {"x-request-id": "a b"})
        client.post("/v1/events", json=body(service, "very-secret-id", text="hello\nFAKE LINE"), headers=bearer(key))
        client.get("/v1/users/very-secret-id/scores", headers=bearer(key))
        client.get("/v1/users/very-secret-id/scores", headers=bearer(key[:-1] + "?"))
    formatter = run.Lines()
    ours = [formatter.format(record) for record in caplog.records if record.name.startswith("intently")]
    assert len(ours) >= 4
    for line in ours:
        assert "\n" not in line
        assert json.loads(line)
        assert key.split("_", 2)[2] not in line
        assert "very-secret-id" not in line
        assert "FAKE" not in line


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "a%00b", ".hidden", "nothing-there", "x" * 65, "a\\b"]
)
def test_a_models_name_is_no_path(client, service, admin, name) -> None:
    answer = client.post(f"/v1/models/{name}/swap", headers=admin)
    assert answer.status_code in (404, 405, 422), answer.text
    assert service.models.champion.name.startswith("bundle")


def test_an_error_of_ours_shows_no_trace(client, service, admin, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret internals at /srv/intently/serve.py")

    monkeypatch.setattr("intently.serve.worker.tell", broken)
    told = fault(client.get("/v1/users/c001/scores", headers=admin))
    assert told["status"] == 500
    assert "internals" not in json.dumps(told)


def test_a_key_may_ask_only_so_often(service) -> None:
    from dataclasses import replace

    service.settings = replace(service.settings, rate=5.0)
    with testclient.TestClient(create_app(service, close=False)) as client:
        headers = bearer(service.keys.make(["read"]))
        seen = [client.get("/v1/model/card", headers=headers) for _ in range(8)]
        assert [one.status_code for one in seen].count(200) in (5, 6)
        late = next(one for one in seen if one.status_code == 429)
        assert int(late.headers["retry-after"]) >= 1
        other = bearer(service.keys.make(["read"]))
        assert client.get("/v1/model/card", headers=other).status_code == 200


def test_what_customers_write_is_masked_on_the_way_in(client, service, admin, tmp_path) -> None:
    text = "write to petra.geheim@example.com or call 13912348765"
    sent = body(service, text=text, event_type="review", customer_email="petra.geheim@example.com", note=text)
    assert client.post("/v1/events", json=sent, headers=admin).status_code == 201
    kept = service.store.known_of("c001")["events"][-1]["text"]
    assert "[email]" in kept
    assert "[phone]" in kept
    service.store.close()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"petra.geheim" not in file.read_bytes()
            assert b"13912348765" not in file.read_bytes()


def test_the_audit_says_who_did_what_when_and_no_more(client, service, admin) -> None:
    client.get("/v1/users/c001/scores", headers=admin)
    client.get("/v1/users/c001/scores", headers={})
    client.delete("/v1/users/c009", headers=admin)
    service.audit.flush()
    notes = client.get("/v1/audit", headers=admin).json()["notes"]
    actions = [note["action"] for note in notes]
    assert {"scores", "forget"} <= set(actions)
    asked = next(note for note in notes if note["action"] == "scores")
    assert asked["key_id"] == admin["Authorization"].split("_")[1]
    assert asked["subject"] == service.store.subject("c001")
    assert any(note["status"] == 401 and note["key_id"] is None for note in notes)
    assert "c001" not in json.dumps(notes)
    assert "c009" not in json.dumps(notes)


def test_a_customer_is_forgotten_in_every_file(client, service, admin, tmp_path) -> None:
    client.post("/v1/events", json=body(service, "person-to-forget", session_id="visit-to-forget"), headers=admin)
    nameless = {k: v for k, v in body(service, session_id="visit-to-forget").items() if k != "user_id"}
    client.post("/v1/events", json=nameless, headers=admin)
    client.get("/v1/users/person-to-forget/scores", headers=admin)
    service.store.dead_letter(1, "stream", "no time", '{"user_id": "person-to-forget"}')
    export = client.get("/v1/users/person-to-forget", headers=admin).json()
    assert (len(export["events"]), len(export["dead_letters"])) == (2, 1), "the nameless visit is theirs too"
    assert "person-to-forget" in service.kept
    told = client.delete("/v1/users/person-to-forget", headers=admin).json()
    assert "person-to-forget" not in service.kept
    assert told["retrain"]["leave_out"] == ["person-to-forget", "visit-to-forget"]
    assert told["retrain"]["models"] == [service.models.champion.version]
    assert told["events"] == 2
    after = client.get("/v1/users/person-to-forget/scores", headers=admin).json()
    assert after["known"] is False
    client.get("/v1/audit", headers=admin)
    service.audit.flush()
    service.store.close()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"to-forget" not in file.read_bytes(), file


def test_a_reader_of_the_state_holds_traces_back_and_the_answer_says_so(
    client, service, admin, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("intently.serve.write_ahead._CUT_AGAIN", 0.1)
    monkeypatch.setattr(service.store, "leave_no_trace", partial(service.store.leave_no_trace, 0.3))
    client.post("/v1/events", json=body(service, "person-to-forget"), headers=admin)

    def held() -> list[str]:
        return [file.name for file in tmp_path.rglob("*") if file.is_file() and b"to-forget" in file.read_bytes()]

    reader = sqlite3.connect(tmp_path / "served.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchone()
    assert client.delete("/v1/users/person-to-forget", headers=admin).json()["traces"] is True
    assert held() == ["served.db-wal"]
    reader.close()
    end = time.monotonic() + 30
    while held():
        assert time.monotonic() < end, "it was not cut when the reading had ended"
        time.sleep(0.05)
    assert client.delete("/v1/users/person-to-forget", headers=admin).json()["traces"] is False


def test_a_customer_is_forgotten_in_the_pack_too(client, service, admin, shop, tmp_path) -> None:
    from dataclasses import replace

    from intently.log.log import Log

    log = Log.read(shop[0])
    log.pack.save(tmp_path / "pack")
    service.settings = replace(service.settings, pack=tmp_path / "pack")
    told = client.delete("/v1/users/c007", headers=admin).json()
    assert told["pack_rows"] == len(log.events.filter(user_id="c007")) > 0
    service.store.close()
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert b"c007" not in file.read_bytes(), file


@pytest.fixture(scope="module")
def models(shop, tmp_path_factory):
    """A folder with two bundles."""
    import shutil

    import served_shop

    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(shop[1], folder / "first")
    shutil.copytree(served_shop.written(tmp_path_factory, seed=3)[1], folder / "second")
    return folder


def test_models_are_swapped_tried_and_rolled_back(client, service, admin, models) -> None:
    service.models.folder = models
    assert client.get("/v1/models", headers=admin).json()["there"] == ["first", "second"]
    first = client.get("/v1/users/c001/scores?max_age=0", headers=admin).json()
    swapped = client.post("/v1/models/second/swap", headers=admin).json()
    assert swapped["champion"]["name"] == "second"
    second = client.get("/v1/users/c001/scores?max_age=0", headers=admin).json()
    assert second["model_version"] == swapped["champion"]["version"] != first["model_version"]
    assert second["answers"]["purchase_intent"] != first["answers"]["purchase_intent"]
    back = client.post("/v1/models/rollback", headers=admin).json()
    assert back["champion"]["version"] == first["model_version"]
    client.post("/v1/models/second/trial", json={"share": 0.5}, headers=admin)
    users = [f"c{n:03}" for n in range(100)]
    given = client.post("/v1/scores/batch", json={"user_ids": users}, headers=admin).json()["results"]
    again = client.post("/v1/scores/batch", json={"user_ids": users[::-1]}, headers=admin).json()["results"][::-1]
    assert [one["model_version"] for one in given] == [one["model_version"] for one in again], "always the same model"
    assert 30 < sum(one["model_version"] == second["model_version"] for one in given) < 70
    assert client.post("/v1/models/second/trial", json={"share": 0}, headers=admin).json()["trial"]["share"] == 0
    hidden = [client.get(f"/v1/users/{user}/scores?max_age=0", headers=admin).json() for user in users[:5]]
    assert {one["model_version"] for one in hidden} == {first["model_version"]}
    service.worker.call(lambda: None).result(timeout=30)
    text = client.get("/metrics", headers=admin).text
    assert 'intently_shadow_difference_count{task="purchase_intent"} 5.0' in text
    client.request("DELETE", "/v1/models/trial", headers=admin)
    assert client.get("/v1/models", headers=admin).json()["challenger"] is None


def test_a_swap_that_is_sent_again_changes_nothing(service, monkeypatch) -> None:
    given = service.models.champion
    monkeypatch.setattr(service, "_loaded", lambda name: replace(given, name=name, version=f"of {name}"))
    service.swap("second")
    service.try_out("third", 0.5)
    line = service.models.line
    service.swap("second")
    assert service.models.line is line, "the trial goes on, and the way back is the same"
    assert service.models.roll_back() is given


def test_a_bundle_is_made_ready_beside_the_thread_that_answers(service, models) -> None:
    service.models.folder = models
    held = threading.Event()
    service.worker.call(held.wait)
    made = threading.Thread(target=service.swap, args=("second",), daemon=True)
    made.start()
    made.join(60)
    try:
        assert not made.is_alive(), "it waited for its turn among the questions"
        assert service.models.champion.name == "second"
    finally:
        held.set()


def test_who_serves_outlives_a_restart_with_the_same_bundle(client, service, admin, models, shop, hands) -> None:
    from intently.serve.clock import Clock
    from intently.serve.service import Service
    from intently.serve.store import Store

    def line(bundle) -> list[str | None]:
        store = Store.open(service.store.engine.url.render_as_string(hide_password=False))
        again = Service(store, bundle, service.loader.read, models=models, clock=Clock(hands))
        mine = again.models.line
        again.close()
        return [None if one is None else one.name for one in (mine.champion, mine.before, mine.challenger)]

    service.models.folder = models
    client.post("/v1/models/second/swap", headers=admin)
    assert line(shop[1]) == ["second", "bundle", None]
    client.post("/v1/models/first/trial", json={"share": 0.25}, headers=admin)
    assert line(shop[1]) == ["second", "bundle", "first"]
    client.request("DELETE", "/v1/models/trial", headers=admin)
    client.post("/v1/models/rollback", headers=admin)
    assert line(shop[1]) == ["bundle", "second", None]
    client.post("/v1/models/rollback", headers=admin)
    assert line(models / "second") == ["second", None, None], "another bundle is given"
    (models / "second").rename(models / "gone")
    try:
        assert line(shop[1]) == ["bundle", None, None], "it is not there any more"
    finally:
        (models / "gone").rename(models / "second")


def test_what_a_challenger_cannot_answer_the_champion_does(client, service, admin) -> None:
    from dataclasses import replace

    champion = service.models.champion
    trained = champion.trained
    fewer = replace(trained, tasks=tuple(task for task in trained.tasks if task.name != "interest"))
    service.models.try_out(replace(champion, name="fewer", version="fewer", trained=fewer), 1.0)
    asked = "/v1/users/c001/scores?tasks="
    assert client.get(asked + "purchase_intent", headers=admin).json()["model_version"] == "fewer"
    for path in (asked + "purchase_intent,interest", "/v1/users/c001/interest", "/v1/users/c001/scores"):
        told = client.get(path, headers=admin).json()
        assert told["model_version"] == champion.version, path
        assert "interest" in told["answers"]


def test_the_service_is_not_ready_before_it_is_warm_or_without_its_database(client, service, monkeypatch) -> None:
    assert fault(client.get("/ready"))["status"] == 503
    service.ready.set()
    assert client.get("/ready").status_code == 200
    monkeypatch.setattr(service.store, "answers", lambda: False)
    assert fault(client.get("/ready"))["status"] == 503


def test_metrics_tell_of_requests_events_scores_and_lag(client, service, admin) -> None:
    client.post("/v1/events", json=body(service), headers=admin)
    client.get("/v1/users/c001/scores", headers=admin)
    text = client.get("/metrics", headers=admin).text
    assert 'intently_events_total{outcome="accepted"} 1.0' in text
    assert 'route="/v1/users/{user_id}/scores",status="200"' in text
    assert "intently_lag_seconds" in text
    assert f'intently_model{{role="champion",version="{service.models.champion.version}"}} 1.0' in text
    assert "c001" not in text


def test_loopback_is_the_default_and_tls_wants_both_files(tmp_path) -> None:
    assert run.Address().host == "127.0.0.1"
    assert run.Address("0.0.0.0").is_open
    with pytest.raises(ConfigError, match="two files"):
        run.Address(certificate=tmp_path / "a.pem")


def test_the_state_is_its_owners_alone(tmp_path) -> None:
    url = run.state_url(tmp_path / "bundle", None)
    file = tmp_path / "bundle.state" / "state.db"
    assert url == f"sqlite:///{file}"
    assert file.stat().st_mode & 0o077 == 0
    sqlite3.connect(file).close()


def test_an_id_that_is_hashed_in_the_log_is_hashed_on_the_way_in(service, tmp_path) -> None:
    from dataclasses import replace

    from intently.log.protect import Protect

    door = replace(service.door, protect=Protect(hash_ids=True, key_file=tmp_path / "key"))
    assert door.user("ann") == door.user("ann") != "ann"
    assert len(door.user("ann")) == 32


def test_time_is_told_in_utc() -> None:
    assert written(1_700_000_000_000_000) == "2023-11-14T22:13:20Z"
    assert moment(0).isoformat() == "1970-01-01T00:00:00+00:00"


def test_a_shadow_is_asked_once_and_holds_nobody_up(service, monkeypatch) -> None:
    line = replace(service.models.line, challenger=service.models.champion, trial=Trial("first", 0.0))
    asked: list[Future] = []
    met: list[object] = []
    told = asyncio.run(service._ask([service.pasts.of("c001")], ("purchase_intent",), line.champion))
    monkeypatch.setattr(service.worker, "ask", lambda *_: asked.append(Future()) or asked[-1])
    monkeypatch.setattr(service.monitor, "compare", lambda a, b: met.append((a, b)))
    service.onlookers.see(line, [service.pasts.of("c001")], told)
    (shadow,) = asked
    assert met == []
    shadow.set_result("shadow")
    assert met == [(told, "shadow")]
    service.onlookers.see(line, [service.pasts.of("c001")], told)
    asked[-1].set_exception(ValueError("no"))
    assert len(met) == 1


def test_drift_scores_and_a_shadow_see_what_was_told_beforehand(service, hands) -> None:
    service.models.line = replace(service.models.line, challenger=service.models.champion, trial=Trial("first", 0.0))
    service.beforehand.foresee(service.worker, ["c001", "c002"], service.kept.forgettings)
    service.worker.call(lambda: None).result(timeout=60)
    text = service.monitor.text().decode()
    version = service.models.champion.version
    assert f'intently_score_count{{model="{version}",task="purchase_intent"}} 2.0' in text
    assert 'intently_shadow_difference_count{task="purchase_intent"} 2.0' in text
    assert "intently_input_shift 0.0" not in text
    assert "intently_answers_total{" not in text, "nobody asked"
    asyncio.run(service.answer(["c001"], ("purchase_intent",)))
    hands.at += 5_000_000
    before = service.monitor._looked
    service.append([Event("e", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    end = time.monotonic() + 60
    while "intently_answers_renewed_total 1.0" not in service.monitor.text().decode() and time.monotonic() < end:
        time.sleep(0.05)
    service.worker.call(lambda: None).result(timeout=60)
    text = service.monitor.text().decode()
    assert f'intently_score_count{{model="{version}",task="purchase_intent"}} 3.0' in text
    assert 'intently_shadow_difference_count{task="purchase_intent"} 3.0' in text
    assert service.monitor._looked > before


@pytest.mark.parametrize("fact", ["no json", "[]", '{"champion": 3}', '{"champion": "gone"}', '{"share": "much"}'])
def test_what_cannot_be_read_of_who_served_is_said_and_the_given_bundle_serves(
    service, shop, hands, caplog, fact
) -> None:
    given = service.models.given.version
    told = fact if not fact.startswith("{") else json.dumps({"given": given} | json.loads(fact))
    service.store.facts["line"] = told
    service._restore()
    assert service.models.champion.version == given
    assert ("serves, not what was put into service before" in caplog.text) is (fact != "[]")


def test_many_made_up_keys_cost_few_looks_and_one_made_beside_holds_at_once(service) -> None:
    looks: list[str] = []
    there = keys_module.Keys(service.store, service.clock.now)
    made, gone = service.keys.make(["read"]), service.keys.make(["read"])
    service.keys.revoke(gone.split("_")[1])

    async def all_at_once() -> list[object]:
        made_up = [there.caller(f"ik_{number:012x}_{'A' * 43}") for number in range(300)]
        return await asyncio.gather(*made_up, there.caller(made), there.caller(gone))

    hooks.listen(service.store.engine, "before_cursor_execute", lambda *told: looks.append(told[2]))
    begun = time.monotonic()
    *strangers, known, revoked = asyncio.run(all_at_once())
    assert len(looks) <= 1 + 10 * (time.monotonic() - begun)
    assert known is not None
    assert {*strangers, revoked} == {None}
    assert len(there._known) == len(service.keys._known), "keys that were made up are not remembered"


def test_where_the_database_is_away_a_key_that_is_known_holds_and_another_is_not_refused(service, monkeypatch) -> None:
    seconds = [0.0]
    there = keys_module.Keys(service.store, service.clock.now, lambda: seconds[0])
    known = service.keys.make(["read"])
    assert asyncio.run(there.caller(known)) is not None
    looks: list[float] = []

    def away() -> None:
        looks.append(seconds[0])
        raise StateError("The state's database does not answer.", mend="Try again.")

    with monkeypatch.context() as patch:
        patch.setattr(there, "_holding", away)
        for moment in (1.0, 1.5, 2.5, 299.0):
            seconds[0] = moment
            assert asyncio.run(there.caller(known)) is not None
        assert looks == [1.0, 2.5, 299.0], "a database that is away is asked once a second"
        with pytest.raises(StateError, match="does not answer"):
            asyncio.run(there.caller(STRANGER))
        seconds[0] = 301.0
        with pytest.raises(StateError, match="does not answer"):
            asyncio.run(there.caller(known))
    seconds[0] = 302.0
    assert asyncio.run(there.caller(known)) is not None
    assert asyncio.run(there.caller(STRANGER)) is None


def test_where_a_reading_of_the_keys_hangs_nobody_who_is_known_waits_for_it(service, monkeypatch) -> None:
    there = keys_module.Keys(service.store, service.clock.now)
    known, made = service.keys.make(["read"]), there._holding
    assert asyncio.run(there.caller(known)) is not None
    on, looks = threading.Event(), []

    def hang():
        looks.append(time.monotonic())
        on.wait(30)
        return made()

    async def timed(key: str) -> float:
        begun = time.monotonic()
        assert await there.caller(key) is not None
        return time.monotonic() - begun

    async def all_of_them() -> None:
        await asyncio.sleep(1.1)
        strangers = [asyncio.create_task(there.caller(f"ik_{number:012x}_{'A' * 43}")) for number in range(100)]
        beside = asyncio.create_task(there.caller(new))
        assert await timed(known) < 1
        await asyncio.sleep(0.3)
        assert max([await timed(known) for _ in range(20)]) < 0.2
        begun = time.monotonic()
        await asyncio.to_thread(lambda: None)
        assert time.monotonic() - begun < 1, "who is not known takes no thread"
        strangers[0].cancel()
        on.set()
        assert {*await asyncio.gather(*strangers[1:])} == {None}
        assert await beside is not None
        assert len(looks) <= 2

    new = service.keys.make(["read"])
    monkeypatch.setattr(there, "_holding", hang)
    asyncio.run(all_of_them())


def test_a_reading_of_the_keys_that_fails_is_not_the_last(service, monkeypatch) -> None:
    there = keys_module.Keys(service.store, service.clock.now)
    with monkeypatch.context() as patch:
        patch.setattr(there, "_holding", lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(there.caller(STRANGER))
    assert asyncio.run(there.caller(STRANGER)) is None
    assert asyncio.run(there.caller(service.keys.make(["read"]))) is not None


def test_who_comes_under_ever_new_names_fills_no_memory() -> None:
    now = [0.0]
    bucket = Bucket(2.0, lambda: now[0])
    assert [bucket.wait("a") > 0 for _ in range(3)] == [False, False, True]
    for number in range(30_000):
        bucket.wait(f"made-up-{number}")
    assert len(bucket) == 10_000
    assert bucket.wait("a") == 0, "who was pushed out begins anew"


def test_what_was_refused_last_is_noted_when_the_service_ends(service, hands) -> None:
    for _ in range(3):
        service.audit.refuse(hands.at, 401, "r1")
    service.audit.flush()
    assert [row["action"] for row in service.audit.newest()] == ["refused (1)"]
    service.audit.close()
    assert [row["action"] for row in service.audit.newest()] == ["refused (2)", "refused (1)"]


def test_a_span_says_the_route_and_no_more_and_goes_under_the_callers(service, admin) -> None:
    memory = pytest.importorskip(
        "opentelemetry.sdk.trace.export.in_memory_span_exporter", reason="OpenTelemetry is not installed"
    )
    kept = memory.InMemorySpanExporter()
    traces = Traces(kept)
    parent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "x-request-id": "r-1"}
    with testclient.TestClient(create_app(service, close=False, traces=traces)) as client:
        client.get("/v1/users/secret-id/scores?tasks=purchase_intent", headers=admin | parent)
        client.get("/v1/users/secret-id/scores", headers=admin)
        client.post("/v1/events", json=body(service, "secret-id", timestamp="no"), headers=admin)
    traces._provider.force_flush()
    spans = kept.get_finished_spans()
    names = ["GET /v1/users/{user_id}/scores"] * 2 + ["POST /v1/events"]
    assert [span.name for span in spans] == names
    assert [span.attributes["http.response.status_code"] for span in spans] == [200, 200, 422]
    assert spans[0].attributes["intently.request_id"] == "r-1"
    assert f"{spans[0].context.trace_id:032x}" == "a" * 32
    assert spans[1].parent is None
    told = "".join(span.to_json() for span in spans)
    assert "secret-id" not in told
    assert admin["Authorization"][-20:] not in told
    traces.close()


def test_a_collector_that_does_not_answer_holds_nobody_up(monkeypatch) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="OpenTelemetry is not installed")
    monkeypatch.setattr("intently.serve.traces._LAST", 0.2)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        traces = Traces.to(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        begun = time.monotonic()
        for _ in range(50):
            traces.end(traces.begin({"method": "GET", "headers": []}), "GET", "/x", 200, "r")
        traces.close()
        assert time.monotonic() - begun < 5


def test_a_whole_number_too_long_for_a_float_is_left_out() -> None:
    door = Door(lambda: 10**15, numbers=lambda: frozenset({"stars"}))
    given = {"event_type": "view", "timestamp": 0, "user_id": "ann", "stars": 10**400}
    assert door.take(EventIn.model_validate(given)).extra == {}
    assert door.take(EventIn.model_validate(given | {"stars": 4})).extra == {"stars": 4.0}


@pytest.mark.parametrize("text", ["10_20", " 12 ", "+7", "٧", "12\u2003", "1e3", "", "-", "9" * 19, "1" * 200])
def test_only_digits_are_the_id_of_an_item_where_ids_are_whole_numbers(text) -> None:
    with pytest.raises(DataError, match="not a whole number"):
        Door(lambda: 0, whole_items=lambda: True).item(text)


@pytest.mark.parametrize(("text", "id_"), [("12", "12"), ("-3", "-3"), ("007", "7"), (str(2**63 - 1), str(2**63 - 1))])
def test_an_id_of_digits_is_the_shops_whole_number(text, id_) -> None:
    assert Door(lambda: 0, whole_items=lambda: True).item(text) == id_


def test_spans_go_nowhere_unless_a_place_is_named(service, monkeypatch) -> None:
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    app = create_app(service, close=False)
    assert not app._native_telemetry.enabled()
    assert not app._telemetry["auto_configure"]


@pytest.mark.parametrize("where", ["elsewhere", "http://", "https:///v1/traces", "http://:4318", "http://host:x"])
def test_a_place_without_a_host_is_refused(where) -> None:
    with pytest.raises(ConfigError, match="cannot be sent"):
        Traces.to(where)


@pytest.mark.parametrize("end", ["", "/", "/v1/traces", "/v1/traces/"])
def test_the_path_of_a_collector_may_be_told_or_not(end, monkeypatch) -> None:
    exporter = pytest.importorskip(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter", reason="OpenTelemetry is not installed"
    )
    told = []
    plain = exporter.OTLPSpanExporter
    monkeypatch.setattr(exporter, "OTLPSpanExporter", lambda endpoint: told.append(endpoint) or plain(endpoint))
    Traces.to("http://collector.example:4318" + end).close()
    assert told == ["http://collector.example:4318/v1/traces"]


def test_what_is_exported_beside_a_bundle_changes_no_version(shop, tmp_path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(shop[1], bundle)
    before = version_of(bundle)
    for name in ("onnx", "onnx.part", "onnx_texts.part", "onnx_items.part"):
        (bundle / name).mkdir()
        (bundle / name / "left").write_text("x")
    assert version_of(bundle) == before
    (bundle / "README.md").write_text("another")
    assert version_of(bundle) != before
