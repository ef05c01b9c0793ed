"""From intently.toml to three tables."""

import logging
from datetime import UTC, datetime

import polars as pl
import pytest

from intently.errors import ConfigError, DataError
from intently.log.log import Log
from intently.log.source import settings_of
from small_logs import tiny

ORDERS = """\
Order,Who,What,Name,When,Units,Each,Kind
1,ann,7,Damaged,2024-07-01 09:00,-1,0,sold
1,ann,7,Mug,2024-07-01 10:00,2,4.5,sold
2,,8,Jug,2024-07-01 11:00,1,20,sold
3,bo,7,Mug old,2024-07-02 10:00,1,4,looked
"""
MAPPING = """
[data]
events = "orders.csv"
timezone = "Europe/London"
observed_from = 2024-07-01
observed_until = "2024-08-01T00:00:00Z"
[data.columns]
user_id = "Who"
session_id = "Order"
item_id = "What"
timestamp = "When"
quantity = "ABS(Units)"
amount = "ABS(Units) * Each"
event_type = "Kind"
[data.item_columns]
title = "Name"
[data.event_types]
sold = "buy"
"""


@pytest.fixture
def shop(tmp_path):
    def _shop(toml=MAPPING, **files):
        (tmp_path / "orders.csv").write_text(ORDERS)
        (tmp_path / "intently.toml").write_text(toml)
        for name, content in files.items():
            (tmp_path / name.replace("_", ".")).write_text(content)
        return tmp_path

    return _shop


def test_a_mapping_makes_a_log(shop, caplog):
    folder = shop()
    with caplog.at_level(logging.WARNING, logger="intently"):
        log = Log.read(folder)
    assert log.events["user_id"].to_list() == ["ann", "ann", "2", "bo"]
    assert log.events["session_id"].to_list() == ["1", "1", "2", "3"]
    assert log.events["amount"].to_list() == [0, 9, 20, 4]
    assert log.events["timestamp"][1] == datetime(2024, 7, 1, 9, tzinfo=UTC)
    # Each item as it was first sold: not the note about stock before it, not a later name.
    assert log.items.rows() == [(7, "Mug"), (8, "Jug")]
    assert log.observed_from == datetime(2024, 6, 30, 23, tzinfo=UTC)
    assert log.observed_until == datetime(2024, 8, 1, tzinfo=UTC)
    assert log.events["event_type"].to_list() == ["buy", "buy", "buy", "looked"]
    assert "kept as they are: {'looked': 1}" in caplog.text
    assert Log.read(folder / "intently.toml").events.equals(log.events)


def test_a_mapping_read_and_written_is_the_same_log(shop, tmp_path):
    log = Log.read(shop())
    log.write(tmp_path / "again")
    again = Log.read(tmp_path / "again")
    assert again.events.equals(log.events)
    assert again.items.equals(log.items)
    assert (again.observed_from, again.observed_until) == (log.observed_from, log.observed_until)


def test_items_and_users_of_their_own(shop):
    toml = MAPPING.replace("[data.columns]", 'items = "things.jsonl"\nusers = "people.csv"\n[data.columns]')
    toml = toml.replace('title = "Name"', 'item_id = "id"\ntitle = "label"') + '[data.user_columns]\nuser_id = "who"\n'
    folder = shop(toml, things_jsonl='{"id": 7, "label": "Becher"}\n', people_csv="who,country\nann,AT\n")
    log = Log.read(folder)
    assert log.items.rows() == [(7, "Becher")]
    # Only what is named is taken over.
    assert log.users.rows() == [("ann",)]


def test_a_config_without_a_mapping_lies_beside_tables_that_need_none(tmp_path):
    whole = tiny().events.with_columns(email=pl.lit("ann@example.com"))
    whole.write_parquet(tmp_path / "events.parquet")
    (tmp_path / "intently.toml").write_text(
        "[train]\nthreads = 1\n[text]\nepochs = 1\n[rules]\n[protect]\npersonal = ['email']\n"
        "[[tasks]]\nname = 'tea_again'\n",
        encoding="utf-8",
    )
    settings = settings_of(tmp_path)
    assert settings.tasks == [{"name": "tea_again"}]
    log = Log.read(tmp_path)
    assert len(log.events) == len(whole)
    assert "email" not in log.events.columns
    (tmp_path / "events.parquet").unlink()
    with pytest.raises(ConfigError, match=r"no section \[data\]"):
        Log.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[data]", "[dta]"), "[dta] is not a section (did you mean 'data'?)"),
        (("timezone", "timezon"), "data.timezon is not a key (did you mean 'timezone'?)"),
        (('"Europe/London"', "1"), "data.timezone = 1"),
        (('"Europe/London"', '"Europe/Londn"'), "did you mean 'Europe/London'"),
        (("Europe/London\"", 'Europe/London"\ndialect = "shopfy"'), "did you mean 'shopify'"),
        (('events = "orders.csv"', ""), "data.events is missing"),
        (('"Who"', "Who"), "is not TOML"),
        (('"Who"', '"Whom"'), "no column 'Whom'; did you mean 'Who'?"),
        (('"orders.csv"', '"order.csv"'), "There is no file"),
        (('"2024-08-01T00:00:00Z"', '"soon"'), "'soon' is not a date"),
        (('timestamp = "When"', ""), "'timestamp' is missing"),
        (('timestamp = "When"', 'timestamp = "Name"'), "the values of 'timestamp' are not a date"),
    ],
)  # fmt: skip
def test_a_fault_of_the_mapping_is_named(shop, change, says):
    assert change[0] in MAPPING
    with pytest.raises((ConfigError, DataError)) as raised:
        Log.read(shop(MAPPING.replace(*change)))
    assert says in str(raised.value)


def test_all_faults_are_named_at_once(shop):
    toml = (
        MAPPING.replace('"Who"', '"Whom"').replace("ABS(Units) * Each", "ABS(Units) * Eech").replace('"Name"', '"Naem"')
    )
    with pytest.raises(DataError) as raised:
        Log.read(shop(toml))
    assert "3 faults" in raised.value.problem
    assert all(name in raised.value.problem for name in ("Whom", "Eech", "Naem"))


def test_the_other_sections_are_kept_for_those_who_read_them(shop):
    settings = settings_of(shop(MAPPING + '[protect]\nhash_ids = true\n[[tasks]]\nname = "again"\n'))
    assert settings.protect == {"hash_ids": True}
    assert settings.tasks == [{"name": "again"}]


def test_a_plain_folder_takes_every_kind_of_file_and_keeps_other_columns(tmp_path):
    log = tiny()
    log.events.with_columns(channel=pl.lit("web")).write_ndjson(tmp_path / "events.jsonl")
    again = Log.read(tmp_path)
    assert again.events["timestamp"].equals(log.events["timestamp"])
    assert set(again.events["channel"]) == {"web"}


def test_one_file_of_events_is_a_log(tmp_path):
    log = tiny()
    log.events.write_parquet(tmp_path / "x.parquet")
    assert Log.read(tmp_path / "x.parquet").events.equals(log.events)


def test_values_that_cannot_be_taken_are_said(tmp_path, caplog):
    (tmp_path / "events.csv").write_text(
        "user_id,event_type,timestamp,amount\na,buy,2024-01-01,1\nb,buy,2024-01-02,much\n"
    )
    with caplog.at_level(logging.WARNING, logger="intently"):
        log = Log.read(tmp_path)
    assert log.events["amount"].to_list() == [1, None]
    assert "1 values of 'amount' are not a number and are left empty; the first is 'much' in row 1" in caplog.text


def test_a_broken_manifest_is_one_sentence(tmp_path):
    tiny().write(tmp_path)
    (tmp_path / "log.json").write_text("{}")
    with pytest.raises(DataError, match="does not say observed_from"):
        Log.read(tmp_path)


@pytest.mark.parametrize("mapped", [False, True])
def test_ids_and_texts_of_a_csv_keep_their_last_zero(tmp_path, mapped):
    header = (
        "who,sku,kind,at,visit,cat,paid" if mapped else "user_id,item_id,event_type,timestamp,session_id,cat,amount"
    )
    rows = ["1,1.1,buy,2024-01-31,100.1,1.1,2.50", "2,1.10,buy,2024-02-01,100.10,1.10,3.10"]
    (tmp_path / "events.csv").write_text("\n".join([header, *rows]))
    if mapped:
        toml = '[data]\nevents = "events.csv"\n[data.columns]\nuser_id = "who"\nitem_id = "sku"\nevent_type = "kind"\n'
        toml += 'timestamp = "at"\nsession_id = "visit"\namount = "paid * 2"\n[data.item_columns]\ncategory = "cat"\n'
        (tmp_path / "intently.toml").write_text(toml)
    log = Log.read(tmp_path)
    assert log.events["item_id"].to_list() == ["1.1", "1.10"]
    assert log.events["session_id"].to_list() == ["100.1", "100.10"]
    assert log.events["user_id"].to_list() == [1, 2]
    assert log.events["amount"].to_list() == ([5.0, 6.2] if mapped else [2.5, 3.1])
    if mapped:
        assert log.items["category"].to_list() == ["1.1", "1.10"]


def test_an_item_of_one_table_is_found_in_the_other_however_each_writes_its_numbers(tmp_path):
    rows = ["user_id,item_id,event_type,timestamp", "1,2.0,buy,2024-01-31", "2,3.0,buy,2024-02-01"]
    (tmp_path / "events.csv").write_text("\n".join(rows))
    (tmp_path / "items.csv").write_text("item_id,title\n2.0,tea\n3.0,mug\n1.5,half\n")
    log = Log.read(tmp_path)
    assert log.events["item_id"].to_list() == ["2", "3"]
    assert log.items["item_id"].to_list() == ["2", "3", "1.5"]


def test_the_span_is_read_as_the_times_are_and_ends_after_it_begins(tmp_path):
    (tmp_path / "events.csv").write_text("user_id,event_type,timestamp\n1,buy,05/02/2024\n")
    toml = '[data]\nevents = "events.csv"\nday_first = true\nobserved_until = "01/03/2024"\n'
    (tmp_path / "intently.toml").write_text(toml)
    assert Log.read(tmp_path).observed_until == datetime(2024, 3, 1, tzinfo=UTC)
    (tmp_path / "intently.toml").write_text(toml + 'observed_from = "01/06/2024"\n')
    with pytest.raises(ConfigError, match="it ends before it begins"):
        Log.read(tmp_path)
