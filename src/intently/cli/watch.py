"""`intently watch`: look at a service, and tell when something is wrong."""

from __future__ import annotations

import json
import os
import sys
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.watch.alerts import Alert
    from intently.watch.samples import Sample

EXAMPLE = "Example: INTENTLY_KEY=ik_... intently watch http://127.0.0.1:8400 --webhook https://hooks.example.org/x"


def command(
    url: Annotated[str, typer.Argument(help="Where the service is.")] = "http://127.0.0.1:8400",
    webhook: Annotated[str | None, typer.Option("--webhook", help="Send each alert there, as JSON by POST.")] = None,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two looks.")] = 15.0,
    looks: Annotated[int | None, typer.Option("--looks", min=1, help="End after so many looks.")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="Print the alert rules for Prometheus, and end.")] = False,
) -> None:
    """Look at a service's metrics, and tell of alerts on standard output and to a webhook.

    The key (scope read) is taken from INTENTLY_KEY, so that no list of processes shows it.
    """
    from intently.errors import ConfigError
    from intently.watch.alerts import Alerts
    from intently.watch.rules import prometheus

    if rules:
        sys.stdout.write(prometheus())
        return
    for address in (url, *([] if webhook is None else [webhook])):
        if urlsplit(address).scheme not in ("http", "https"):
            raise ConfigError(f"{address!r} is no address.", mend="Write http://host:port or https://host.")
    alerts, done = Alerts(), 0
    while True:
        for alert in alerts.judge(look(url, os.environ.get("INTENTLY_KEY", ""))):
            console.say(json.dumps(alert.to_json(), ensure_ascii=False))
            if webhook is not None:
                tell(webhook, alert)
        done += 1
        if looks is not None and done >= looks:
            return
        time.sleep(every)


def look(url: str, key: str) -> Sample:
    """The service's metrics now; not up where it does not answer, or breaks off. ConfigError for a key it refuses."""
    from intently.errors import ConfigError
    from intently.watch.samples import Sample

    request = Request(url.rstrip("/") + "/metrics", headers={"Authorization": f"Bearer {key}"})
    try:
        with urlopen(request, timeout=10) as answer:
            return Sample.read(time.time(), answer.read().decode())
    except URLError as error:
        if getattr(error, "code", None) in (401, 403):
            raise ConfigError(
                "The service refuses the key.", mend="Set INTENTLY_KEY to one of scope read (intently keys create)."
            ) from None
        return Sample(time.time(), up=False)
    except (OSError, HTTPException, ValueError):
        # Who dies in the middle of an answer leaves half of it, which is no HTTP or cannot be read.
        return Sample(time.time(), up=False)


def tell(webhook: str, alert: Alert) -> None:
    """Send an alert; one that cannot be sent is said, and does not end the watching."""
    body = json.dumps(alert.to_json(), ensure_ascii=False).encode()
    request = Request(webhook, body, {"Content-Type": "application/json"})
    try:
        urlopen(request, timeout=10).close()
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"the webhook does not take {alert.rule.name}: {type(error).__name__}\n")
