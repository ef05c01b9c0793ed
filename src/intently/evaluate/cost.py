"""What a piece of work costs: wall and CPU seconds, peak memory."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Cost:
    """Filled when the measured block ends. Children that have ended are counted.

    On Linux `peak_megabytes` is the peak within the block where the kernel lets it be reset,
    elsewhere the peak of the process so far.
    """

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_megabytes: float = 0.0

    def row(self, predictor: str, step: str, customers: int = 0) -> dict[str, float | str | None]:
        """A row of the cost table; `ms_per_customer` is wall time where `customers` are given."""
        per = 1000 * self.wall_seconds / customers if customers else None
        return {"predictor": predictor, "step": step, **asdict(self), "ms_per_customer": per}


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """Measure a block. Read the cost after it: what is yielded is filled when the block ends."""
    cost = Cost()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak so far
    cpu, wall = _cpu_seconds(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.wall_seconds = time.perf_counter() - wall
        cost.cpu_seconds = _cpu_seconds() - cpu
        cost.peak_megabytes = peak_megabytes()


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def peak_megabytes() -> float:
    """The most memory that the process has held so far (on Linux: since it was told to forget that)."""
    for line in _status():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _status() -> list[str]:
    try:
        return Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return []
