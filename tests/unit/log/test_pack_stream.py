import errno
import gzip
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intently.errors import ConfigError, DataError
from intently.log import pack_stream, runs, site
from intently.log.blocks import Unpacked
from intently.log.log import Log
from intently.log.pack import Pack
from intently.log.pack_stream import estimate, pack
from small_logs import day


def events(rows: int = 60, *, shuffled: bool = True) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    steps = rng.integers(0, 40, rows) if shuffled else np.arange(rows)
    return pl.DataFrame(
        {
            "user_id": [f"u{number}" for number in rng.integers(0, 9, rows)],
            "item_id": rng.integers(0, 5, rows),
            "event_type": rng.choice(["view", "buy"], rows),
            "timestamp": [day(0) + timedelta(hours=int(step)) for step in steps],
            "amount": rng.random(rows).round(2),
        }
    )


@pytest.fixture
def shop(tmp_path) -> Path:
    (tmp_path / "shop").mkdir()
    events().write_parquet(tmp_path / "shop" / "events.parquet")
    return tmp_path / "shop"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def packed(shop: Path, out: Path, **more) -> dict[str, bytes]:
    pack(Unpacked.of(shop, whole=0), out, threads=1, block=7, part=5, **more)
    return files_of(out)


class Killed(BaseException):
    """The process ends here."""


def interrupt(monkeypatch, after: int) -> None:
    """End the process at the n-th time that anything is to reach the disk."""
    left = [after]

    def fsync(_: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    monkeypatch.setattr(os, "fsync", fsync)


def test_interrupted_at_any_write_it_goes_on_to_the_same_files(shop, tmp_path, monkeypatch):
    expected = packed(shop, tmp_path / "expected")
    ended = 0
    for after in range(0, 1000, 9):
        out = tmp_path / f"pack-{after}"
        with monkeypatch.context() as patch:
            interrupt(patch, after)
            try:
                packed(shop, out)
                break
            except Killed:
                ended += 1
            assert not out.exists() or (out / "pack.json").exists()
        assert packed(shop, out) == expected
        shutil.rmtree(out)
    assert ended > 10


def test_what_was_done_is_not_done_again(shop, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pack_stream, "_finish", lambda *_: (_ for _ in ()).throw(Killed()))
        with pytest.raises(Killed):
            packed(shop, tmp_path / "pack")
    monkeypatch.setattr(runs.Runs, "put", lambda *_: pytest.fail("a block was put down again"))
    monkeypatch.setattr(pack_stream, "survey_part", lambda *_: pytest.fail("ids were counted again"))
    packed(shop, tmp_path / "pack")


def test_a_log_that_changed_is_begun_anew(shop, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 30)
        with pytest.raises(Killed):
            packed(shop, tmp_path / "pack")
    events(80).write_parquet(shop / "events.parquet")
    packed(shop, tmp_path / "pack")
    packed(shop, tmp_path / "expected")
    assert files_of(tmp_path / "pack") == files_of(tmp_path / "expected")
    assert len(Pack.load(tmp_path / "pack").by_user.row) == 80


def test_a_full_disk_is_one_sentence_and_freed_it_goes_on(shop, tmp_path, monkeypatch):
    expected = packed(shop, tmp_path / "expected")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(ConfigError, match=r"no room left.*Free some space"):
            packed(shop, tmp_path / "pack")
    assert not (tmp_path / "pack").exists()
    assert packed(shop, tmp_path / "pack") == expected


def test_what_would_not_fit_is_refused_before_the_work(shop, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ConfigError, match="GB are free"):
        packed(shop, tmp_path / "pack")


def test_a_pack_takes_the_place_of_the_one_before(shop, tmp_path):
    packed(shop, tmp_path / "pack")
    before = Pack.load(tmp_path / "pack")
    events(80).write_parquet(shop / "events.parquet")
    packed(shop, tmp_path / "pack")
    assert len(Pack.load(tmp_path / "pack").by_user.row) == 80
    assert int(before.by_user.row.max()) == 59
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "shop"]
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == [
        "by_item", "by_user", "catalogue.parquet", "customers.parquet", "items.parquet", "pack.json", "types.parquet",
        "users.parquet",
    ]  # fmt: skip


def test_nothing_else_is_replaced(shop, tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not a pack"):
        packed(shop, tmp_path / "pack")
    assert (tmp_path / "pack" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["pack.part", "pack.old"])
def test_a_stranger_that_bears_our_name_is_left_alone(shop, tmp_path, name):
    packed(shop, tmp_path / "pack")
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises((ConfigError, OSError)):
        packed(shop, tmp_path / "pack")
    assert (tmp_path / name / "thesis.txt").read_text() == "years of work"


def test_two_runs_do_not_write_the_same_pack(shop, tmp_path):
    begun = tmp_path / "pack.part"
    with site.alone(begun), pytest.raises(ConfigError, match="Another run"):
        packed(shop, tmp_path / "pack")


def test_the_pack_may_stand_beside_the_log(shop):
    first = packed(shop, shop / "pack")
    assert packed(shop, shop / "pack") == first


def test_csv_and_a_log_in_memory_are_packed_as_well(tmp_path, tiny_log):
    (tmp_path / "shop").mkdir()
    events().write_csv(tmp_path / "shop" / "events.csv")
    packed(tmp_path / "shop", tmp_path / "pack")
    Log.read(tmp_path / "shop").pack.save(tmp_path / "expected")
    for name, content in files_of(tmp_path / "expected").items():
        assert not name.endswith(".npy") or (tmp_path / "pack" / name).read_bytes() == content
    pack(Unpacked.of_log(tiny_log, "memory"), tmp_path / "tiny", block=3)
    assert Pack.load(tmp_path / "tiny").item_ids.to_list() == [1, 2, 3, 4]


def test_every_fault_is_named_with_its_row_in_the_log(tmp_path):
    table = events(shuffled=False).with_columns(
        amount=pl.when(pl.int_range(pl.len()) % 50 == 45).then(float("nan")).otherwise(1.0),
        event_type=pl.when(pl.int_range(pl.len()) < 58).then(pl.lit("view")),
    )
    (tmp_path / "shop" / "events").mkdir(parents=True)
    for number in range(3):
        table.slice(20 * number, 20).write_parquet(tmp_path / "shop" / "events" / f"{number}.parquet")
    with pytest.raises(DataError) as raised:
        packed(tmp_path / "shop", tmp_path / "pack")
    assert "'event_type' is empty in 2 rows, the first is row 58" in raised.value.problem
    assert "'amount' is not a finite number in 1 rows, the first is row 45" in raised.value.problem
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.drop("timestamp"), "'timestamp' is missing"),
        (lambda table: table.clear(), "no rows"),
        (lambda table: table.with_columns(amount=pl.lit("much")), "'amount'"),
    ],
)
def test_a_log_that_cannot_be_read_is_refused(tmp_path, change, says):
    (tmp_path / "shop").mkdir()
    change(events()).write_parquet(tmp_path / "shop" / "events.parquet")
    with pytest.raises(DataError, match=says):
        packed(tmp_path / "shop", tmp_path / "pack")


def test_a_file_cut_off_is_named(shop, tmp_path):
    file = shop / "events.parquet"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(DataError, match="cannot be read"):
        packed(shop, tmp_path / "pack")


def test_progress_ends_at_one_and_never_goes_back(shop, tmp_path):
    seen: dict[str, list[float]] = {}
    packed(shop, tmp_path / "pack", progress=lambda what, fraction: seen.setdefault(what, []).append(fraction))
    assert set(seen) == {
        "counting customers and items", "putting events in order", "turning ids into codes", "sorting by customer",
        "sorting by item",
    }  # fmt: skip
    for fractions in seen.values():
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0


def test_the_estimate_grows_with_the_log(shop):
    small, large = estimate(Unpacked.of(shop, whole=0)), estimate(Unpacked.of_log(Log.of(events(6000)), "memory"))
    assert small.events == 60
    assert large.disk_gigabytes == pytest.approx(100 * small.disk_gigabytes)
    assert small.minutes == "under a minute"


def test_the_manifest_says_what_was_packed(shop, tmp_path):
    packed(shop, tmp_path / "pack")
    about = json.loads((tmp_path / "pack" / "pack.json").read_text())
    log = Log.read(shop)
    assert about["events"] == 60
    assert about["observed_from"] == log.observed_from.isoformat()
    assert about["observed_until"] == log.observed_until.isoformat()


@pytest.mark.parametrize("form", ["jsonl", "json", "tsv", "csv.gz"])
def test_the_tables_beside_are_those_that_a_log_reads(shop, form):
    items = pl.DataFrame({"item_id": [5, 6], "title": ["tea", "mug"]})
    text = {"jsonl": items.write_ndjson(), "json": items.write_json(), "tsv": items.write_csv(separator="\t")}
    content = text.get(form, items.write_csv()).encode()
    (shop / f"items.{form}").write_bytes(gzip.compress(content) if form.endswith("gz") else content)
    (shop / "log.json").write_text('{"observed_from": "2023-03-01", "observed_until": "2029-03-01"}')
    found, log = Unpacked.of(shop, whole=0), Log.read(shop)
    assert found.items is not None
    assert found.items.equals(log.items)
    assert (found.observed_from, found.observed_until) == (log.observed_from, log.observed_until)


def test_events_in_files_of_several_kinds_are_all_packed(shop):
    events().head(3).with_columns(pl.col("timestamp") + timedelta(days=9)).write_ndjson(shop / "events.jsonl")
    assert len(Unpacked.of(shop, whole=0)) == len(Log.read(shop).events) > len(events())
