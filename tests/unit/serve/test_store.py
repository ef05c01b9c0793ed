"""What the state promises, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import replace

import polars as pl
import pytest

from intently.errors import ConfigError, DataError
from intently.log.pack import Pack
from intently.log.packed import PackedLog
from intently.serve.bring import bring, item_table, log_of
from intently.serve.event import Event
from intently.serve.pasts import Pasts, history_of
from intently.serve.store import Store
from small_logs import tiny

NOON = 1_700_000_000_000_000


def event(number: int, user: str = "ann", **more: object) -> Event:
    return replace(Event(f"e{number}", user, "view", NOON + number, NOON + number + 1, "tea"), **more)


def test_an_event_is_taken_once_and_is_there_when_the_state_is_opened_again(store: Store, url: str) -> None:
    first = store.append([event(1), event(2), event(1)])
    assert [one is not None for one in first] == [True, True, False]
    again = store.append([event(2, amount=99.0), event(3)])
    assert [one is not None for one in again] == [False, True]
    opened = Store.open(url)
    assert opened.count() == 3
    assert [row[0] for row in opened.rows_of("ann")] == sorted(row[0] for row in opened.rows_of("ann"))
    assert opened.items == {"tea": 0}
    assert opened.types == {"view": 0}
    opened.close()


def test_a_late_event_stands_where_it_became_known_with_its_own_time(store: Store) -> None:
    late = event(9, timestamp=NOON - 5_000, arrived=NOON + 50)
    store.append([event(1), late, event(100)])
    rows = store.rows_of("ann")
    assert [row.timestamp - NOON for row in rows] == [1, -5_000, 100]
    assert [row.known - NOON for row in rows] == [2, 50, 101]


def test_a_history_in_memory_is_the_one_that_is_read_whatever_the_order_of_arrival(store: Store) -> None:
    events = [event(n, arrived=NOON + (n * 37) % 23, extra={"stars": float(n)} if n % 2 else {}) for n in range(20)]
    kept = Pasts(store)
    kept.of("ann")
    for one in events:
        kept.add([placed for placed in store.append([one]) if placed is not None])
    held, read = kept.of("ann"), Pasts(store).of("ann")
    for name in ("known", "time", "item", "event_type", "quantity", "amount"):
        assert getattr(held, name).tolist() == getattr(read, name).tolist(), name
    assert held.extra["stars"].tolist() == read.extra["stars"].tolist()
    assert held.known.tolist() == sorted(held.known.tolist())


@pytest.mark.parametrize("seed", range(3))
def test_events_that_arrived_at_once_make_one_past_in_whatever_order_they_come(store: Store, seed: int) -> None:
    rng = random.Random(seed)
    # All known at one of two times, each of its own time.
    batch = [
        event(n, timestamp=NOON - n, arrived=NOON + 7 * rng.randrange(2), item=f"i{n}", text=f"t{n}") for n in range(12)
    ]
    # The codes are the same for both customers.
    store.append([replace(one, event_id=f"first-{one.event_id}", user="other") for one in batch])
    pasts, kept = [], Pasts(store)
    for user in ("ann", "bob"):
        rng.shuffle(batch)
        mine = [replace(one, event_id=f"{user}-{one.event_id}", user=user) for one in batch]
        first = rng.randrange(1, 12)
        placed = store.append(mine[:first])
        kept.of(user)
        later = [one for one in store.append(mine[first:]) if one is not None]
        kept.add(later)
        posted = history_of([one for one in (*placed, *later) if one is not None])
        for past in (kept.of(user), Pasts(store).of(user), posted):
            pasts.append([getattr(past, name).tolist() for name in ("known", "time", "item")])
        written = [text for _, text in store.written_by(user)]
        assert written == [f"t{NOON - row.timestamp}" for row in store.rows_of(user)]
    one, *others = pasts
    assert all(other == one for other in others)
    assert one[:2] == [list(column) for column in zip(*sorted(zip(*one[:2], strict=True)), strict=True)]


def test_what_is_stored_while_a_history_is_read_is_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Pasts(store)
    store.append([event(1)])
    plain = kept._read

    def slow(user: str):
        found = plain(user)
        if store.count() == 1:
            kept.add([placed for placed in store.append([event(2)]) if placed is not None])
        return found

    monkeypatch.setattr(kept, "_read", slow)
    assert len(kept.of("ann")) == 2


def test_a_history_is_read_while_a_new_item_is_being_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Committed, and its code not yet known in memory: the reader waits for the writer to end."""
    plain, kept = store.writing, Pasts(store)
    with ThreadPoolExecutor() as readers:
        read = []

        @contextmanager
        def writing():
            with plain() as connection:
                yield connection
            read.append(readers.submit(kept.of, "ann"))
            wait(read, timeout=0.5)

        monkeypatch.setattr(store, "writing", writing)
        store.append([event(1)])
        assert read[0].result(timeout=30).item.tolist() == [0]


def test_a_state_is_served_by_one_service_at_a_time(url: str) -> None:
    first = Store.open(url, serving=True)
    with pytest.raises(ConfigError, match="Another service"):
        Store.open(url, serving=True)
    Store.open(url).close()
    with pytest.raises(ConfigError, match="Another service"):
        Store.open(url, serving=True)
    first.close()
    Store.open(url, serving=True).close()


def test_memory_is_bounded(store: Store) -> None:
    store.append([event(n, user=f"u{n % 50:02}") for n in range(500)])
    kept = Pasts(store, most_events=350)
    for n in range(50):
        kept.of(f"u{n:02}")
    assert kept.events <= 350
    assert len(kept) == 35


def test_a_fault_takes_nothing(store: Store) -> None:
    with pytest.raises(Exception, match=r"."):
        store.append([event(1), event(2, timestamp=None)])
    assert store.count() == 0
    assert not store.items
    assert not store.types
    assert store.append([event(1)])[0] is not None


def test_who_is_forgotten_is_gone_with_what_is_about_them_and_their_nameless_visits(store: Store) -> None:
    store.append(
        [
            event(1, session="s1"),
            event(2, user="s1", session="s1"),
            event(3, user="bob", about="e1"),
            event(4, user="bob", about="e3"),
            event(5, user="bob", session="s2"),
        ]
    )
    store.dead_letter(NOON, "stream", "no time", '{"user_id": "ann"}')
    store.dead_letter(NOON, "stream", "no time", '{"user_id": "bob"}')
    # Ids in which the one that is forgotten is only a part.
    store.dead_letter(NOON, "stream", "no time", '{"user_id": "joann", "session_id": "s11"}')
    known = store.known_of("ann")
    assert [row["event_id"] for row in known["events"]] == ["e1", "e2"]
    assert [(row["event_id"], row["user_id"]) for row in known["about"]] == [("e3", "bob"), ("e4", "bob")]
    assert [row["body"] for row in known["dead_letters"]] == ['{"user_id": "ann"}']
    gone = store.forget("ann")
    assert gone.ids == ("ann", "s1")
    assert gone.events == 4
    assert gone.dead_letters == 1
    assert len(store.dead_letters()) == 2
    assert [row["event_id"] for row in store.known_of("bob")["events"]] == ["e5"]
    assert store.known_of("ann") == {"customer": None, "events": [], "about": [], "dead_letters": []}
    assert store.was_forgotten("ann")
    assert not store.was_forgotten("bob")


@pytest.mark.parametrize(
    ("body", "hers"),
    [
        ('{"userId": "ann", "text": "my heart pills"}', True),
        ('{"event": {"user_id": "ann"}}', True),
        ('[{"events": [{"who": ["ann"]}]}]', True),
        ('{"by_customer": {"ann": 3}}', True),
        ('{"customer": "ann, by phone"}', True),
        ('{"user_id": {"id": "ann"}}', True),
        ("user_id=ann&", True),
        ("[" * 9_000 + '"ann"', True),
        ('{"visit": "v1"}', True),
        ('{"user": "ann", "text": "\\ud83d"}', True),
        ('{"user_id": "\\ud83d"}', False),
        ('{"event": {"user_id": "joann"}}', False),
        # Who it is about stands in its place: what else it says is of others.
        ('{"user_id": "bob", "about": "ann"}', False),
        ('{"user_id": null, "session_id": "v2", "event": {"user_id": "ann"}}', False),
    ],
)
@pytest.mark.parametrize("keyed", [str, lambda given: f"hash of {given.encode().decode()}"])
def test_a_letter_goes_wherever_in_it_the_customer_stands(tmp_path, body: str, hers: bool, keyed) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    store.append([event(1, user=keyed("ann"), session=keyed("v1")), event(2, user=keyed("v1"), session=keyed("v1"))])
    store.dead_letter(NOON, "stream", "no time", body)
    assert store.forget(keyed("ann"), "ann", keyed).dead_letters == hers
    assert len(store.dead_letters()) == 1 - hers
    store.close()


@pytest.mark.parametrize(
    "body", ['{"customer_id": "bob", "event_type": "buy", "item_id": 17, "quantity": 1}', "17 bob"]
)
def test_a_letter_that_names_nobody_in_its_place_is_shown_to_nobody(tmp_path, body: str) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    store.dead_letter(NOON, "stream", "no user_id", body)
    for one in ("1", "17", "buy", "bob"):
        assert store.known_of(one)["dead_letters"] == []
    if body.startswith("{"):
        assert (
            store.forget("1").dead_letters == store.forget("17").dead_letters == store.forget("buy").dead_letters == 0
        )
    assert store.forget("bob").dead_letters == 1
    store.close()


def test_a_number_in_a_letter_may_be_the_customer(tmp_path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    for body in ('{"user": 4711}', '{"user": 47110}', '{"seen": true, "user": null}'):
        store.dead_letter(NOON, "stream", "no time", body)
    assert store.forget("4711").dead_letters == 1
    store.close()


def test_a_log_comes_in_once_and_goes_out_as_it_was(store: Store) -> None:
    log = tiny()
    assert bring(log, store) == len(log.events)
    assert bring(log, store) == 0
    back = log_of(store)
    names = [
        name for name in ("item_id", "event_type", "timestamp", "quantity", "amount", "text") if name in log.events
    ]
    assert back.events.select(names).to_dicts() == log.events.select(names).to_dicts()
    assert back.events["user_id"].to_list() == log.events["user_id"].cast(pl.String).to_list()
    assert back.items["item_id"].to_list() == log.items["item_id"].to_list()
    assert back.observed_from == log.observed_from


def test_a_pack_gives_the_same_pasts_as_its_log(store: Store, tmp_path) -> None:
    log = tiny()
    pack = Pack.of(log.events, log.items)
    packed = PackedLog(pack, log.items, log.users, log.observed_from, log.observed_until, len(log.events), "none")
    bring(packed, store)
    order = log.pack.by_user
    for code, user in enumerate(log.pack.user_ids.cast(pl.String)):
        part = slice(order.offsets[code], order.offsets[code + 1])
        found = Pasts(store).of(user)
        assert found.known.tolist() == order.known[part].tolist()
        assert found.item.tolist() == order.item[part].tolist()
        assert found.amount.tolist() == order.amount[part].tolist()


def test_what_is_nobodys_or_said_again_is_left_out_of_the_count_and_told(store: Store, caplog) -> None:
    log = tiny()
    names = [f"e{number}" for number in range(len(log.events))]
    names[4] = names[1]
    ids = pl.Series("event_id", names)
    nobody = pl.when(pl.int_range(pl.len()) == 7).then(None).otherwise(pl.col("user_id")).alias("user_id")
    strange = replace(log, events=log.events.with_columns(ids, nobody))
    with caplog.at_level("WARNING"):
        assert bring(strange, store) == store.count() == len(log.events) - 2
    assert "1 events have neither user_id nor session_id" in caplog.text
    assert "1 events repeat an event_id" in caplog.text
    assert len(log_of(store).events) == len(log.events) - 2


@pytest.mark.parametrize("packed", [False, True])
def test_a_number_that_is_none_stops_no_forecast(store: Store, packed: bool) -> None:
    log = tiny()
    stars = pl.Series("stars", [float("nan"), float("inf"), 3.0, *[None] * (len(log.events) - 3)])
    log = replace(log, events=log.events.with_columns(stars))
    if packed:
        pack = Pack.of(log.events, log.items)
        log = PackedLog(pack, log.items, log.users, log.observed_from, log.observed_until, len(log.events), "none")
    bring(log, store)
    told = log_of(store).events["stars"].to_list()
    assert sorted(value for value in told if value) == [3.0]
    assert all(value is None or value in (0.0, 3.0) for value in told)


def test_who_was_forgotten_does_not_come_back_with_a_file(store: Store) -> None:
    log = tiny()
    user = str(log.pack.user_ids[0])
    store.forget(user)
    bring(log, store)
    assert store.known_of(user)["events"] == []
    assert store.count() == len(log.events.filter(pl.col("user_id").cast(pl.String) != user))


def test_a_log_does_not_come_into_a_state_with_events_of_its_own(store: Store) -> None:
    store.append([event(1)])
    with pytest.raises(DataError, match="empty one"):
        bring(tiny(), store)


def test_items_are_said_and_keep_their_place(store: Store) -> None:
    store.append([event(1)])
    assert store.put_items({"coffee": {"title": "Coffee"}, "tea": {"title": "Tea"}}) == 2
    assert store.put_items({"tea": {"title": "Tea"}}) == 0
    assert item_table(store).rows() == [("tea", "Tea"), ("coffee", "Coffee")]


@pytest.mark.parametrize("url_", ["mysql://x/y", "nonsense", "sqlite+nope:///x"])
def test_a_url_that_is_none_is_said(url_: str) -> None:
    with pytest.raises(ConfigError, match=r"URL|not supported|driver"):
        Store.open(url_)


def test_a_state_that_cannot_be_kept_is_refused_in_one_sentence(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot be kept"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/state.db", serving=True)


def test_what_was_written_is_moved_into_the_database_itself_and_not_by_who_writes(tmp_path) -> None:
    opened = Store.open(f"sqlite:///{tmp_path / 'state.db'}")
    for start in range(0, 40_000, 1_000):
        opened.append([event(n) for n in range(start, start + 1_000)])

    def in_the_file() -> int:
        copied = tmp_path / "copied.db"
        copied.write_bytes((tmp_path / "state.db").read_bytes())
        with closing(sqlite3.connect(copied)) as alone:
            try:
                return int(alone.execute("SELECT count(*) FROM events").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

    assert (tmp_path / "state.db-wal").stat().st_size > 1_500 * 4_096
    assert in_the_file() == 0
    opened.move()
    assert in_the_file() == 40_000
    opened.close()
