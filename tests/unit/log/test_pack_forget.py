"""A pack without a customer is the pack of the log without them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from intently.errors import DataError
from intently.log import pack_forget
from intently.log.pack import Pack, is_pack
from intently.log.pack_forget import forget_in_pack
from planted_shop import planted


def same(found: Pack, wanted: Pack) -> None:
    assert found.user_ids.to_list() == wanted.user_ids.to_list()
    assert found.item_ids.to_list() == wanted.item_ids.to_list()
    for name in ("by_user", "by_item"):
        mine, theirs = getattr(found, name), getattr(wanted, name)
        for column in ("offsets", "known", "time", "user", "item", "event_type", "quantity", "amount", "row"):
            assert np.array_equal(getattr(mine, column), getattr(theirs, column)), (name, column)


@pytest.mark.parametrize("users", [["c001"], ["c000", "c119"], ["c050", "c051", "c052"]])
def test_a_pack_without_customers_is_that_of_the_log_without_them(tmp_path, users) -> None:
    log = planted()
    log.pack.save(tmp_path / "pack")
    rows = forget_in_pack(tmp_path / "pack", users)
    left = log.events.filter(~pl.col("user_id").is_in(users))
    assert rows == len(log.events) - len(left)
    same(Pack.load(tmp_path / "pack"), replace(log, events=left).pack)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            assert not any(user.encode() in file.read_bytes() for user in users), file
    assert [one.name for one in tmp_path.iterdir()] == ["pack"]


def test_a_stranger_changes_nothing_and_no_pack_is_said(tmp_path) -> None:
    planted().pack.save(tmp_path / "pack")
    assert forget_in_pack(tmp_path / "pack", ["nobody"]) == 0
    with pytest.raises(DataError, match="whole pack"):
        forget_in_pack(tmp_path / "none", ["c001"])


@pytest.mark.parametrize("ended_before", ["the new one is in place", "the old one is gone"])
def test_a_process_that_ends_in_the_middle_is_finished_by_who_opens_the_pack(
    tmp_path, monkeypatch, ended_before
) -> None:
    log, folder = planted(), tmp_path / "pack"
    log.pack.save(folder)
    monkeypatch.setattr(pack_forget, "recover", lambda _: None)
    rows = forget_in_pack(folder, ["c001"])
    assert not folder.exists()
    if ended_before == "the old one is gone":
        (tmp_path / "pack.forget.part").rename(folder)
    assert is_pack(folder)
    assert len(Pack.load(folder).by_user.known) == len(log.events) - rows
    assert forget_in_pack(folder, ["c001"]) == 0, "and asked again, there is nothing left to forget"
    assert [one.name for one in tmp_path.iterdir()] == ["pack"]


def test_a_pack_behind_a_link_is_rid_of_a_customer_too(tmp_path):
    planted().pack.save(tmp_path / "real")
    (tmp_path / "current").symlink_to("real")
    assert forget_in_pack(tmp_path / "current", ["c001"]) > 0
    for folder in ("real", "current"):
        assert "c001" not in Pack.load(tmp_path / folder).user_ids.to_list()
