"""The process that serves: from a bundle and a state to a listening socket, and down again without loss."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from intently.errors import ConfigError, StateError
from intently.learn.trained import Trained
from intently.log.log import Log
from intently.log.pack import is_pack
from intently.log.packed import PackedLog
from intently.log.protect import Protect
from intently.serve.bring import bring
from intently.serve.clock import Clock, written
from intently.serve.forecast import Forecast
from intently.serve.keys import ADMIN, Keys
from intently.serve.models import Served
from intently.serve.service import Service, Settings
from intently.serve.store import Store
from intently.serve.stream import Consumer
from intently.serve.traces import Traces

# Where a process of its own finds the state: a URL may hold a password, which no list of processes must show.
STATE = "INTENTLY_STATE"
_BEGUN = "begun_with"
# Seconds between two looks whether a forecast is still wanted.
_LOOK_AGAIN = 0.2
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Address:
    """Where to listen, and the files of a TLS certificate."""

    host: str = "127.0.0.1"
    port: int = 8400
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("TLS needs two files.", mend="Give both --tls-cert and --tls-key.")
        for file in (self.certificate, self.key):
            if file is not None and not file.is_file():
                raise ConfigError(f"There is no file {file}.", mend="Check --tls-cert and --tls-key.")

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach it without encryption."""
        return self.host not in LOOPBACK and self.certificate is None


class Lines(logging.Formatter):
    """Log lines as JSON, one line each whatever they hold."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        message = record.getMessage()
        if record.name == "intently.serve.access":
            return json.dumps(told | json.loads(message), ensure_ascii=True)
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return json.dumps(told | {"message": message}, ensure_ascii=True)


def write_lines(level: str) -> None:
    """Send the program's log to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("intently", "uvicorn.error"):
        logging.getLogger(name).setLevel(level.upper())


def state_url(bundle: Path, url: str | None) -> str:
    """The URL of a state: SQLite beside the bundle, without one. A file is open to its owner only."""
    if url is None:
        url = f"sqlite:///{bundle.resolve().with_name(bundle.resolve().name + '.state') / 'state.db'}"
    if url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    return url


def first_key(keys: Keys) -> str | None:
    """An admin key where there is none that holds yet."""
    if any(row.revoked_at is None for row in keys.rows()):
        return None
    return keys.make([ADMIN], "made at the first start")


def take_log(store: Store, data: str | None, watch: Callable[[str, float], None]) -> int:
    """Bring a log into a state that has none, from a folder, a file, a database or a pack."""
    if data is None or "brought" in store.facts:
        return 0
    return bring(PackedLog.open(data) if is_pack(data) else Log.read(data), store, watch)


def settled(store: Store, protect: Protect | None, pack: Path | None) -> tuple[Protect, Path | None]:
    """How personal data is treated and where the pack is: as given, else as the state was begun with.

    Raises ConfigError where ids would be hashed now and were not before, or the other way about.
    """
    told = json.loads(store.facts.get(_BEGUN, "{}"))
    if protect is None:
        known = told.get("protect", {})
        key_file = known.get("key_file")
        protect = Protect(
            mask=known.get("mask", True),
            hash_ids=known.get("hash_ids", False),
            key_file=None if key_file is None else Path(key_file),
            personal=tuple(known.get("personal", ())),
            allow=tuple(known.get("allow", ())),
        )
    elif "protect" in told and told["protect"]["hash_ids"] != protect.hash_ids:
        raise ConfigError(
            "The state and the config do not agree on whether ids of customers are hashed.",
            mend="Give hash_ids under [protect] the value it had when the state was begun, or begin another --state.",
        )
    pack = pack or (Path(told["pack"]) if told.get("pack") else None)
    kept = asdict(protect) | {"key_file": None if protect.key_file is None else str(protect.key_file.resolve())}
    begun = json.dumps({"protect": kept, "pack": None if pack is None else str(pack.resolve())})
    if store.facts.get(_BEGUN) != begun:
        store.remember(_BEGUN, begun)
    return protect, pack


def serve(
    service: Service,
    address: Address,
    say: Callable[[str], None],
    consumer: Consumer | None = None,
    traces: Traces | None = None,
) -> None:
    """Serve, and read a stream beside, until SIGTERM or SIGINT; then what was begun is finished, and no more taken."""
    import uvicorn

    from intently.serve.app import create_app

    service.start()
    if consumer is not None:
        consumer.start()
    # What is there now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    # Requests are short and answered beside one thread that computes: they wait a fifth as long for their turn.
    sys.setswitchinterval(0.001)
    config = uvicorn.Config(
        create_app(service, close=False, traces=traces),
        host=address.host,
        port=address.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,
        timeout_keep_alive=30,
        limit_concurrency=2000,
        ssl_certfile=None if address.certificate is None else str(address.certificate),
        ssl_keyfile=None if address.key is None else str(address.key),
    )
    scheme = "http" if address.certificate is None else "https"
    say(f"serving {service.models.champion.version} at {scheme}://{address.host}:{address.port}")
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn sends itself the signal again when all is finished: then there is nothing left to end.
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run()
    if consumer is not None:
        consumer.close()
    service.close()
    if traces is not None:
        traces.close()


def service_of(
    bundle: Path,
    store: Store,
    read: Callable[[Path], Trained],
    settings: Settings,
    models: Path | None,
    clock: Clock,
    exported: bool | None = None,
) -> Service:
    """A service that is not warm yet; `exported` says whether `read` reads what was exported."""

    def threaded(folder: Path) -> Trained:
        trained, torch = read(folder), sys.modules.get("torch")
        # Before it has computed anything: each thread takes its number from here then.
        if settings.threads and torch is not None:
            torch.set_num_threads(settings.threads)
        return trained

    forecaster = partial(_elsewhere, store.engine.url.render_as_string(hide_password=False), exported)
    return Service(store, bundle, threaded, settings, models=models, clock=clock, forecaster=forecaster)


def _elsewhere(url: str, exported: bool | None, served: Served, at: int, stop: threading.Event) -> list[Forecast]:
    """Forecasts made by another process: reading the whole state would hold up requests in this one.

    It is ended where `stop` is set. Raises StateError where it gives none.
    """
    words = [sys.executable, "-m", "intently", "forecast", str(served.folder), "--at", written(at)]
    words += ["--exported"] if exported else []
    told = subprocess.PIPE
    made = subprocess.Popen([*words, "--json"], env=os.environ | {STATE: url}, stdout=told, stderr=told, text=True)
    while True:
        try:
            out, err = made.communicate(timeout=_LOOK_AGAIN)
            break
        except subprocess.TimeoutExpired:
            if stop.is_set():
                # It only reads: there is nothing that it could leave undone.
                made.kill()
    if made.returncode:
        raise StateError(f"The forecast failed: {err.strip()[-500:]}", mend="It is made again in a few hours.")
    return [Forecast.from_json(one) for one in json.loads(out)]
