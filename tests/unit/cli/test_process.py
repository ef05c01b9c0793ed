"""What a process of ours sets before its work begins."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
from intently.cli.process import prepare
{}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    b"x" * 40_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(prepare: str, **environment: str) -> int:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(prepare)],
        env=plain | environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.confstr("CS_GNU_LIBC_VERSION") is None, reason="no glibc"
)
def test_memory_that_is_needed_again_is_kept_unless_the_environment_says_otherwise() -> None:
    usual = faults("")
    assert faults("prepare()") < usual / 5
    assert faults("prepare()", MALLOC_ARENA_MAX="4") > usual / 2
