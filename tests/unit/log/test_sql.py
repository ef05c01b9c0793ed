"""Raw tables by SQL: SQLite and DuckDB files, and a PostgreSQL server where one is installed."""

import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from intently.errors import ConfigError, DataError
from intently.log.log import Log
from intently.log.sql import read_sql, tables_of, without_password

ROWS = "('ann', 'buy', '2024-01-31 10:00:00', 12.5, '雨衣'), (NULL, 'view', '2024-01-31 11:00:00', NULL, 'visit')"
CREATE = "CREATE TABLE events (user_id text, event_type text, timestamp {time}, amount {money}, session_id text)"


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as base:
        base.execute(CREATE.format(time="text", money="real"))
        base.execute(f"INSERT INTO events VALUES {ROWS}")
    base.close()


def duckdb(path: Path) -> None:
    base = pytest.importorskip("duckdb", reason="the driver of the extra sql is not installed").connect(str(path))
    base.execute(CREATE.format(time="timestamp", money="decimal(10, 2)"))
    base.execute(f"INSERT INTO events VALUES {ROWS}")
    base.close()


@pytest.mark.parametrize("make", [sqlite, duckdb], ids=["sqlite", "duckdb"])
def test_a_database_is_a_log(tmp_path, make):
    pytest.importorskip("adbc_driver_sqlite", reason="the drivers of the extra sql are not installed")
    make(tmp_path / "shop.db")
    url = f"{make.__name__}:///{tmp_path}/shop.db"
    log = Log.read(url.replace("///", "////", 1).replace("/////", "////"))
    assert log.events["amount"].to_list() == [12.5, None]
    assert log.events["timestamp"][0] == datetime(2024, 1, 31, 10, tzinfo=UTC)
    assert tables_of(f"{make.__name__}:///shop.db", tmp_path) == ["events"]
    asked = read_sql(f"{make.__name__}:///shop.db", "SELECT session_id AS s FROM events WHERE amount > 1", tmp_path)
    assert asked.rows() == [("雨衣",)]


@pytest.mark.parametrize("make", [sqlite, duckdb], ids=["sqlite", "duckdb"])
def test_nothing_is_made_or_changed(tmp_path, make):
    pytest.importorskip("adbc_driver_sqlite", reason="the drivers of the extra sql are not installed")
    with pytest.raises(DataError, match="There is no file"):
        read_sql(f"{make.__name__}:///none.db", "events", tmp_path)
    assert list(tmp_path.iterdir()) == []
    make(tmp_path / "shop.db")
    before = (tmp_path / "shop.db").read_bytes()
    with pytest.raises(DataError, match="cannot be read"):
        read_sql(f"{make.__name__}:///shop.db", "DELETE FROM events", tmp_path)
    assert (tmp_path / "shop.db").read_bytes() == before
    with pytest.raises(DataError, match=r"no such table \(did you mean 'events'\?\)"):
        read_sql(f"{make.__name__}:///shop.db", "event", tmp_path)


SECRET = "hunter2%21x"


@pytest.mark.parametrize("url", [f"postgresql://me:{SECRET}@127.0.0.1:1/shop",
                                 f"postgresql://127.0.0.1:1/shop?user=me&password={SECRET}",
                                 f"postgresql://me:{SECRET}@[::1:1/shop"])  # fmt: skip
def test_a_password_is_never_repeated(url):
    pytest.importorskip("adbc_driver_postgresql", reason="the drivers of the extra sql are not installed")
    with pytest.raises(DataError) as raised:
        read_sql(url, "events")
    chain = [raised.value, raised.value.__cause__]
    for error in filter(None, chain):
        assert "hunter2" not in str(error)
    assert "hunter2" not in without_password(url)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_password_with_a_character_that_ends_it_is_refused_before_it_spills():
    with pytest.raises(ConfigError, match="%40") as raised:
        read_sql("postgresql://me:hunt@er2@127.0.0.1:1/shop", "events")
    assert "hunt" not in str(raised.value)
    assert "er2" not in str(raised.value)


def test_a_driver_that_is_missing_is_named_with_its_pip_line(tmp_path, monkeypatch):
    sqlite(tmp_path / "shop.db")
    monkeypatch.setitem(sys.modules, "adbc_driver_sqlite", None)
    monkeypatch.setitem(sys.modules, "adbc_driver_sqlite.dbapi", None)
    with pytest.raises(ConfigError, match=r'pip install "intently\[sql\]"'):
        read_sql("sqlite:///shop.db", "events", tmp_path)


def test_another_database_is_refused():
    with pytest.raises(ConfigError, match="no reading from mysql://"):
        Log.read("mysql://localhost/shop")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL server of its own on a socket, as another user where this one is root."""
    if shutil.which("initdb") is None or shutil.which("pg_ctl") is None:
        pytest.skip("no PostgreSQL server is installed (initdb, pg_ctl)")
    pytest.importorskip("adbc_driver_postgresql", reason="the drivers of the extra sql are not installed")
    # A socket's path may have about 100 characters.
    folder = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    other = {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}
    if other:
        shutil.chown(folder, **other)

    def run(*words):
        subprocess.run(words, check=True, capture_output=True, cwd=folder, timeout=120, **other)

    run("initdb", "-D", str(folder / "data"), "-A", "trust", "-U", "shop", "-E", "UTF8", "--no-locale")
    run("pg_ctl", "-D", str(folder / "data"), "-w", "-l", str(folder / "log"), "-o", f"-k {folder} -h ''", "start")
    yield f"postgresql://shop:{SECRET}@/postgres?host={folder}"
    run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
    shutil.rmtree(folder)


def test_a_real_postgresql_server(server):
    import adbc_driver_postgresql.dbapi as driver

    with driver.connect(server) as base, base.cursor() as cursor:
        cursor.execute(CREATE.format(time="timestamptz", money="numeric(10, 2)"))
        cursor.execute(f"INSERT INTO events VALUES {ROWS}")
        base.commit()
    log = Log.read(server)
    assert log.events["amount"].to_list() == [12.5, None]
    assert log.events["user_id"].to_list()[0] == "ann"
    assert tables_of(server) == ["events"]
    with pytest.raises(DataError, match=r"did you mean 'events'") as raised:
        read_sql(server, "eventz")
    assert "hunter2" not in str(raised.value)
