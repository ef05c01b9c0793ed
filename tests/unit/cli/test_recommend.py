"""What is said of a list that is shorter than what was asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from intently.cli.app import app
from intently.model import LanguageModel
from small_logs import tiny


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ("", "the model ranks no more"),
        ("[[rules.boost]]\nwhere = 'item_id > 1'\nfactor = 2.0\n", "the model ranks no more"),
        ("[rules]\nonly = 'item_id > 1'\n", "the rules allow no more of what the model ranks"),
        ("[rules]\nnot_bought_days = 3.0\n", "the rules allow no more of what the model ranks"),
    ],
)
def test_a_short_list_is_put_down_to_rules_only_where_there_are_some(rules, why, tmp_path, monkeypatch) -> None:
    items = [{"rank": rank, "item_id": rank, "title": "tea", "score": 0.5} for rank in (1, 2)]
    told = {"user_id": "ann", "at": "2024-01-21", "answers": {}, "next_item": items}
    model = SimpleNamespace(trained=None, tasks=(), about=lambda *_: told)
    monkeypatch.setattr(LanguageModel, "load", lambda *_: model)
    tiny().write(tmp_path)
    (tmp_path / "intently.toml").write_text(rules, encoding="utf-8")
    words = ["recommend", "bundle", "--data", str(tmp_path), "--user", "ann", "-k", "3"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert f"  2 of 3: {why}.\n" in done.output
