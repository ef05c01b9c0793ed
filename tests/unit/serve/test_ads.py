"""Ads are ranked by what the model of a bundle says of a showing that would happen now."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from intently.contract import AT, Examples, Past, Scores
from intently.log import schema
from intently.log.protect import Protect
from intently.serve import ads as ads_module
from intently.serve.arrivals import Door, OneAd
from intently.serve.bring import log_of
from intently.serve.clock import written
from intently.tasks import ad_response
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
        served = service.models.champion
        task = ad_response.TASK
        served.trained = replace(
            served.trained,
            tasks=(*[one for one in served.trained.tasks if one.name != task.name], task),
            predictors={**served.trained.predictors, task.name: {predictor.name: predictor}},
            served={**served.trained.served, task.name: predictor.name},
        )

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
