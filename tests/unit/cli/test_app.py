"""What is not installed is named with the extra that brings it: to serve, nobody is told to install torch."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version

import pytest
import typer
from typer.testing import CliRunner

from intently.cli import app as app_module
from intently.errors import ConfigError
from intently.text import exported_model


@pytest.mark.parametrize(
    ("package", "extra"), [("torch", "train"), ("onnxruntime", "serve"), ("tokenizers.x", "serve")]
)
def test_a_package_is_named_with_its_extra(package, extra, monkeypatch, capsys) -> None:
    def missing() -> None:
        raise ModuleNotFoundError(name=package)

    monkeypatch.setattr(app_module, "app", missing)
    with pytest.raises(SystemExit, match="1"):
        app_module.run()
    assert f"intently[{extra}]'" in capsys.readouterr().err


def test_it_says_which_version_it_is_and_help_what_it_is_for() -> None:
    runner = CliRunner()
    assert runner.invoke(app_module.app, ["--version"]).output == f"intently {version('intently')}\n"
    told = runner.invoke(app_module.app, ["--help"]).output
    assert "shop's event log" in told
    assert "--version" in told


def test_an_exported_model_asks_for_no_more_than_serving(monkeypatch, tmp_path) -> None:
    (tmp_path / exported_model.MODEL).write_bytes(b"")
    for package in ("onnxruntime", "tokenizers"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"needs onnxruntime.*intently\[serve\]"):
        exported_model.session(tmp_path / exported_model.MODEL)
    with pytest.raises(ConfigError, match=r"needs tokenizers.*intently\[serve\]"):
        exported_model.encode(["a text"], tmp_path)


def test_no_help_speaks_of_an_option_that_its_verb_does_not_have() -> None:
    for name, verb in typer.main.get_command(app_module.app).commands.items():
        options = [one for one in verb.params if isinstance(getattr(one, "help", None), str)]
        known = {word for one in verb.params for word in one.opts}
        named = {word for one in options for word in re.findall(r"--[a-z-]+\b(?! takes elsewhere)", one.help)}
        assert named <= known, f"{name} speaks of {sorted(named - known)}"
