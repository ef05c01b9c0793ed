"""What a process of ours sets before its work begins."""

import json
import os
import subprocess
import sys

import pytest

from intently.cli.process import ENVIRONMENT

glibc = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.confstr("CS_GNU_LIBC_VERSION") is None, reason="no glibc"
)
FAULTS = """
import resource
from intently.cli.process import prepare
{}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    b"x" * {}
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(prepare: str, size: int = 40_000_000, **environment: str) -> int:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(prepare, size)],
        env=plain | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


def test_the_environment_is_set_where_it_does_not_say_otherwise() -> None:
    code = "import json, os; from intently.cli.process import prepare; prepare(); print(json.dumps(dict(os.environ)))"
    said = {"PATH": os.environ["PATH"], "TRANSFORMERS_VERBOSITY": "info"}
    done = subprocess.run([sys.executable, "-c", code], env=said, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {name: found.get(name) for name in ENVIRONMENT} == ENVIRONMENT | {"TRANSFORMERS_VERBOSITY": "info"}
    assert "HF_HUB_DISABLE_TELEMETRY" in ENVIRONMENT


@glibc
def test_memory_that_is_needed_again_is_kept_unless_the_environment_says_otherwise() -> None:
    usual = faults("")
    assert faults("prepare()") < usual / 5
    assert faults("prepare()", MALLOC_ARENA_MAX="4") > usual / 2
    assert faults("prepare()", GLIBC_TUNABLES="glibc.malloc.arena_max=4") > usual / 2


OLD = """
import ctypes
class Old:
    def __init__(self, name): self.real = CDLL(name)
    @property
    def mallopt(self):
        return lambda what, value: 0 if what == -3 and value > 2**25 else self.real.mallopt(what, value)
CDLL, ctypes.CDLL = ctypes.CDLL, Old
prepare()
"""


@glibc
def test_an_older_allocator_that_takes_smaller_blocks_alone_keeps_those() -> None:
    assert faults(OLD, size=20_000_000) < faults("", size=40_000_000) / 5
