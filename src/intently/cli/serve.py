"""`intently serve`: answer over HTTP, as events arrive."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.serve.clock import Clock

EXAMPLE = "Example: intently serve out/demo/bundle --data out/demo/data"

STATE = Annotated[
    str | None,
    typer.Option("--state", help="sqlite:///file or postgresql://user@host/name; SQLite beside the bundle without it."),
]


def command(
    bundle: console.BUNDLE,
    data: Annotated[
        str | None, typer.Option("--data", help="A log or a pack to begin with; read once, at the first start.")
    ] = None,
    state: STATE = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; this machine alone without it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen at.")] = 8400,
    models: Annotated[
        Path | None, typer.Option("--models", help="Folder of bundles that may be put into service by name.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", help="File of the TLS certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="File of the TLS key (PEM).")] = None,
    stream: Annotated[
        str | None, typer.Option("--stream", help="Read events from nats://host:4222/STREAM?subject=shop.events too.")
    ] = None,
    reuse: Annotated[
        float, typer.Option("--reuse", min=0, help="Seconds for which an answer is given again while nothing happened.")
    ] = 300.0,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Requests a second for each key.")] = 1000.0,
    cache_events: Annotated[int, typer.Option("--cache-events", min=0, help="Events of pasts in memory.")] = 5_000_000,
    threads: console.THREADS = 1,
    traces: Annotated[
        str | None,
        typer.Option("--traces", help="Send a span a request to http://host:4318 (OpenTelemetry), or to console."),
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(
            "--now", help="Let time begin here (UTC), or at the log's end where that is later: for an old log."
        ),
    ] = None,
    exported: console.EXPORTED = False,
    log_level: Annotated[str, typer.Option("--log-level", help="debug, info, warning or error.")] = "info",
) -> None:
    """Serve a bundle over HTTP: events in, scores and recommendations out, by key, on this machine alone."""
    from intently import config
    from intently.errors import ConfigError

    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(f"Serving needs {error.name}.", mend='pip install "intently[serve]"') from None
    from intently.log.pack import is_pack
    from intently.log.source import settings_of
    from intently.ranking import Rules
    from intently.serve import run
    from intently.serve.keys import Keys
    from intently.serve.service import Settings
    from intently.serve.store import Store
    from intently.serve.stream import Consumer, Source
    from intently.serve.traces import Traces
    from intently.ship.bundle import load, refuse_other

    if log_level not in ("debug", "info", "warning", "error"):
        raise ConfigError(f"There is no log level {log_level!r}.", mend="Use debug, info, warning or error.")
    source = None if stream is None else Source.written(stream)
    if source is not None and find_spec("faststream") is None:
        raise ConfigError("Reading a stream needs FastStream.", mend='pip install "intently[stream]"')
    sent = None if traces is None else Traces.to(traces)
    # Before anything is written.
    refuse_other(bundle)
    address = run.Address(host, port, tls_cert, tls_key)
    pack = Path(data) if data is not None and is_pack(data) else None
    rules = Rules() if data is None or pack is not None else config.read(config.find(data, None)).rules
    given = None if data is None or pack is not None else settings_of(data).protection
    tasks = console.every_task()
    store = Store.open(run.state_url(bundle, state), serving=True)
    protect, pack = run.settled(store, given, pack)
    with console.progress() as progress:
        brought = run.take_log(store, data, progress)
    if brought:
        console.say(f"brought {brought:,} events into the state")
    run.write_lines(log_level)
    settings = Settings(
        reuse=reuse, cache_events=cache_events, rate=rate, threads=threads, protect=protect, pack=pack, rules=rules
    )
    service = run.service_of(
        bundle,
        store,
        lambda folder: load(folder, tasks, threads=threads, exported=exported or None),
        settings,
        models,
        clock_from(now),
        exported or None,
    )
    key = run.first_key(Keys(store, service.clock.now))
    if key is not None:
        console.say(f"admin key, shown this once: {key}")
    if address.is_open:
        console.say(
            f"warning: {host} can be reached by other machines, and nothing is encrypted: give --tls-cert and --tls-key"
        )
    consumer = None if source is None else Consumer(source, service)
    run.serve(service, address, console.say, consumer, sent)


def clock_from(now: str | None) -> Clock:
    """The machine's clock, or one that begins at a given time, or at the end of what is known where that is later."""
    from intently.log.log import moment
    from intently.serve.clock import Clock, micros, wall

    if now is None:
        return Clock()
    behind = wall() - micros(moment(now))
    return Clock(lambda: wall() - behind, chosen=True)
