"""The real command for tests, in a process of its own each time.

What takes a command its first seconds, importing torch and the like, is done once: processes are forked from one that
has imported it and done nothing more (multiprocessing's fork server). Each runs `python -m intently` from its first
line. But what libraries read when they are imported is the server's environment, all forks order sets alike, and none
goes through Python's own end: so tests run some commands `cold`, Python and all.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

from intently.cli.process import ENVIRONMENT

ONE_THREAD = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    [
        "intently.cli.app",
        "intently.ship.bundle",
        "intently.learn.text_reader",
        "intently.evaluate.report",
        "intently.serve.run",
        "torch",
        "transformers",
        "peft",
        "lightgbm",
        "scipy.stats",
    ]
)


def intently(
    *words: object,
    cache: Path | None = None,
    cwd: Path | None = None,
    cold: bool = False,
    rights: tuple[str, ...] = (),
    timeout: float = 600.0,
) -> subprocess.CompletedProcess[str]:
    """Run it to its end: exit code, and what it printed where.

    It reads texts' vectors in `cache`. Words of a command that takes `rights` from another stand before Python's.
    """
    env = {} if cache is None else {"INTENTLY_CACHE": str(cache)}
    if cold or rights:
        return subprocess.run(
            [*rights, sys.executable, "-m", "intently", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, **ONE_THREAD, **env},
            timeout=timeout,
            check=False,
        )
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        process = Running(words, out, err, cwd=cwd, env=env)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        return subprocess.CompletedProcess(["intently", *map(str, words)], code, out.read_text(), err.read_text())


class Running:
    """A command at work, which appends what it prints to two files: as much of `subprocess.Popen` as tests use."""

    def __init__(
        self,
        words: tuple[object, ...],
        out: Path,
        err: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        told = (tuple(map(str, words)), {**os.environ, **ONE_THREAD, **(env or {})}, str(cwd or Path.cwd()))
        _serve_forks()
        # Left over, it ends with the tests.
        self._process = _FORKS.Process(target=_run, args=(*told, str(out), str(err)), daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code; minus a signal's number; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it, where the process still runs."""
        if self._process.exitcode is None:
            # Ended since, which only the server knows yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)
        self._process.join()

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code when it has ended. Raises TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("intently", timeout or 0.0)
        return code


def _serve_forks() -> None:
    """Start the server, where it does not run, with what a command sets before it imports anything."""
    before = dict(os.environ)
    os.environ.update({**ENVIRONMENT, **before, **ONE_THREAD})
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(words: tuple[str, ...], environment: dict[str, str], folder: str, out: str, err: str) -> None:
    for number, file in ((1, out), (2, err)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    sys.argv[1:] = words
    runpy.run_module("intently", run_name="__main__", alter_sys=True)
