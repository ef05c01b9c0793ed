"""Raw tables by SQL: SQLite, DuckDB and PostgreSQL by URL, read-only. No password is ever repeated in an error."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from intently.errors import ConfigError, DataError
from intently.log.nearest import hint

INSTALL = 'pip install "intently[sql]"'

_DRIVERS = {"sqlite": "adbc_driver_sqlite.dbapi", "duckdb": "duckdb", "postgresql": "adbc_driver_postgresql.dbapi"}
_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY 1",
    "duckdb": "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1",
    "postgresql": "SELECT CAST(table_name AS text) FROM information_schema.tables "
    "WHERE table_schema = ANY(current_schemas(false)) ORDER BY 1",
}


def is_url(source: object) -> bool:
    """Whether a source is written as a URL."""
    return re.match(r"^[A-Za-z][A-Za-z0-9+.-]+://", str(source)) is not None


def read_sql(url: str, query: str, folder: Path | None = None) -> pl.DataFrame:
    """The rows of a query, or of a table where `query` is only a name.

    A path in `sqlite:///shop.db` is relative to `folder`; `sqlite:////data/shop.db` is absolute. Raises DataError for
    what the database says, ConfigError for a driver that is not installed.
    """
    if re.fullmatch(r"[\w.]+", query):
        query = "SELECT * FROM " + ".".join(f'"{part}"' for part in query.split("."))
    return _ask(url, query, folder)


def tables_of(url: str, folder: Path | None = None) -> list[str]:
    """The names of the tables and views that a URL reaches."""
    return _ask(url, _TABLES[_scheme(url)], folder).to_series().to_list()


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    shown = re.sub(r"//[^/?#]*@", "//...@", re.sub(r"//[^@]*@", "//...@", url))
    return re.sub(r"(?i)([?&](?:password|passwd|pwd)=)[^&]*", r"\1...", shown)


def _ask(url: str, query: str, folder: Path | None) -> pl.DataFrame:
    scheme = _scheme(url)
    secrets = _secrets(url)
    shown = without_password(url)
    try:
        with _connection(scheme, url, folder) as connection:
            frame = pl.read_database(query, connection, infer_schema_length=None)
        # PostgreSQL's numeric and other types that Arrow does not have come as text under a name of their own.
        named = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.BaseExtension)]
        return frame.with_columns(pl.col(name).ext.storage() for name in named)
    except (ConfigError, DataError):
        raise
    except Exception as error:
        # Each driver has exceptions of its own; all of them are what the database said.
        said = _hidden(" ".join(str(error).split()), secrets)[:300].rstrip(".")
    if _missing_table(said):
        known = tables_of(url, folder)
        asked = re.search(r'FROM "?([\w.]+)', query)
        near = hint(asked[1], known) if asked else ""
        raise DataError(
            f"{shown} has no such table{near}: {said}.", mend=f"There are {', '.join(known) or 'no tables at all'}."
        )
    raise DataError(f"{shown} cannot be read: {said}.", mend="Check the URL, the query and your access.")


def _scheme(url: str) -> str:
    scheme = url.split("://", 1)[0].lower().replace("postgres", "postgresql").replace("postgresqlql", "postgresql")
    if scheme not in _DRIVERS:
        raise ConfigError(
            f"There is no reading from {scheme}:// here{hint(scheme, _DRIVERS)}.",
            mend="Use sqlite:///file, duckdb:///file or postgresql://, or write the tables to Parquet.",
        )
    return scheme


def _connection(scheme: str, url: str, folder: Path | None) -> Any:
    try:
        driver = import_module(_DRIVERS[scheme])
    except ImportError:
        raise ConfigError(f"Reading {scheme}:// needs its driver.", mend=INSTALL) from None
    if scheme == "postgresql":
        return driver.connect(url)
    path = Path(unquote(url.split("://", 1)[1].removeprefix("/")))
    path = path if folder is None else folder / path
    if not path.is_file():
        raise DataError(
            f"There is no file {path}.", mend=f"{scheme}:///shop.db is relative, {scheme}:////data/shop.db absolute."
        )
    # Read-only: a shop's database is not ours to lock or to change.
    return driver.connect(f"file:{path}?mode=ro") if scheme == "sqlite" else driver.connect(str(path), read_only=True)


def _secrets(url: str) -> list[str]:
    """What must not be repeated: the password as written and as meant; ConfigError for one that would spill."""
    user = re.search(r"//([^:/@]*):(.*)@", url)
    named = re.findall(r"(?i)[?&](?:password|passwd|pwd)=([^&]*)", url)
    if user and re.search(r"[@/?#\[\]]", user[2]):
        raise ConfigError(
            f"The password in {without_password(url)} holds a character that ends it early.",
            mend="Write @ as %40, / as %2F, ? as %3F and # as %23, or leave the password to PGPASSWORD.",
        )
    found = [*([user[2]] if user else []), *named]
    return sorted({one for secret in found for one in (secret, unquote(secret)) if one}, key=len, reverse=True)


def _hidden(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "...")
    return text


def _missing_table(said: str) -> bool:
    return re.search(r"no such table|Table with name .* does not exist|relation .* does not exist", said) is not None
