"""Events from a broker (NATS JetStream, through FastStream): at least once, each counted once, poison set aside."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from intently.errors import ConfigError, DataError, StateError
from intently.log.mask import mask
from intently.serve.arrivals import EventIn
from intently.serve.event import Event

if TYPE_CHECKING:
    from intently.serve.service import Service

_SAY = logging.getLogger("intently.serve")
_TOGETHER = 200
_AGAIN = 2.0


@dataclass(frozen=True)
class Source:
    """A JetStream: where its server is, its name, the subjects read, and the name under which we go on reading."""

    server: str
    stream: str
    subject: str
    durable: str = "intently"

    @classmethod
    def written(cls, url: str) -> Self:
        """From `nats://host:4222/STREAM?subject=shop.events&durable=intently`; `subject` is all of it, without one."""
        parts = urlsplit(url)
        asked = parse_qs(parts.query)
        name = parts.path.strip("/")
        if parts.scheme not in ("nats", "tls") or not parts.netloc or not name or "/" in name:
            raise ConfigError(
                "That is no stream that can be read.", mend="Write nats://host:4222/STREAM?subject=shop.events."
            )
        subject, durable = asked.get("subject", [">"])[0], asked.get("durable", ["intently"])[0]
        return cls(f"{parts.scheme}://{parts.netloc}", name, subject, durable)


class Consumer:
    """A thread that takes events from a stream. A message is acknowledged when it is on disk, or set aside.

    A message without an `event_id` gets one of its place in the stream: delivered again, it counts once.
    """

    def __init__(self, source: Source, service: Service) -> None:
        self._source, self._service = source, service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="intently-stream", daemon=True)

    def start(self) -> None:
        """Begin to read; a broker that is away is waited for."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was taken, then stop."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=15)

    def _run(self) -> None:
        asyncio.run(self._read())

    async def _read(self) -> None:
        from faststream import AckPolicy
        from faststream.nats import NatsBroker, NatsMessage, PullSub

        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        quiet = logging.getLogger("intently.serve.broker")
        broker = NatsBroker(self._source.server, max_reconnect_attempts=-1, reconnect_time_wait=1, logger=quiet)

        async def take(message: NatsMessage) -> None:
            raw: Any = message.raw_message
            await self.settle(raw if isinstance(raw, list) else [raw])

        batches: Any = PullSub(batch_size=_TOGETHER, timeout=1.0, batch=True)
        subscriber = broker.subscriber(
            self._source.subject,
            stream=self._stream(),
            durable=self._source.durable,
            pull_sub=batches,
            ack_policy=AckPolicy.MANUAL,
        )
        subscriber(take)
        while not self._stop.is_set():
            try:
                await broker.start()
                _SAY.info("reading the stream %s", self._source.stream)
                await self._stop.wait()
            except Exception as error:
                # Whatever a broker says that is not there yet; the reading begins when it is.
                _SAY.warning("the stream cannot be read yet: %s", type(error).__name__)
                await asyncio.wait([asyncio.create_task(self._stop.wait())], timeout=_AGAIN)
        await broker.stop()

    def _stream(self) -> Any:
        from faststream.nats import JStream

        return JStream(self._source.stream, declare=False)

    async def settle(self, messages: Sequence[Any]) -> None:
        """Take what can be taken, set the rest aside, and acknowledge both; nothing is where the state is away."""
        events: list[Event] = []
        bad: list[tuple[bytes, str]] = []
        for message in messages:
            try:
                events.append(self._event(message))
            except (ValidationError, DataError) as error:
                bad.append((message.data, _reason(error)))
        try:
            if events:
                placed = await asyncio.wrap_future(self._service.append(events))
                new = sum(one is not None for one in placed)
                self._service.monitor.events.labels("accepted").inc(new)
                self._service.monitor.events.labels("duplicate").inc(len(events) - new)
            for body, reason in bad:
                await asyncio.to_thread(self._set_aside, body, reason)
        except StateError as error:
            _SAY.warning("%d messages wait in the stream: %s", len(messages), error)
            await asyncio.sleep(_AGAIN)
            for message in messages:
                await message.nak()
            return
        for message in messages:
            await message.ack()

    def _event(self, message: Any) -> Event:
        given = EventIn.model_validate_json(message.data)
        if given.event_id is None:
            place = f"{self._source.stream}:{message.metadata.sequence.stream}"
            given = given.model_copy(update={"event_id": place})
        return self._service.receive([given])[0]

    def _set_aside(self, body: bytes, reason: str) -> None:
        text = mask(body.decode("utf-8", errors="replace").replace("\x00", ""))
        self._service.store.dead_letter(self._service.clock.now(), self._source.stream, reason, text)
        self._service.monitor.dead.inc()


def _reason(error: ValidationError | DataError) -> str:
    if isinstance(error, DataError):
        return f"{error.problem} {error.mend}"
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'message'}: {first['msg']}"[:500]
