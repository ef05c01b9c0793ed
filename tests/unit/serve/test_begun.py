"""What a state was begun with holds at every later start; what items are told fits their columns."""

from pathlib import Path

import pytest

from intently.errors import ConfigError
from intently.log.protect import Protect
from intently.serve.bring import item_table, learn_columns
from intently.serve.run import settled
from intently.serve.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'state.db'}")


def test_a_later_start_without_data_treats_personal_data_as_the_first_did(store: Store, tmp_path: Path) -> None:
    begun = Protect(hash_ids=True, key_file=(tmp_path / "key").resolve(), personal=("phone",))
    assert settled(store, begun, None) == (begun, None)
    assert settled(store, None, None) == (begun, None)
    with pytest.raises(ConfigError, match="hashed"):
        settled(store, Protect(), None)


def test_a_pack_is_remembered(store: Store, tmp_path: Path) -> None:
    pack = (tmp_path / "pack").resolve()
    settled(store, None, pack)
    assert settled(store, None, None) == (Protect(), pack)


def test_a_column_keeps_the_kind_that_it_had_first_within_one_batch_too(store: Store) -> None:
    told = learn_columns(store, {"1": {"title": "t", "size": "L"}, "2": {"title": "u", "size": 3, "odd": "\ud800"}})
    assert told == {"1": {"title": "t", "size": "L"}, "2": {"title": "u"}}
    store.put_items(told)
    table = item_table(store)
    assert table.select("title", "size").to_dicts() == [{"title": "t", "size": "L"}, {"title": "u", "size": None}]
