"""`intently pack` as a user runs it: killed, without room, without leave, out of order."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from intently.log.log import Log
from intently.log.pack import Pack
from small_logs import START

# Rows a block and a part, so that a small log has many of each.
SMALL = "from intently.log import pack_stream as p; p.pack.__kwdefaults__.update(block=2000, part=1500);"
RUN = "import sys; from intently.cli import main; main()"


def intently(*words: str | Path, before: str = SMALL, rights: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*rights, sys.executable, "-c", before + RUN, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def assert_one_sentence(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert says in done.stderr, done.stderr
    assert done.stderr.count("error:") == 1


def events(rows: int = 30_000) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    minutes = np.sort(rng.integers(0, 400_000, rows))
    return pl.DataFrame(
        {
            "user_id": pl.Series(rng.integers(0, 3000, rows)).cast(pl.String),
            "item_id": pl.Series(rng.integers(0, 500, rows)).cast(pl.String),
            "event_type": rng.choice(["view", "buy"], rows),
            "timestamp": pl.Series([START + timedelta(minutes=int(minute)) for minute in minutes]),
            "amount": rng.random(rows).round(2),
        }
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    events().write_parquet(folder / "events.parquet")
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def expected(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("packs") / "pack"
    done = intently("pack", "--data", shop, "--out", out)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Estimate for 30,000 events: under a minute" in done.stdout
    assert "peak_megabytes" in done.stdout
    return files_of(out)


def test_json_says_what_was_packed_and_how_fast(shop: Path, tmp_path: Path) -> None:
    done = intently("pack", "--data", shop, "--out", tmp_path / "pack", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert told["events"] == 30_000
    assert told["events_per_second"] > 0
    assert told["peak_megabytes"] > 0
    log = Log.read(shop)
    np.testing.assert_array_equal(Pack.load(tmp_path / "pack").by_item.row, log.pack.by_item.row)


@pytest.mark.parametrize("step", ["survey-000000000008000", "by_user/000003.run", "by_item/000009.run", "notes"])
def test_killed_and_run_again_it_gives_the_same_files(
    shop: Path, expected: dict[str, bytes], tmp_path: Path, step: str
) -> None:
    out, seen = tmp_path / "pack", tmp_path / "pack.part" / "work" / step
    words = [sys.executable, "-c", SMALL + RUN, "pack", "--data", str(shop), "--out", str(out)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not seen.exists():
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    done = intently("pack", "--data", shop, "--out", out)
    assert done.returncode == 0, done.stderr[-2000:]
    assert files_of(out) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack"]


def test_events_in_any_order_give_the_pack_of_the_log_in_order(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    events().sample(fraction=1.0, shuffle=True, seed=0).write_parquet(tmp_path / "shop" / "events.parquet")
    done = intently("pack", "--data", tmp_path / "shop", "--out", tmp_path / "pack")
    assert done.returncode == 0, done.stderr[-2000:]
    Log.read(tmp_path / "shop").pack.save(tmp_path / "expected")
    wanted = {name: content for name, content in files_of(tmp_path / "expected").items() if name.endswith(".npy")}
    made = files_of(tmp_path / "pack")
    assert {name: made[name] for name in wanted} == wanted


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of two megabytes that is mounted for the test."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs the rights of root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_what_would_not_fit_is_refused_at_once(shop: Path, small_disk: Path) -> None:
    assert_one_sentence(intently("pack", "--data", shop, "--out", small_disk / "pack"), "GB are free")
    assert not (small_disk / "pack").exists()


def test_a_disk_that_fills_up_is_one_sentence_and_with_room_it_goes_on(
    shop: Path, expected: dict[str, bytes], small_disk: Path
) -> None:
    unaware = SMALL + "p.room = lambda *_: None;"
    done = intently("pack", "--data", shop, "--out", small_disk / "pack", before=unaware)
    assert_one_sentence(done, "no room left")
    assert not (small_disk / "pack").exists()
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert intently("pack", "--data", shop, "--out", small_disk / "pack").returncode == 0
    assert files_of(small_disk / "pack") == expected


def test_files_that_may_not_grow_are_one_sentence(shop: Path, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
    assert_one_sentence(intently("pack", "--data", shop, "--out", tmp_path / "pack", before=SMALL + limit), "no room")
    assert not (tmp_path / "pack").exists()


def test_a_folder_that_may_not_be_written_is_one_sentence(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    rights: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("to root every folder is open, and there is no setpriv to take that away")
        rights = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    done = intently("pack", "--data", shop, "--out", tmp_path / "closed" / "pack", rights=rights)
    assert_one_sentence(done, "permission denied")
    assert list((tmp_path / "closed").iterdir()) == []


def test_help_and_a_missing_folder(tmp_path: Path) -> None:
    assert "goes on where it stopped" in " ".join(intently("pack", "--help").stdout.split())
    done = intently("pack", "--data", tmp_path / "nowhere", "--out", tmp_path / "pack")
    assert_one_sentence(done, "There is no folder")
