"""The commands that the READMEs print can be run one after another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_no_command_writes_where_another_has_written(name) -> None:
    commands = re.findall(r"^intently (.*)$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    written = [found[1] for command in commands if (found := re.search(r"--out (\S+)", command))]
    assert len(written) > 4
    assert len(written) == len(set(written))


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_every_bundle_that_is_read_was_written_before(name) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    read = re.findall(r"^intently (?:predict|recommend|evaluate|leakcheck|update) (\S+)", text, re.MULTILINE)
    assert set(read) <= set(re.findall(r"^intently train .*--out (\S+)", text, re.MULTILINE))
