# ruff: noqa: E501
"""The real command on other shops' data: `intently init`, and what it says to bad input."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from commands import intently

RETAIL = Path(os.environ.get("INTENTLY_DATA", "")) / "online_retail.parquet"
ROWS = "order_id,customer_id,sku,product_name,order_date,qty,price\n" + "".join(
    f"o{n // 2},c{n % 9},{n % 7:04},雨衣 😀 {n % 7},2024-01-{n // 20 + 1:02} {9 + n % 12:02}:00:00,{n % 3 + 1},{n % 7 + 1}.5\n"
    for n in range(400)
)


# Root may open everything unless it gives that up.
HUMBLE = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
    if os.getuid() == 0
    else ("env",)
)


def packed(data: str | Path, out: Path) -> subprocess.CompletedProcess[str]:
    return intently("pack", "--data", data, "--out", out, "--json")


def assert_one_sentence(done: subprocess.CompletedProcess[str], *says: str) -> None:
    assert done.returncode == 1, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1, done.stderr
    for one in says:
        assert one in done.stderr, done.stderr


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    (tmp_path / "orders.csv").write_text(ROWS)
    return tmp_path / "orders.csv"


def test_init_then_pack(orders: Path, tmp_path: Path) -> None:
    done = intently("init", "orders.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "amount = qty * price" in done.stdout
    assert "Not sure of these" in done.stdout
    text = (tmp_path / "intently.toml").read_text()
    assert "# CHECK: " in text
    assert 'events = "orders.csv"' in text
    # From a folder that holds intently.toml, from the file, and from elsewhere: the same log.
    told = [packed(data, tmp_path / "pack") for data in (tmp_path, tmp_path / "intently.toml")]
    contents = [json.loads(one.stdout) for one in told]
    told_of = ("events", "items", "customers", "event_types", "observed_from", "observed_until")
    assert [contents[0][name] for name in told_of] == [contents[1][name] for name in told_of]
    assert (contents[0]["events"], contents[0]["items"], contents[0]["customers"]) == (400, 7, 9)


def test_init_never_writes_over_without_force(orders: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    out.write_text("my own work")
    assert_one_sentence(intently("init", orders, "--out", out), "is there already", "--force")
    assert out.read_text() == "my own work"
    done = intently("init", orders, "--out", out, "--force", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["read"]["events"] == 400
    assert "timezone" in told["unsure"]
    assert {guess["ours"] for guess in told["guesses"]["data.columns"]} >= {"user_id", "item_id", "timestamp"}
    assert "order_date" in out.read_text()


def test_a_hand_written_correction_is_taken(orders: Path, tmp_path: Path) -> None:
    out = tmp_path / "intently.toml"
    assert intently("init", orders, "--out", out).returncode == 0
    out.write_text(out.read_text().replace('timezone = "UTC"', 'timezone = "Asia/Tokyo"'))
    told = json.loads(packed(out, tmp_path / "pack").stdout)
    assert told["observed_from"] == "2024-01-01T00:00:00+00:00"
    out.write_text(out.read_text().replace('"qty"', '"qyt"'))
    assert_one_sentence(packed(out, tmp_path / "pack"), "no column 'qyt'; did you mean 'qty'?")
    out.write_text(out.read_text().replace("timezone", "timezome"))
    assert_one_sentence(packed(out, tmp_path / "pack"), "data.timezome is not a key (did you mean 'timezone'?)")


@pytest.mark.skipif(not RETAIL.is_file(), reason="INTENTLY_DATA does not say where Online Retail lies")
def test_online_retail_needs_no_hand(tmp_path: Path) -> None:
    done = intently("init", RETAIL, "--out", tmp_path / "intently.toml", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["unsure"] == ["category"]
    assert told["read"]["event_types"] == {"buy": 363_256, "return": 7_675}
    pack = packed(tmp_path, tmp_path / "pack")
    assert pack.returncode == 0, pack.stderr
    assert json.loads(pack.stdout)["items"] == 3_887


GOOD = "user_id,event_type,timestamp,item_id,amount,text\n"


def shop(tmp_path: Path, content: str | bytes, name: str = "events.csv") -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        ("", "events.csv", "events.csv cannot be read: it is empty"),
        (GOOD, "events.csv", "no rows"),
        (GOOD.replace("timestamp", "when") + "a,buy,2024-01-01,1,2,\n", "events.csv", "'timestamp' is missing"),
        (GOOD + "a,buy,2024-01-01,1,much,\n", "events.csv", "'amount' are not a number, such as 'much' in row 0"),
        (GOOD + "a,buy,soon,1,2,\n", "events.csv", "'timestamp' are not a date with a time, such as 'soon'"),
        (GOOD + "a,buy,2024-01-01,1,2,,,,\n", "events.csv", "row 0 (line 2) has 9 values"),
        ((GOOD + "a,buy,2024-01-01,1,2,雨衣\n").encode("gb18030"), "events.csv", "encoding = 'gb18030'"),
        ("not gzip", "events.csv.gz", "it is not a whole gzip file"),
        ('{"user_id": 1\n', "events.jsonl", "line 1 is not JSON"),
        ("<html>", "events.parquet", "events.parquet cannot be read"),
        ("PK\x03\x04", "events.xlsx", "has no events"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path: Path, content: str | bytes, name: str, says: str) -> None:
    assert_one_sentence(packed(shop(tmp_path, content, name), tmp_path / "pack"), says)
    assert not (tmp_path / "pack").exists()


def test_a_truncated_parquet(tmp_path: Path) -> None:
    folder = shop(tmp_path, GOOD + "a,buy,2024-01-01,1,2,x\n" * 1000)
    pl.read_csv(folder / "events.csv").write_parquet(folder / "events.parquet")
    (folder / "events.csv").unlink()
    content = (folder / "events.parquet").read_bytes()
    for cut in (3, len(content) // 2, len(content) - 5):
        (folder / "events.parquet").write_bytes(content[:cut])
        assert_one_sentence(packed(folder, tmp_path / "pack"), "events.parquet cannot be read")


def test_mixed_zones_chinese_emoji_and_a_text_of_ten_megabytes_are_fine(tmp_path: Path) -> None:
    long = "雨衣😀" * 700_000
    rows = f"甲,search,2024-01-01T10:00:00Z,1,,好😀\n乙,buy,2024-01-01 18:00:00+08:00,1,2.5,{long}\n丙,view,2024-01-01 09:00:00,2,,\n"
    folder = shop(tmp_path, GOOD + rows)
    done = packed(folder, tmp_path / "pack")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["events"] == 3
    assert told["observed_until"].startswith("2024-01-01T10:00:00")
    users = pl.read_parquet(tmp_path / "pack" / "users.parquet")["id"]
    assert set(users) == {"甲", "乙", "丙"}


def test_a_folder_without_permission(tmp_path: Path) -> None:
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("the tests run as root, and there is no setpriv to give up its rights")
    folder = shop(tmp_path, GOOD + "a,buy,2024-01-01,1,2,\n")
    (folder / "events").mkdir()
    (folder / "events.csv").rename(folder / "events" / "a.csv")
    (folder / "events" / "more").mkdir()
    out = tmp_path / "pack"
    try:
        # A subfolder that cannot be opened is not passed over.
        for path in (folder / "events" / "more", folder / "events" / "a.csv", folder / "events", folder):
            path.chmod(0o000)
            assert_one_sentence(intently("pack", "--data", folder, "--out", out, rights=HUMBLE), "permission denied")
            path.chmod(0o755)
        folder.chmod(0o000)
        assert_one_sentence(intently("init", folder, "--out", tmp_path / "x.toml", rights=HUMBLE), "permission denied")
    finally:
        folder.chmod(0o755)
    assert packed(folder, out).returncode == 0


def test_a_database_by_url(tmp_path: Path) -> None:
    import sqlite3

    pytest.importorskip("adbc_driver_sqlite", reason="the drivers of the extra sql are not installed")
    with sqlite3.connect(tmp_path / "shop.db") as base:
        base.execute(
            "CREATE TABLE orders (order_no text, customer_id text, sku text, created_at text, quantity int, unit_price real)"
        )
        base.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
            [(f"o{n}", f"c{n % 5}", f"s{n % 3}", f"2024-01-{n % 28 + 1:02} 10:00:00", 1, 2.5) for n in range(60)],
        )
    base.close()
    done = intently("init", "sqlite:///shop.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = packed(tmp_path / "intently.toml", tmp_path / "pack")
    assert json.loads(told.stdout)["events"] == 60
    assert_one_sentence(packed("postgresql://me:hunter2@127.0.0.1:1/x", tmp_path / "pack"), "cannot be read")
    assert "hunter2" not in packed("postgresql://me:hunter2@127.0.0.1:1/x", tmp_path / "pack").stderr
