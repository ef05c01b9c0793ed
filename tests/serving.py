"""A real `intently serve` process for tests: started, asked, ended."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import ONE_THREAD, Running


@dataclass
class Serving:
    """One process on a port of its own, with a SQLite state unless a URL is given.

    Where a `python` is given, that is started anew.
    """

    bundle: Path
    folder: Path
    data: Path | None = None
    state: str = ""
    more: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    python: str | None = None
    process: subprocess.Popen[bytes] | Running | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.state = self.state or f"sqlite:///{self.folder / 'state' / 'state.db'}"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self, patience: float = 90.0) -> Serving:
        """Start it, and wait until it is ready."""
        words = ["serve", str(self.bundle), "--state", self.state, *self.more]
        words += ["--port", str(self.port), "--threads", "1"]
        if self.data is not None:
            words += ["--data", str(self.data)]
        if self.python is None:
            self.process = Running(tuple(words), self.folder / "out", self.folder / "err", env=self.environment)
        else:
            words = [self.python, "-m", "intently", *words]
            environment = {**os.environ, **ONE_THREAD, **self.environment}
            with (self.folder / "out").open("ab") as out, (self.folder / "err").open("ab") as err:
                self.process = subprocess.Popen(words, stdout=out, stderr=err, env=environment)
        end = time.monotonic() + patience
        while True:
            assert self.process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < end, f"not ready: {self.said()[-3000:]}"
            try:
                if self.ask("GET", "/ready", key="")[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.1)
        found = re.search(r"ik_\S+", (self.folder / "out").read_text())
        self.key = self.key or (found[0] if found else "")
        return self

    def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, timeout: float = 30.0
    ) -> tuple[int, Any]:
        """One request on a connection of its own: status and JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            return asked(connection, method, path, body, self.key if key is None else key)
        finally:
            connection.close()

    def end(self, how: int = signal.SIGTERM, patience: float = 40.0) -> int:
        """Send a signal, and give the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(patience)

    def said(self) -> str:
        """Everything that it has said."""
        return (self.folder / "out").read_text() + (self.folder / "err").read_text()


def asked(connection: http.client.HTTPConnection, method: str, path: str, body: Any, key: str) -> tuple[int, Any]:
    """One request on an open connection: status and JSON."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    sent = None
    if body is not None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    connection.request(method, path, sent, headers)
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()


def bearer(key: str) -> dict[str, str]:
    """The header that a key comes in."""
    return {"Authorization": f"Bearer {key}"}
