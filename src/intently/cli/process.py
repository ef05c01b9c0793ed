"""What a process of ours sets before its work begins: its environment, and how memory is taken and given back."""

from __future__ import annotations

import ctypes
import os
import sys

# mallopt(3): parameters of glibc's allocator.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_MB = 2**20


# What libraries read when they are imported.
ENVIRONMENT = {
    # Idle threads sleep instead of spinning: on a machine that does other work too, spinning costs tenfold.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # What it says of a hub that cannot be reached is said once, in our error.
    "HF_HUB_VERBOSITY": "error",
}


def prepare() -> None:
    """Set them, where the environment does not say otherwise. Before torch, lightgbm or a thread is there."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _keep_memory()


def _keep_memory() -> None:
    """Let glibc keep blocks of some megabytes that are needed again at once.

    It would give each back to the kernel and have it zeroed page by page: a sixth of the time in which everybody is
    scored, and a third more memory, for each thread keeps its own.
    """
    said = any(name.startswith("MALLOC_") for name in os.environ)
    if not sys.platform.startswith("linux") or said or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        # Another C library than glibc.
        return
    mallopt(_ARENA_MAX, 1)
    # Older ones refuse more than 32 MB; and where nothing is taken, a threshold for trimming would make it worse.
    if any(mallopt(_MMAP_THRESHOLD, size * _MB) for size in (256, 32)):
        mallopt(_TRIM_THRESHOLD, 512 * _MB)
