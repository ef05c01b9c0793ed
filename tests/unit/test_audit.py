"""`make audit` tells faults, none, and that it could not ask apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / ".ci" / "audit.py"
FAULTY = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
SOUND = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "not on PyPI"}


@pytest.mark.parametrize(
    ("tool", "code", "lenient", "said"),
    [
        ({"dependencies": [SOUND, SOUND, UNKNOWN]}, 0, 0, "audited 2 packages: no known faults; none is told of c"),
        ({"dependencies": [UNKNOWN]}, 2, 0, "NOT AUDITED"),
        ({"dependencies": [SOUND, FAULTY]}, 1, 1, "a 1: PYSEC-1, mended in 2"),
        ("ConnectionError: no route", 2, 0, "NOT AUDITED"),
        ("", 2, 0, "it said nothing"),
    ],
)
def test_what_pip_audit_says_is_told_apart(tmp_path, tool, code, lenient, said) -> None:
    heard = f"print({json.dumps(tool)!r})" if isinstance(tool, dict) else f"import sys; sys.exit({tool!r} or 1)"
    (tmp_path / "pip_audit.py").write_text(heard)
    for more, wanted in (((), code), (("--lenient",), lenient)):
        done = subprocess.run(
            [sys.executable, str(AUDIT), *more],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == wanted, done.stderr
        assert said in done.stdout
