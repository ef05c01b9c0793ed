import logging
import os
import stat
from pathlib import Path

import polars as pl
import pytest

from intently.contract import Past
from intently.errors import ConfigError
from intently.log.log import Log
from intently.log.protect import Protect, asked_id, protected
from intently.tasks.purchase_intent import TASK
from intently.text.verbalise import item_texts
from small_logs import day, tiny

EVENTS = pl.DataFrame(
    {
        "user_id": ["ann", "bo", None],
        "session_id": ["s1", "s2", "s3"],
        "item_id": [1, 2, 1],
        "event_type": ["buy", "review", "search"],
        "timestamp": [day(0), day(1), day(2)],
        "text": [None, "call 415-555-2671", "我的邮箱ann@example.com"],
        "note": ["13800138000", "gift", ""],
        "billingEmail": ["ann@example.com", "bo@example.com", None],
        "contact": [13800138000, 13900139000, None],
        "phone": [4155552671, None, None],
        "email_opened": [1, 0, 1],
        "discount": [0.0, 0.5, 0.1],
    }
)
ITEMS = pl.DataFrame({"item_id": [1, 2], "title": ["tea", "coat"], "description": ["加微信 seller_2020", "warm"]})
USERS = pl.DataFrame(
    {"user_id": ["ann", "bo"], "name": ["Ann", "Bo"], "birth_date": ["1990-01-01", None], "收货人手机号": ["1", "2"]}
    | {"age": [30, 40], "town": ["north", "south"], "about_me": ["mail a@b.com", None]}
)


def test_texts_are_masked_in_every_table() -> None:
    safe = protected(EVENTS, ITEMS, USERS)
    assert safe.events["text"].to_list() == [None, "call [phone]", "我的邮箱[email]"]
    assert safe.events["note"].to_list() == ["[phone]", "gift", ""]
    assert safe.items is not None
    assert safe.items["description"].to_list() == ["加微信 [account]", "warm"]
    assert safe.users is not None
    assert safe.users["about_me"].to_list() == ["mail [email]", None]
    assert safe.found == {"email": 2, "phone": 2, "account": 1}


def test_personal_columns_are_dropped_and_said() -> None:
    safe = protected(EVENTS, ITEMS, USERS)
    assert safe.dropped == (
        "events.billingEmail", "events.contact", "events.phone",
        "users.name", "users.birth_date", "users.收货人手机号",
    )  # fmt: skip
    assert {"email_opened", "discount"} <= set(safe.events.columns)
    assert "events.billingEmail" in safe.told
    assert "2 email" in safe.told


def test_declared_columns_go_and_allowed_ones_stay_as_they_are() -> None:
    safe = protected(EVENTS, ITEMS, USERS, Protect(personal=("town", "emial"), allow=("billingEmail", "note")))
    assert safe.users is not None
    assert "town" not in safe.users.columns
    assert safe.events["billingEmail"].to_list() == EVENTS["billingEmail"].to_list()
    assert safe.events["note"][0] == "13800138000"
    assert any("emial" in note for note in safe.notes)


def test_masking_can_be_switched_off() -> None:
    safe = protected(EVENTS, ITEMS, USERS, Protect(mask=False))
    assert safe.events["text"].to_list() == EVENTS["text"].to_list()
    assert "billingEmail" not in safe.events.columns


def test_texts_inside_lists_structs_and_categories_are_masked() -> None:
    nested = EVENTS.select("user_id", "event_type", "timestamp").with_columns(
        tags=pl.Series([["a@b.com"], ["x"], []]),
        form=pl.Series([{"q": "138 0013 8000"}, {"q": ""}, None]),
        kind=pl.Series(["a@b.com", "x", None], dtype=pl.Categorical),
        sizes=pl.Series([[1, 2], [3], None]),
        raw=pl.Series([b"a@b.com", b"", None]),
    )
    safe = protected(nested, None, None)
    assert "a@b.com" not in str(safe.events.to_dicts())
    assert "8000" not in str(safe.events.to_dicts())
    assert safe.events["kind"].to_list() == ["[email]", "x", None]
    assert safe.events["sizes"].equals(nested["sizes"])
    assert safe.dropped == ("events.raw",)


def test_a_log_without_personal_data_is_unchanged(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    log = tiny()
    log.write(tmp_path)
    with caplog.at_level(logging.WARNING):
        again = Log.read(tmp_path)
    assert again.events.equals(log.events)
    assert again.items.equals(log.items)
    assert caplog.text == ""


def written(folder: Path) -> Path:
    for name, table in (("events", EVENTS), ("items", ITEMS), ("users", USERS)):
        table.write_parquet(folder / f"{name}.parquet")
    return folder


def test_personal_columns_reach_no_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a model can read: numbers of events, the texts of items, and what is said of customers."""
    with caplog.at_level(logging.WARNING):
        log = Log.read(written(tmp_path))
    assert "events.contact" in caplog.text
    past = Past(log, TASK.questions(log, day(3)))
    assert set(past.rows().extra) == {"email_opened", "discount"}
    assert set(log.pack.by_item.extra) == {"email_opened", "discount"}
    assert past.users.columns == ["user_id", "age", "town", "about_me"]
    assert not any("seller_2020" in text for text in item_texts(past.items)[0])


def test_hashed_ids_still_join_and_sessions_stand_for_customers(tmp_path: Path) -> None:
    protect = Protect(hash_ids=True, key_file=tmp_path / "keys" / "shop.key")
    log = Log.read(written(tmp_path), protect)
    assert log.events["user_id"].str.contains("^[0-9a-f]{32}$").all()
    assert set(log.users["user_id"]) <= set(log.events["user_id"])
    ids = log.pack.user_ids
    for name in ("ann", "bo", "s3"):
        assert asked_id(name, protect, ids) in ids.to_list()
    hashed = asked_id("ann", protect, ids)
    assert asked_id(hashed, protect, ids) == hashed
    assert asked_id("ann", Protect(), ids) == "ann"


def test_whole_numbers_and_text_hash_alike(tmp_path: Path) -> None:
    protect = Protect(hash_ids=True, key_file=tmp_path / "key")
    events = EVENTS.select("event_type", "timestamp", user_id=pl.Series([12, 7, None]))
    safe = protected(events, None, pl.DataFrame({"user_id": ["12", "7"]}), protect)
    assert safe.users is not None
    assert safe.events["user_id"].to_list()[:2] == safe.users["user_id"].to_list()
    assert safe.events["user_id"][2] is None


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "key"
    protect = Protect(hash_ids=True, key_file=file)
    first = protected(EVENTS, None, None, protect)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["key"]
    assert protected(EVENTS, None, None, protect).events.equals(first.events)
    file.chmod(0o644)
    assert any("chmod 600" in note for note in protected(EVENTS, None, None, protect).notes)
    other = protected(EVENTS, None, None, Protect(hash_ids=True, key_file=tmp_path / "other"))
    assert not set(other.events["user_id"].drop_nulls()) & set(first.events["user_id"].drop_nulls())


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    with pytest.raises(ConfigError, match="does not hold a key"):
        protected(EVENTS, None, None, Protect(hash_ids=True, key_file=tmp_path / "key"))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="a log needs them"):
        Protect(personal=("user_id",))
    with pytest.raises(ConfigError, match="needs a key"):
        Protect(hash_ids=True)
    with pytest.raises(ConfigError, match="both"):
        Protect(personal=("town",), allow=("town",))


def test_ids_that_are_addresses_are_said() -> None:
    events = EVENTS.with_columns(user_id=pl.Series(["a@b.com", "c@d.org", None]))
    assert any("hash_ids" in note for note in protected(events, None, None).notes)
    assert not protected(EVENTS, None, None).notes


def test_the_section_of_a_file_is_read_and_its_unknown_keys_are_named(tmp_path: Path):
    found = Protect.written({"hash_ids": True, "key_file": "keys/one", "personal": ["shoe_size"]}, tmp_path)
    assert found == Protect(hash_ids=True, key_file=tmp_path / "keys/one", personal=("shoe_size",))
    with pytest.raises(ConfigError, match=r"no key 'maks'.*did you mean 'mask'"):
        Protect.written({"maks": True}, tmp_path)
    with pytest.raises(ConfigError, match="mask = 'yes'"):
        Protect.written({"mask": "yes"}, tmp_path)


def test_a_log_is_protected_as_its_file_says(tmp_path: Path):
    (tmp_path / "events.csv").write_text("user_id,event_type,timestamp\nann,buy,2024-01-01T00:00:00\n")
    (tmp_path / "intently.toml").write_text(
        '[data]\nevents = "events.csv"\n[protect]\nhash_ids = true\nkey_file = "key"\n'
    )
    log = Log.read(tmp_path)
    assert log.events["user_id"][0] == asked_id(
        "ann", Protect(hash_ids=True, key_file=tmp_path / "key"), log.pack.user_ids
    )
    assert log.events["user_id"][0] != "ann"


@pytest.mark.parametrize("hashed", [False, True])
def test_a_blank_id_is_nobody_with_hashes_too(tmp_path: Path, hashed: bool) -> None:
    pl.DataFrame(
        {
            "user_id": ["7", " ", "", " "],
            "session_id": ["s1", "s2", "s3", "s4"],
            "event_type": ["buy"] * 4,
            "timestamp": [day(number) for number in range(4)],
        }
    ).write_parquet(tmp_path / "events.parquet")
    log = Log.read(tmp_path, Protect(hash_ids=hashed, key_file=tmp_path / "key"))
    assert log.events["user_id"].n_unique() == 4


def test_customers_called_unknown_are_told_before_they_are_hashed(tmp_path: Path) -> None:
    events = EVENTS.with_columns(user_id=pl.Series(["Unknown", "bo", "unknown"]))
    notes = protected(events, None, None, Protect(hash_ids=True, key_file=tmp_path / "key")).notes
    assert notes == ("2 events are of customers called 'unknown': leave user_id empty there",)


def test_a_key_file_may_lie_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Protect.written({"key_file": "~/shop.key"}, tmp_path / "data").key_file == tmp_path / "home" / "shop.key"


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Decimal(20, 2)])
def test_phones_that_a_missing_one_made_floats_are_dropped(dtype: pl.DataType) -> None:
    numbers = pl.Series("contact", [13800138000, 13900139000, None]).cast(dtype)
    assert protected(EVENTS.with_columns(numbers), None, None).dropped[1] == "events.contact"
    assert protected(EVENTS.with_columns(numbers / 7), None, None).dropped[1] == "events.phone"
