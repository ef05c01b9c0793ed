"""Ads are ranked by what the model of a bundle says of a showing that would happen now."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.contract import AT, Examples, Past, Scores
from intently.log import schema
from intently.log.log import Log
from intently.log.protect import Protect
from intently.serve import ads as ads_module
from intently.serve.arrivals import Door, OneAd
from intently.serve.bring import log_of
from intently.serve.clock import written
from intently.tasks import ad_response
from intently.text.story import Teller
from serving import bearer

WHERE = "/v1/users/c001/ads"


@dataclass(frozen=True)
class Words:
    """Reads all that a text reader may read: the ad, the catalogue, the past and what was written in it."""

    name: str = "words"
    blind: bool = False

    def predict(self, examples: Examples, past: Past) -> Scores:
        rows, said = past.rows(), past.texts().to_list()
        items = dict(zip(past.items[schema.ITEM].to_list(), past.items[schema.TITLE].to_list(), strict=True))
        chances = []
        for number, event in enumerate(examples.asked_event.iter_rows(named=True)):
            mine = np.flatnonzero(rows.example == number)
            kinds = [past.event_types[code] for code in rows.event_type[mine]]
            ad = () if self.blind else (event["text"], items.get(event["item_id"]))
            told = [*ad, *kinds, *(said[row] for row in mine), *np.round(rows.age[mine], 3).tolist()]
            chances.append(hashlib.sha256(repr(told).encode()).digest()[0] / 256)
        return Scores(examples.task.answer, np.array(chances, dtype=np.float32)[:, None])


@pytest.fixture
def answers(service):
    """The service with a model that answers ad_response too."""

    def by(predictor: Words) -> None:
        seen_by(service, ad_response.TASK, predictor)

    by(Words())
    return by


def sent(count: int = 9) -> list[dict[str, object]]:
    return [{"ad_id": f"a{number}", "item_id": 1000 + number, "text": f"offer {number}"} for number in range(count)]


def test_ads_are_ranked_by_what_the_model_says_of_such_an_event(answers, client, service, admin, hands) -> None:
    when = written(service.clock.now() - 2_000_000)
    event = {"user_id": "c001", "event_type": "search", "text": "rain jacket for me@shop.example", "timestamp": when}
    assert client.post("/v1/events", json=event, headers=admin).status_code == 201
    hands.at += 1_000_000
    found = client.post(WHERE, json={"ads": sent()}, headers=admin)
    assert found.status_code == 200, found.text
    told = found.json()
    assert [row["rank"] for row in told["ads"]] == list(range(1, 10))
    chances = [row["probability"] for row in told["ads"]]
    assert sorted(chances, reverse=True) == chances
    assert told["task"] == "ad_response"
    assert told["tells_apart"]
    assert told["model_version"] == service.models.champion.version

    log = log_of(service.store)
    at = pl.Series([told["as_of"]] * 9).str.to_datetime(time_unit="us", time_zone="UTC")
    frame = pl.DataFrame(
        {
            schema.EVENT: [f"e{number}" for number in range(9)],
            schema.USER: ["c001"] * 9,
            schema.ITEM: pl.Series([ad["item_id"] for ad in sent()], dtype=log.items[schema.ITEM].dtype),
            AT: at,
            schema.TEXT: [ad["text"] for ad in sent()],
        }
    )
    examples = Examples(ad_response.TASK, frame)
    offline = service.models.champion.trained.answer(examples, Past(log, examples)).values[:, 0]
    online = {row["ad_id"]: row["probability"] for row in told["ads"]}
    assert [online[f"a{number}"] for number in range(9)] == pytest.approx(offline.tolist(), abs=1e-6)


SEES = (
    *("event_id", "user_id", "event_type", "timestamp", "item_id", "text", "quantity", "session_id"),
    *("banner", "bid", "mobile", "slot", "gone"),
)
# As a log has them: a number, whole or not, is one number column, and digits may be text.
MORE = (
    {"banner": "wide", "bid": 3, "mobile": True, "slot": "1", "quantity": 2, "session_id": 77, "event_id": "x0"},
    {"banner": "12", "bid": 2.5, "mobile": False, "event_id": "x1"},
    {"event_id": "x2"},
    {"banner": "", "slot": "1.50", "event_id": "x3"},
    {"bid": 4, "mobile": None, "event_id": "x4"},
    {"bid": 1_000_000, "slot": "003", "event_id": "x5", "unseen": [1]},
)


@dataclass(frozen=True)
class Told:
    """Reads what a text reader is told."""

    name: str = "told"

    def predict(self, examples: Examples, past: Past) -> Scores:
        stories = Teller().tell(examples, past)
        chances = [int(hashlib.sha256(repr(one).encode()).hexdigest()[:6], 16) / 2**24 for one in stories]
        return Scores(examples.task.answer, np.array(chances, dtype=np.float32)[:, None])


def seen_by(service, task, predictor) -> None:
    """Let the champion answer a question about showings, as a bundle that was trained on such a log does."""
    served = service.models.champion
    served.trained = replace(
        served.trained,
        tasks=(*[one for one in served.trained.tasks if one.name != task.name], task),
        predictors={**served.trained.predictors, task.name: {predictor.name: predictor}},
        served={**served.trained.served, task.name: predictor.name},
    )


def test_an_ad_is_told_as_the_log_tells_the_showing(client, service, admin) -> None:
    task = replace(ad_response.TASK, name="seen", sees=SEES)
    seen_by(service, task, Told())
    sent = [
        {"ad_id": f"a{number}", "item_id": 1003, "text": f"offer {number}"} | more for number, more in enumerate(MORE)
    ]

    def ask() -> dict:
        answer = client.post(WHERE, json={"ads": sent, "task": "seen"}, headers=admin)
        assert answer.status_code == 200, answer.text
        return answer.json()

    log = log_of(service.store)
    rows = [
        {"event_id": "", "text": None, "session_id": None}
        | {name: more.get(name) for name in ("banner", "bid", "mobile", "slot", "quantity")}
        | {"event_id": more["event_id"], "text": f"offer {number}", "session_id": more.get("session_id")}
        for number, more in enumerate(MORE)
    ]
    types = {"session_id": pl.String, "quantity": pl.Float64, "bid": pl.Float64}
    shown = pl.DataFrame(rows, schema_overrides=types, strict=False).with_columns(
        user_id=pl.lit("c001"), event_type=pl.lit("impression"), item_id=pl.lit(1003)
    )
    columns = log.events.schema | shown.schema
    kinds = {name: schema.kind_of(columns[name]) for name in SEES if name in columns}
    assert kinds["banner"] == kinds["slot"] == "text"
    assert (kinds["bid"], kinds["mobile"], "gone" in kinds) == ("number", "flag", False)
    service.models.champion.contract["tasks"]["seen"] = {"sees": kinds}
    told = ask()
    when = pl.Series([told["as_of"]]).str.to_datetime(time_unit="us", time_zone="UTC")[0]
    shown = shown.with_columns(pl.lit(when).cast(schema.CLOCK).alias(name) for name in ("timestamp", "arrived_at"))
    whole = Log.of(pl.concat([log.events, shown], how="diagonal_relaxed"), log.items, log.users)
    at = when + timedelta(microseconds=1)
    examples, scores = replace(service.models.champion.trained).predict("seen", whole, at)
    offline = dict(zip(examples.asked.to_list(), scores.values[:, 0].tolist(), strict=True))
    online = {row["ad_id"].replace("a", "x"): row["probability"] for row in told["ads"]}
    assert online == pytest.approx(offline, abs=1e-6)
    assert len({*online.values()}) == len(MORE)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *[
            ("number", "3"),
            ("number", True),
            pytest.param("number", 10**400, id="too long"),
            ("text", 3),
            ("text", ["a"]),
            ("flag", 1),
        ],
        *[("other", "2024-01-01"), (None, {"a": 1}), (None, "mixed")],
    ],
)
def test_what_is_not_as_the_log_has_it_is_refused_and_not_repeated(
    answers, client, service, admin, kind, value
) -> None:
    seen_by(service, replace(ad_response.TASK, name="seen", sees=("banner",)), Told())
    if kind is not None:
        service.models.champion.contract["tasks"]["seen"] = {"sees": {"banner": kind}}
    ads = [{"ad_id": "a", "banner": 1 if value == "mixed" else None}, {"ad_id": "b", "banner": value}]
    answer = client.post(WHERE, json={"ads": ads, "task": "seen"}, headers=admin)
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"].startswith("Ad 1: banner is not what the log has")
    assert client.post(WHERE, json={"ads": ads[:1], "task": "seen"}, headers=admin).status_code == 200


def test_a_text_that_cannot_be_written_is_told_as_far_as_it_can(answers, client, service, admin) -> None:
    seen_by(service, replace(ad_response.TASK, name="seen", sees=("banner",)), Told())
    sent = b'{"task": "seen", "ads": [{"ad_id": "a", "banner": "half of a sign: \\ud83d"}]}'
    assert client.post(WHERE, content=sent, headers=admin | {"content-type": "application/json"}).status_code == 200


def test_a_model_that_reads_the_customer_alone_says_that_it_tells_no_ads_apart(answers, client, admin) -> None:
    answers(Words(blind=True))
    told = client.post(WHERE, json={"ads": sent()}, headers=admin).json()
    assert told["tells_apart"] is False
    assert len({row["probability"] for row in told["ads"]}) == 1
    # In the order in which they were sent.
    assert [row["ad_id"] for row in told["ads"]] == [ad["ad_id"] for ad in sent()]


def test_what_cannot_be_asked_of_ads_is_said(answers, client, service, admin) -> None:
    assert client.post(WHERE, json={"ads": sent(101)}, headers=admin).status_code == 422
    assert client.post(WHERE, json={"ads": []}, headers=admin).status_code == 422
    assert client.post(WHERE, json={"ads": sent(), "task": "demand"}, headers=admin).status_code == 404
    assert client.post(WHERE, json={"ads": [{"ad_id": "a", "item_id": "x"}]}, headers=admin).status_code == 422
    unknown = client.post(WHERE, json={"ads": [{"ad_id": "a", "item_id": 999_999}]}, headers=admin)
    assert unknown.status_code == 200
    writes = bearer(service.keys.make(["write"]))
    assert client.post(WHERE, json={"ads": sent()}, headers=writes).status_code == 403
    stranger = client.post("/v1/users/nobody/ads", json={"ads": sent(1)}, headers=admin).json()
    assert stranger["known"] is False
    assert stranger["lag_seconds"] is None


def test_a_model_without_the_question_says_so(client, admin) -> None:
    answer = client.post(WHERE, json={"ads": sent()}, headers=admin)
    assert answer.status_code == 404
    assert "impressions" in answer.json()["detail"]


def test_others_are_answered_between_a_few_ads(answers, client, admin, monkeypatch) -> None:
    sizes = []
    inner = ads_module._chances
    monkeypatch.setattr(ads_module, "_chances", lambda *given: sizes.append(len(given[5])) or inner(*given))
    client.post(WHERE, json={"ads": sent(10)}, headers=admin)
    assert sizes == [4, 4, 2]


def test_ads_are_answered_while_the_state_is_written_anew(answers, client, service, admin) -> None:
    got = []
    asking = threading.Thread(
        target=lambda: got.append(client.post(WHERE, json={"ads": sent(1)}, headers=admin).status_code)
    )
    with service.store.alone():
        asking.start()
        asking.join(20)
        found = list(got)
    asking.join()
    assert found == [200]


def test_what_is_stored_while_it_is_read_is_read_again(answers, client, service, admin, monkeypatch) -> None:
    texts, seen = service.store.written_by, []
    # As if an event had come between the past and its texts.
    monkeypatch.setattr(
        service.store, "written_by", lambda user: seen.append(user) or texts(user)[: None if seen[1:] else -1]
    )
    assert client.post(WHERE, json={"ads": sent(1)}, headers=admin).status_code == 200
    assert seen == ["c001", "c001"]


def test_a_question_of_ads_that_a_text_reader_serves_says_what_it_needs(client, service, admin) -> None:
    served = service.models.champion
    served.trained = replace(served.trained, unread={ad_response.TASK.name: "text_reader"})
    for more in ({}, {"task": "ad_response"}):
        answer = client.post(WHERE, json={"ads": sent(1)} | more, headers=admin)
        assert answer.status_code == 404
        assert "needs torch" in answer.json()["detail"]


@pytest.mark.parametrize("masks", [True, False])
def test_every_text_of_an_ad_is_masked_as_the_log_is(masks) -> None:
    door = Door(lambda: 0, Protect(mask=masks))
    given = {"ad_id": "a", "text": "for me@shop.example", "banner": "of you@shop.example", "bid": 3}
    ad = door.ad(OneAd.model_validate(given))
    assert ("@" in f"{ad.text}") is not masks
    assert ("@" in ad.more["banner"]) is not masks
    assert ad.more["bid"] == 3
    passes = Door(lambda: 0, Protect(allow=("banner",))).ad(OneAd.model_validate(given))
    assert ("@" in passes.more["banner"], "@" in f"{passes.text}") == (True, False), "as the log lets it pass"
