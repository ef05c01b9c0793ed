"""What `intently tasks` is given, and what it says."""

from __future__ import annotations

from typer.testing import CliRunner

from intently.cli.app import app
from intently.log.log import Log
from small_logs import tiny


def test_a_database_is_handed_on_by_its_url(monkeypatch) -> None:
    asked = []

    def read(source: str) -> Log:
        asked.append(source)
        return tiny()

    monkeypatch.setattr(Log, "read", read)
    done = CliRunner().invoke(app, ["tasks", "--data", "sqlite:///shop.db"])
    assert done.exit_code == 0, done.output
    assert asked == ["sqlite:///shop.db"]
