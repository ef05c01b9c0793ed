"""A score in the service is the number that `intently predict` gives for the same past."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import served_shop
from intently.contract import Amount, Examples, Past, Ranking
from intently.log import schema
from intently.log.log import Log
from intently.serve.bring import bring, log_of
from intently.serve.clock import Clock, micros, moment
from intently.serve.event import Event
from intently.serve.service import Service
from intently.serve.standing import Standing
from intently.serve.store import Store
from intently.serve.worker import tell
from intently.ship.bundle import load
from intently.tasks import BUILT_IN

TASKS = ("purchase_intent", "purchasing_power", "interest", "next_item")
DAY = 86_400_000_000
BEGIN = micros(served_shop.UNTIL)


def streams(count: int, seed: int) -> list[list[Event]]:
    """Posts of events of so many new customers: in any order, some sent twice, some late, baskets of one time."""
    rng = np.random.default_rng(seed)
    events = []
    for who in range(count):
        at = BEGIN
        for number in range(rng.integers(1, 12)):
            at += int(rng.integers(0, 4) > 0) * int(rng.integers(1, 3 * DAY))
            item = None if rng.random() < 0.1 else str(1000 + int(rng.integers(200)))
            late = int(rng.integers(0, 5 * DAY)) if rng.random() < 0.3 else 0
            bought = rng.random() < 0.5
            one = Event(f"{who}-{number}", f"new{who}", "buy" if bought else "view", at, at + late, item)
            if bought:
                one = replace(one, quantity=float(rng.integers(1, 4)), amount=round(float(rng.random() * 50), 2))
            events.append(one)
    again = [events[number] for number in rng.integers(0, len(events), len(events) // 5)]
    order = rng.permutation(len(events) + len(again))
    mixed = [(events + again)[number] for number in order]
    cuts = sorted(rng.integers(0, len(mixed), len(mixed) // 3).tolist())
    return [mixed[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(mixed)], strict=True) if start < stop]


def distances(online, offline) -> float:
    """How far two rows of scores are: amounts by their size, all else outright."""
    gap = np.abs(online.values[0].astype(np.float64) - offline.values[0])
    if isinstance(online.answer, Ranking):
        assert online.ids[0].tolist() == offline.ids[0].tolist()
        return float(np.nan_to_num(gap, posinf=0.0).max())
    if isinstance(online.answer, Amount):
        gap = gap / np.maximum(1.0, np.abs(offline.values[0]))
    return float(gap.max())


async def told_of(service: Service, users: list[str]):
    """Scores as the worker gives them, asked in groups of changing size."""
    found, start = {}, 0
    rng = np.random.default_rng(len(users))
    while start < len(users):
        part = users[start : start + int(rng.integers(1, 9))]
        histories = [service.pasts.of(user) for user in part]
        for user, one in zip(part, await service._ask(histories, TASKS, service.models.champion), strict=True):
            found[user] = one
        start += len(part)
    return found


def compare(service: Service, bundle: Path, count: int, seed: int, hands) -> float:
    """The greatest distance over so many streams, each asked while events arrived and again at the end."""
    posts = streams(count, seed)
    for number, post in enumerate(posts):
        hands.at = BEGIN + number * (40 * DAY // len(posts))
        service.append(post).result(timeout=30)
        if number % 7 == 0:
            asyncio.run(told_of(service, [event.user for event in post]))
    hands.at = BEGIN + 41 * DAY
    users = [f"new{who}" for who in range(count)] + ["c001", "c077"]
    online = asyncio.run(told_of(service, users))
    trained = load(bundle, BUILT_IN, threads=1)
    log = log_of(service.store)
    worst = 0.0
    for at in sorted({one.as_of for one in online.values()}):
        mine = [user for user, one in online.items() if one.as_of == at]
        when = moment(at)
        known = log.before(when)
        asked = pl.DataFrame({"user_id": mine}).with_columns(pl.lit(when).cast(schema.CLOCK).alias("at"))
        for name in TASKS:
            examples = Examples(trained.task(name), asked)
            scores = trained.answer(examples, Past(known, examples))
            for row, user in enumerate(mine):
                worst = max(worst, distances(online[user].scores[name], scores.take(np.array([row]))))
    return worst


def test_scores_after_random_streams_are_those_of_the_offline_code(service, shop, hands) -> None:
    assert compare(service, shop[1], 40, 1, hands) <= 1e-6


def test_scores_from_postgresql_are_those_of_the_offline_code(postgres, shop, hands) -> None:
    store = Store.open(postgres())
    bring(Log.read(shop[0]).before(served_shop.UNTIL), store)
    service = Service(store, shop[1], lambda folder: load(folder, BUILT_IN, threads=1), clock=Clock(hands))
    assert compare(service, shop[1], 12, 4, hands) <= 1e-6
    service.close()


@pytest.mark.slow
def test_scores_after_a_thousand_random_streams_are_those_of_the_offline_code(service, shop, hands) -> None:
    assert compare(service, shop[1], 1000, 2, hands) <= 1e-6


def test_a_shop_that_has_only_just_opened_is_answered(shop, hands, tmp_path, monkeypatch) -> None:
    """A state without a log takes up the bundle's ids; a log can still be brought into one without events."""
    monkeypatch.setattr("intently.learn.texts.embed", _vectors)
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    service = Service(store, shop[1], lambda folder: load(folder, BUILT_IN, threads=1), clock=Clock(hands))
    service.start()
    asked = asyncio.run(service.answer(["ann"], ("purchase_intent", "purchasing_power")))[0]
    assert 0 < asked.answers["purchase_intent"]["probability"] < 1
    service.close()
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    assert bring(Log.read(shop[0]), store) == store.count() > 0
    store.close()
    store = Store.open(f"sqlite:///{tmp_path / 'another.db'}")
    service = Service(store, shop[1], lambda folder: load(folder, BUILT_IN, threads=1), clock=Clock(hands))
    service.start()
    look = service.shelver.look
    service.shelver.look = lambda: None
    service.append([Event("x", "ann", "buy", hands.at, hands.at, "1003", 1.0, 9.0)]).result(timeout=30)
    hands.at += 1_000_000
    assert asyncio.run(service.answer(["ann"], TASKS))[0].unread == 1
    look()
    _until(lambda: service.shelver.behind == 0)
    hands.at += 1_000_000
    after = asyncio.run(service.answer(["ann"], TASKS))[0]
    assert (after.events, after.unread) == (1, 0)
    assert [row["item_id"] for row in after.answers["next_item"]["items"]] == [1003]
    service.close()


def _vectors(texts, *_args, **_more) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(len(texts), 24)).astype(np.float32)


def test_everybody_at_once_is_what_predict_gives(service, shop, hands) -> None:
    """`Trained.predict`, which the command calls: everyone asked at one time, in one go."""
    for post in streams(10, 3):
        service.append(post).result(timeout=30)
    at = BEGIN + 60 * DAY
    trained = load(shop[1], BUILT_IN, threads=1)
    log = log_of(service.store)
    users = log.before(moment(at)).pack.user_ids.to_list()
    told = tell(service.models.champion, [service.pasts.of(user) for user in users], TASKS, at)
    online = dict(zip(users, told, strict=True))
    for name in TASKS:
        examples, scores = trained.predict(name, log.before(moment(at)), moment(at))
        assert len(examples) > 100
        for row, user in enumerate(examples.asked):
            assert distances(online[user].scores[name], scores.take(np.array([row]))) <= 1e-6, (name, user)


def test_an_answer_is_given_again_only_while_nothing_happened_and_it_is_fresh(service, hands) -> None:
    def ask(**more):
        return asyncio.run(service.answer(["c001"], ("purchase_intent",), **more))[0]

    first = ask()
    hands.at += 30_000_000
    assert ask() == replace(first, reused=True)
    assert ask(reuse=10.0).as_of > first.as_of
    hands.at += 301_000_000
    assert not ask().reused
    service.append([Event("x", "c001", "buy", hands.at, hands.at, "1003", 1.0, 9.0)]).result(timeout=30)
    after = ask()
    assert after.events == first.events + 1
    assert after.answers != first.answers


def test_an_event_that_becomes_known_later_is_not_hidden_by_a_kept_answer(service, hands) -> None:
    soon = hands.at + 20_000_000
    service.append([Event("x", "c001", "buy", soon, soon, "1003", 1.0, 9.0)]).result(timeout=30)
    before = asyncio.run(service.answer(["c001"], ("purchasing_power",)))[0]
    hands.at += 30_000_000
    after = asyncio.run(service.answer(["c001"], ("purchasing_power",)))[0]
    assert not after.reused
    assert after.answers != before.answers


def test_a_new_item_is_read_in_the_background_and_answers_say_so_until_then(service, hands, monkeypatch) -> None:
    reads, gate = [], threading.Event()

    def embed(texts, *_args, **_more):
        if texts:
            reads.append((threading.current_thread().name, list(texts)))
            gate.wait(20)
        return np.random.default_rng(5).normal(size=(len(texts), 24)).astype(np.float32)

    monkeypatch.setattr("intently.learn.texts.embed", embed)
    service.start()
    service.store.put_items({"77777": {"title": "a thing nobody has seen"}})
    service.append([Event("x", "c001", "buy", hands.at, hands.at, "77777", 1.0, 9.0)]).result(timeout=30)
    answer = asyncio.run(service.answer(["c001"], ("next_item",)))[0]
    assert answer.unread == 1
    gate.set()
    _until(lambda: service.shelver.behind == 0)
    hands.at += 1
    told = asyncio.run(service.answer(["c001"], ("next_item",), most=100))[0]
    assert told.unread == 0
    assert reads[0][0] == "intently-shelver"
    assert all("nobody has seen" in text for _, texts in reads for text in texts)


def test_an_item_that_is_said_differently_makes_an_answer_old(service, hands, monkeypatch) -> None:
    rng = np.random.default_rng(5)
    monkeypatch.setattr(
        "intently.learn.texts.embed", lambda texts, *_args, **_more: rng.random((len(texts), 24), np.float32)
    )
    service.append([Event("x", "c001", "buy", hands.at, hands.at, "1003", 1.0, 9.0)]).result(timeout=30)

    def asked() -> bool:
        hands.at += 1_000_000
        return asyncio.run(service.answer(["c001"], TASKS))[0].reused

    asked()
    assert asked()
    service.append([Event("y", "nobody", "never_seen", hands.at, hands.at, "1003")]).result(timeout=30)
    service.loader.refresh(service.models.champion)
    assert "never_seen" in service.models.champion.shelf.event_types
    assert asked()
    count, told = len(service.models.champion.shelf), service.shelver.told
    assert service.store.put_items({"1003": {"title": "what it is called from now on", "category": "c1"}}) == 1
    service.shelver.look()
    _until(lambda: service.shelver.told > told)
    assert len(service.models.champion.shelf) == count
    assert not asked()
    assert asked()


def test_a_posted_history_is_answered_like_a_kept_one_and_is_not_kept(service, hands) -> None:
    events = [
        Event(f"p{n}", "p", "buy", hands.at - n * DAY, hands.at - n * DAY, str(1000 + n), 1.0, 5.0) for n in range(1, 6)
    ]
    posted = asyncio.run(service.answer_history(events, TASKS))
    assert service.store.known_of("p")["events"] == []
    service.append(events).result(timeout=30)
    kept = asyncio.run(service.answer(["p"], TASKS, reuse=0))[0]
    assert posted.answers["next_item"] == kept.answers["next_item"]
    assert posted.answers["purchase_intent"]["probability"] == pytest.approx(
        kept.answers["purchase_intent"]["probability"], abs=1e-6
    )


def _until(holds) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def held_back(monkeypatch) -> tuple[threading.Event, threading.Event]:
    """Answers that are made anew are held back once they are made: that one is, and that it may go on."""
    began, go_on = threading.Event(), threading.Event()

    def slow(*given, **named):
        told = tell(*given, **named)
        began.set()
        assert go_on.wait(20)
        return told

    monkeypatch.setattr("intently.serve.beforehand.tell", slow)
    return began, go_on


def test_what_was_asked_is_made_anew_after_an_event_before_it_is_asked_again(service, hands) -> None:
    asyncio.run(service.answer(["c001"], ("purchase_intent",)))
    hands.at += 1_000_000
    service.append([Event("x", "c001", "buy", hands.at, hands.at, "1003", 1.0, 9.0)]).result(timeout=30)
    hands.at += 1_000_000
    _until(lambda: "intently_answers_renewed_total 1.0" in service.monitor.text().decode())
    again = asyncio.run(service.answer(["c001"], ("purchase_intent",)))[0]
    assert again.reused
    plain = asyncio.run(service.answer(["c001"], ("purchase_intent",), reuse=0))[0]
    assert again.events == plain.events
    assert again.answers["purchase_intent"]["probability"] == pytest.approx(
        plain.answers["purchase_intent"]["probability"], abs=1e-4
    )


def test_who_is_no_longer_asked_about_is_not_made_anew(service, hands) -> None:
    asyncio.run(service.answer(["c001"], ("purchase_intent",)))
    hands.at += 400_000_000
    service.append([Event("x", "c001", "buy", hands.at, hands.at, "1003", 1.0, 9.0)]).result(timeout=30)
    service.worker.call(lambda: None).result(timeout=30)
    service.worker.call(lambda: None).result(timeout=30)
    assert "intently_answers_renewed_total 0.0" in service.monitor.text().decode()


def test_an_answer_that_was_being_made_is_not_kept_of_who_was_forgotten_meanwhile(service) -> None:
    held = threading.Event()
    service.worker.call(held.wait)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(asyncio.run, service.answer(["c001"], ("purchase_intent",)))
        _until(lambda: service.worker.waiting)
        service.forget("c001")
        held.set()
        assert asked.result(timeout=30)[0].events > 0
    assert "c001" not in service.kept


def test_an_event_on_its_way_to_the_disk_does_not_come_back_into_memory(service, hands, monkeypatch) -> None:
    plain = service.store.append
    with ThreadPoolExecutor() as pool:
        forgets = []

        def append(*given):
            placed = plain(*given)
            forgets.append(pool.submit(service.forget, "ann"))
            wait(forgets, timeout=2)
            service.pasts.of("ann")
            return placed

        monkeypatch.setattr(service.store, "append", append)
        service.append([Event("x", "ann", "buy", hands.at, hands.at, "1003", 1.0, 9.0)]).result(timeout=30)
        forgets[0].result(timeout=30)
    assert len(service.pasts.of("ann")) == 0


def test_no_past_that_was_asked_about_stays_with_the_model(service) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Standing]


def test_what_was_told_of_every_question_answers_one(service, hands) -> None:
    every = asyncio.run(service.answer(["c001"], TASKS))[0]
    one = asyncio.run(service.answer(["c001"], ("next_item",)))[0]
    assert one.reused
    assert one.answers == {"next_item": every.answers["next_item"]}
    assert not asyncio.run(service.answer(["c002"], ("next_item",)))[0].reused
    assert not asyncio.run(service.answer(["c002"], TASKS))[0].reused, "one question does not answer four"
    assert asyncio.run(service.answer(["c002"], ("next_item",)))[0].reused


def test_who_asks_while_an_answer_is_made_anew_gets_that_one(service, hands, monkeypatch) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    began, go_on = threading.Event(), threading.Event()

    def slow(*given, **named):
        began.set()
        assert go_on.wait(20)
        return tell(*given, **named)

    monkeypatch.setattr("intently.serve.beforehand.tell", slow)
    asked = []
    monkeypatch.setattr(service.worker, "ask", lambda *given: asked.append(given))
    hands.at += 1_000_000
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    assert began.wait(20)

    async def ask() -> object:
        waiting = asyncio.create_task(service.answer(["c001"], ("purchase_intent",)))
        gone = asyncio.create_task(service.answer(["c001"], ("interest",)))
        await asyncio.sleep(0.1)
        gone.cancel()
        go_on.set()
        return (await waiting)[0]

    told = asyncio.run(ask())
    assert not asked, "it was made twice"
    assert set(told.answers) == {"purchase_intent"}
    assert told.as_of >= hands.at
    assert not told.reused


def test_who_asks_for_scores_does_not_wait_for_the_ranking_that_is_made_with_them(service, hands, monkeypatch) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    half, go_on = threading.Event(), threading.Event()

    def slow(*given, halfway, between):
        def then(told):
            halfway(told)
            half.set()
            assert go_on.wait(20)

        return tell(*given, halfway=then, between=between)

    monkeypatch.setattr("intently.serve.beforehand.tell", slow)
    hands.at += 1_000_000
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    assert half.wait(20)
    scores = asyncio.run(asyncio.wait_for(service.answer(["c001"], ("purchase_intent", "interest")), 10))[0]
    assert scores.as_of >= hands.at
    threading.Timer(0.1, go_on.set).start()
    ranking = asyncio.run(service.answer(["c001"], ("next_item",)))[0]
    every = asyncio.run(service.answer(["c001"], TASKS))[0]
    assert scores.as_of == ranking.as_of == every.as_of, "all of them were made once"
    assert every.answers["interest"] == scores.answers["interest"]


def test_nothing_is_begun_that_can_wait_while_an_event_is_written(service, hands, monkeypatch) -> None:
    monkeypatch.setattr("intently.serve.service._GIVEN_WAY", 20.0)
    asyncio.run(service.answer(["c001"], TASKS))
    writing, go_on, held = threading.Event(), threading.Event(), threading.Event()
    plain = service.store.append

    def append(*given):
        writing.set()
        assert go_on.wait(20)
        return plain(*given)

    hands.at += 1_000_000
    service.worker.call(held.wait)
    service.append([Event("x", "c001", "buy", hands.at - 2, hands.at - 2, "1003", 1.0, 9.0)]).result(timeout=30)
    monkeypatch.setattr(service.store, "append", append)
    written = service.append([Event("one", "c002", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)])
    assert writing.wait(20)
    begun = []
    monkeypatch.setattr("intently.serve.beforehand.tell", lambda *a, **k: (begun.append(1), tell(*a, **k))[1])
    held.set()
    time.sleep(0.5)
    assert not begun, "there are twenty seconds to give way in"
    assert service.writer.busy
    go_on.set()
    written.result(timeout=30)
    _until(lambda: "intently_answers_renewed_total 1.0" in service.monitor.text().decode())
    assert not service.writer.busy


def test_an_answer_that_somebody_waits_for_gives_way_to_nobody(service, hands, monkeypatch) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    gave_way, others, began, go_on = [], [], threading.Event(), threading.Event()
    plain = service.worker._answer_with
    monkeypatch.setattr(service.worker, "_answer_with", lambda *given: (gave_way.append(1), plain(*given)))

    def slow(*given, between, **more):
        began.set()
        assert go_on.wait(20)
        # Somebody else asks now, who came later.
        others.append(service.worker.ask([service.pasts.of("c002")], TASKS, service.models.champion))
        told = tell(*given, between=between, **more)
        assert not gave_way
        return told

    monkeypatch.setattr("intently.serve.beforehand.tell", slow)
    hands.at += 1_000_000
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    assert began.wait(20)

    async def ask() -> list[object]:
        waiting = asyncio.create_task(service.answer(["c001"], TASKS))
        await asyncio.sleep(0.2)
        go_on.set()
        return await waiting

    assert asyncio.run(ask())[0].as_of >= hands.at
    assert others[0].result(30)
    assert gave_way == [1]
    assert "intently_answers_renewed_total 1.0" in service.monitor.text().decode()


def test_who_asks_while_another_answer_is_in_the_making_is_told_of_their_own_past(service, hands, monkeypatch) -> None:
    for user in ("c001", "c002"):
        asyncio.run(service.answer([user], TASKS))
    hands.at += 1_000_000
    asked = []

    def asks(between):
        # In the midst of the one, at every stop, somebody asks about another.
        def then():
            asked.append(service.worker.ask([service.pasts.of("c002")], TASKS, service.models.champion))
            between()

        return then

    monkeypatch.setattr(
        "intently.serve.beforehand.tell",
        lambda *given, between, **more: tell(*given, between=asks(between), **more),
    )
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    _until(lambda: "intently_answers_renewed_total 1.0" in service.monitor.text().decode())
    assert len(asked) > len(TASKS), "an answer stops for breath between its parts too"
    again = asyncio.run(service.answer(["c001"], TASKS))[0]
    plain = asyncio.run(service.answer(["c001"], TASKS, reuse=0))[0]
    assert again.reused
    for task in TASKS:
        assert (
            again.answers[task] == pytest.approx(plain.answers[task], abs=1e-4) if task == "purchase_intent" else True
        )
    assert again.answers["next_item"]["items"][0]["item_id"] == plain.answers["next_item"]["items"][0]["item_id"]
    for one in asked:
        one.result(30)
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Standing]
    other = service.worker.ask([service.pasts.of("c002")], TASKS, service.models.champion).result(30)[0]
    for one in asked:
        told = one.result(30)[0]
        for task in TASKS:
            np.testing.assert_allclose(told.scores[task].values, other.scores[task].values, atol=1e-5)


def test_who_is_answered_while_another_can_wait_leaves_nothing_with_any_model(
    service, shop, hands, monkeypatch
) -> None:
    # Another model, as a challenger is, asked in the midst of the champion's answer, and one before anything is begun.
    other = service.loader.open(shop[1], service.models.champion.shelf.items)
    service.models.line = replace(service.models.line, challenger=other)
    asyncio.run(service.answer(["c001"], TASKS))
    asked = []

    def asks(*given):
        if len(asked) < 3:
            asked.append(service.worker.ask([service.pasts.of("c002")], TASKS, other))
        plain(*given)

    plain = service.beforehand._give_way
    monkeypatch.setattr(service.beforehand, "_give_way", asks)
    hands.at += 1_000_000
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    _until(lambda: "intently_answers_renewed_total 1.0" in service.monitor.text().decode())
    assert [one.result(30) for one in asked]
    service.worker.call(lambda: None).result(30)
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is Standing]


def test_what_happens_while_an_answer_is_made_anew_makes_it_due_again(service, hands, monkeypatch) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    began, go_on = held_back(monkeypatch)
    hands.at += 1_000_000
    service.append([Event("one", "c001", "buy", hands.at - 2, hands.at - 2, "1003", 1.0, 9.0)]).result(timeout=30)
    assert began.wait(20)
    service.append([Event("two", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    go_on.set()
    _until(lambda: "intently_answers_renewed_total 2.0" in service.monitor.text().decode())
    assert asyncio.run(service.answer(["c001"], TASKS))[0].reused


def test_who_waits_for_what_could_not_be_made_asks(service, hands, monkeypatch) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    began, go_on = threading.Event(), threading.Event()

    def broken(*_given, **_named):
        began.set()
        assert go_on.wait(20)
        raise ValueError("no")

    monkeypatch.setattr("intently.serve.beforehand.tell", broken)
    hands.at += 1_000_000
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    assert began.wait(20)
    threading.Timer(0.2, go_on.set).start()
    told = asyncio.run(service.answer(["c001"], ("purchase_intent",)))[0]
    assert told.as_of >= hands.at
    assert not told.reused


def test_customers_are_answered_for_before_anybody_asks(service, hands) -> None:
    service.start()
    _until(lambda: "c001" in service.kept)
    # And again when they do something.
    hands.at += 1_000_000
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    _until(lambda: "intently_answers_renewed_total 1.0" in service.monitor.text().decode())
    assert asyncio.run(service.answer(["c001"], ("purchase_intent",)))[0].reused


def test_who_was_forgotten_is_not_answered_for_beforehand(service) -> None:
    before = service.kept.forgettings
    service.forget("c001")
    service.beforehand.foresee(service.worker, ["c001", "c002"], before)
    assert "c001" not in service.kept
    assert "c002" not in service.kept
    assert service.pasts.peek("c001") is None


def test_made_up_customers_fill_no_memory(service) -> None:
    there = len(service.pasts)
    for number in range(20):
        asyncio.run(service.answer([f"nobody{number}"], ("purchase_intent",)))
    assert len(service.pasts) == there


def test_answers_of_a_model_that_serves_no_more_are_dropped(service) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    assert "c001" in service.kept
    given = service.models.champion
    for name in ("second", "third"):
        service.models.swap(replace(given, name=name, version=name))
    assert given not in service.models.line.loaded
    assert "c001" not in service.kept


def test_an_answer_that_was_being_made_is_not_kept_of_a_model_that_serves_no_more_meanwhile(service) -> None:
    given, held = service.models.champion, threading.Event()
    service.worker.call(held.wait)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(asyncio.run, service.answer(["c001"], ("purchase_intent",)))
        _until(lambda: service.worker.waiting)
        for name in ("second", "third"):
            service.models.swap(replace(given, name=name, version=name))
        held.set()
        assert asked.result(timeout=30)[0].model == given.version
    assert "c001" not in service.kept
    asyncio.run(service.answer(["c001"], ("purchase_intent",)))
    assert "c001" in service.kept


def test_an_answer_of_this_instant_is_not_one_that_was_begun_before(service, hands, monkeypatch) -> None:
    asyncio.run(service.answer(["c001"], TASKS))
    began, go_on = held_back(monkeypatch)
    hands.at += 1_000_000
    service.append([Event("new", "c001", "buy", hands.at - 1, hands.at - 1, "1003", 1.0, 9.0)]).result(timeout=30)
    assert began.wait(20)
    hands.at += 20_000_000
    threading.Timer(0.2, go_on.set).start()
    assert asyncio.run(service.answer(["c001"], ("purchase_intent",), reuse=0))[0].as_of >= hands.at
    assert asyncio.run(service.answer(["c001"], ("purchase_intent",), reuse=5))[0].as_of >= hands.at
