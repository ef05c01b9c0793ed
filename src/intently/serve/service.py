"""The service without HTTP: events in, scores out, models in service, customers forgotten."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from intently.errors import ConfigError, DataError, IntentlyError
from intently.log import schema
from intently.log.pack_forget import forget_in_pack
from intently.log.protect import Protect
from intently.ranking import Rules
from intently.serve.arrivals import Door, EventIn
from intently.serve.audit import Audit
from intently.serve.beforehand import Beforehand
from intently.serve.bring import log_of
from intently.serve.catalogue import Shelver
from intently.serve.clock import Clock, written
from intently.serve.event import Event, Placed
from intently.serve.forecast import Forecast, Forecaster, Forecasts, forecasts
from intently.serve.forget import Forgotten
from intently.serve.kept import Answer, Kept, Key
from intently.serve.keys import Keys
from intently.serve.loader import Loader
from intently.serve.models import Line, Models, Served
from intently.serve.monitor import Monitor
from intently.serve.onlookers import Onlookers
from intently.serve.pasts import History, Pasts, history_of
from intently.serve.rules import Held
from intently.serve.store import Store
from intently.serve.told import Told
from intently.serve.worker import Worker
from intently.serve.write_ahead import WriteAhead
from intently.serve.writer import Writer

_SAY = logging.getLogger("intently.serve")
# The fact that says which models serve.
_LINE = "line"
MOST_TYPES = 64
# Seconds for which what nobody asked for yet is put off where events are being written.
_GIVEN_WAY = 0.005


@dataclass(frozen=True)
class Settings:
    """What an operator sets. `reuse` is for how many seconds an answer may be given again while nothing happened.

    `cache_events` bounds the pasts in memory, `rate` is requests a second for each key, `body` bytes of a request.
    `pack` is the pack that the state was begun with, in which customers are forgotten too.
    `rules` are the shop's on what may be recommended, where a request brings none of its own.
    """

    reuse: float = 300.0
    cache_events: int = 5_000_000
    rate: float = 1000.0
    body: int = 2_000_000
    threads: int = 1
    forecast_hours: float = 6.0
    protect: Protect = field(default_factory=Protect)
    pack: Path | None = None
    rules: Rules = field(default_factory=Rules)


class Service:
    """Joins store, pasts, models and threads. Every score is made by `worker.tell`."""

    def __init__(
        self,
        store: Store,
        bundle: Path,
        read: Callable[[Path], Any],
        settings: Settings | None = None,
        *,
        models: Path | None = None,
        clock: Clock | None = None,
        forecaster: Forecaster | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.store, self.clock = store, clock or Clock()
        self.newest = store.last_known()
        if self.clock.not_before(self.newest):
            _SAY.warning("--now lies before the end of what is known: time begins there, at %s", written(self.newest))
        self.monitor = Monitor()
        self.pasts = Pasts(store, self.settings.cache_events)
        self.keys = Keys(store, self.clock.now)
        self.audit = Audit(store)
        # Before the worker, which asks at once what there is to make anew.
        self.kept = Kept(self.settings.reuse, self.clock.now, lambda: self.worker.wake())
        self.loader = Loader(store, read, self.clock.now)
        self.onlookers = Onlookers(self.monitor, lambda *asked: self.worker.ask(*asked))
        self.beforehand = Beforehand(
            self.kept,
            self.pasts,
            lambda: self.models.line,
            self.loader,
            self.monitor,
            self.onlookers,
            self.clock.now,
            self._give_way,
        )
        self.worker = Worker(self.clock.now, self.monitor, self.beforehand.renew, self.loader.refresh)
        self.writer = Writer(store, self._placed)
        self.models = Models(
            models or bundle.resolve().parent, self.loader.first(bundle), self._keep_line, self._changed
        )
        self._restore()
        self.door = Door(self.clock.now, self.settings.protect, self._numbers, self._whole_items)
        self.shelver = Shelver(store, lambda: self.models.line.loaded, self._between, self.loader.warm)
        self.forecasts = Forecasts(
            forecaster or self._forecast, lambda: self.models.champion, self.clock.now, self.settings.forecast_hours
        )
        self.held = Held()
        self.ready, self.closing = threading.Event(), threading.Event()
        self._forgetting, self._naming = threading.Lock(), threading.Lock()
        self.write_ahead = WriteAhead(store, self.closing)
        self._kinds = set(store.types)

    def start(self) -> None:
        """Warm the model; forecasts, and pasts and answers of the customers seen last, come in the background."""
        for served in self.models.line.loaded:
            self._between(partial(self.loader.warm, served, served.shelf))
        self.ready.set()
        self.forecasts.start()
        self.write_ahead.start()
        self.beforehand.start(self.store, self.worker, self.settings.cache_events, foresee=self.settings.reuse > 0)

    def close(self) -> None:
        """Finish what was begun: events are written, questions answered, notes kept."""
        self.closing.set()
        self.beforehand.stop()
        self.forecasts.close()
        self.shelver.close()
        self.writer.close()
        self.worker.close()
        self.beforehand.join()
        self.forecasts.join()
        self.audit.close()
        self.write_ahead.join()
        self.store.close()

    # Events in.

    def receive(self, given: Sequence[EventIn]) -> list[Event]:
        """Events as they are kept. Raises DataError for what cannot be, with its place where there are several."""
        taken = []
        for number, one in enumerate(given):
            try:
                event = self.door.take(one)
            except DataError as error:
                if len(given) == 1:
                    raise
                raise DataError(f"Event {number}: {error.problem}", mend=error.mend) from None
            taken.append(event)
        self._name({event.kind for event in taken})
        return taken

    def append(self, events: Sequence[Event]) -> Future[list[Placed | None]]:
        """Write events; done when they are on disk and every later answer sees them."""
        return self.writer.put(events)

    def _placed(self, placed: Sequence[Placed]) -> None:
        self.pasts.add(placed)
        self.kept.stir({one.event.user for one in placed})
        self.worker.wake()
        self.newest = max(self.newest, max((one.event.arrived for one in placed), default=0))
        if any(one.item_code >= len(self.models.champion.shelf) for one in placed):
            self.shelver.look()

    def _give_way(self, during: Served | None, until: Callable[[], bool]) -> None:
        """Answer who waits, and let events be written: they would share Python's lock with what can wait."""
        self.worker.attend(_GIVEN_WAY if self.writer.busy else 0.0, during, until)

    def _name(self, kinds: set[str]) -> None:
        """Take up event types, all or none: those that wait to be written count too. DataError where they are many."""
        with self._naming:
            new = kinds - self._kinds
            if new and len(self._kinds) + len(new) > MOST_TYPES:
                raise DataError(
                    f"There may be {MOST_TYPES} event types: {len(self._kinds)} are known, {len(new)} would be new.",
                    mend=f"Use one of {', '.join(sorted(self._kinds)[:20]) or 'a few'}.",
                )
            self._kinds |= new

    # Scores out.

    async def answer(
        self, users: Sequence[str], tasks: Sequence[str], *, most: int = 20, reuse: float | None = None
    ) -> list[Answer]:
        """Answers about customers by id, in order."""
        line, forgettings = self.models.line, self.kept.forgettings
        histories = await self._histories(users)
        found: list[Answer | None] = [None] * len(users)
        for number, (user, history) in enumerate(zip(users, histories, strict=True)):
            served = line.of(user, tasks)
            found[number] = self.kept.get(user, history, served, tasks, most, reuse)
            if found[number] is None:
                found[number] = await self._being_made(user, history, served, tasks, most, reuse)
        missing = [number for number, one in enumerate(found) if one is None]
        self.monitor.reused.inc(len(users) - len(missing))
        groups: dict[Served, list[int]] = {}
        for number in missing:
            groups.setdefault(line.of(users[number], tasks), []).append(number)
        for served, numbers in groups.items():
            keys = [Key(users[number], tuple(tasks), served, served.shelf.edition) for number in numbers]
            told = await self._ask([histories[number] for number in numbers], tasks, served)
            for number, key, one in zip(numbers, keys, told, strict=True):
                self.kept.put(key, histories[number], one, one.as_of, forgettings)
                found[number] = Answer.of(one, histories[number], most)
                self.monitor.answers.labels(one.model).inc()
            self.onlookers.see(line, [histories[number] for number in numbers], told)
        return [one for one in found if one is not None]

    async def _being_made(
        self, user: str, history: History, served: Served, tasks: Sequence[str], most: int, reuse: float | None
    ) -> Answer | None:
        """The answer that is being made anew just now, once it is made; None where there is none, or it is too old."""
        if reuse is not None and reuse <= 0:
            return None
        making = self.kept.making(user, history, served, tasks)
        told = None if making is None else await asyncio.wrap_future(making)
        if told is None or (reuse is not None and self.clock.now() - told.as_of > reuse * 1e6):
            return None
        return Answer.of(replace(told, scores={name: told.scores[name] for name in tasks}), history, most)

    async def recommend(
        self, user: str, task: str, rules: Rules, *, most: int = 10, reuse: float | None = None
    ) -> Answer:
        """The items that a customer is likely to want next and may be shown, best first."""
        if rules == Rules():
            return (await self.answer([user], (task,), most=most, reuse=reuse))[0]
        served = self.models.line.of(user, (task,))
        await asyncio.to_thread(self.held.facts, rules, served.shelf)
        forgettings = self.kept.forgettings
        history = (await self._histories([user]))[0]
        told = self.kept.told(user, history, served, (task,), reuse)
        reused = told is not None
        if told is None:
            # Before it is asked: what is answered from an earlier catalogue must not pass for one of a later.
            key = Key(user, (task,), served, served.shelf.edition)
            told = (await self._ask([history], (task,), served))[0]
            self.kept.put(key, history, told, told.as_of, forgettings)
            self.monitor.answers.labels(told.model).inc()
            self.onlookers.see(self.models.line, [history], [told])
        asked, shelf = served.trained.task(task), served.shelf
        scores = await asyncio.to_thread(
            self.held.apply, rules, shelf, asked, told.scores[task], history, told.as_of, most
        )
        return replace(Answer.of(replace(told, scores={task: scores}), history, most), reused=reused)

    async def answer_history(self, events: Sequence[Event], tasks: Sequence[str], *, most: int = 20) -> Answer:
        """Answers about a history that came with the question, and is not kept."""
        types, items = self.store.types, self.store.items
        unknown = sorted({event.kind for event in events} - set(types))
        if unknown:
            raise DataError(
                f"This shop has no event_type {unknown[0]!r}.", mend=f"It has {', '.join(sorted(types)[:20])}."
            )
        far = len(items)
        placed = [
            Placed(number, event, types[event.kind], -1 if event.item is None else items.get(event.item, far))
            for number, event in enumerate(events)
        ]
        history = history_of(placed)
        told = await self._ask([history], tasks, self.models.champion)
        return Answer.of(told[0], history, most)

    def asked_tasks(self, names: Sequence[str] | None) -> tuple[str, ...]:
        """The questions of these names, or all that are about customers. Raises ConfigError for one that is not."""
        there = self.models.champion.tasks
        if not names:
            return there
        for name in names:
            if name not in there:
                told = ", ".join(there) or "nothing of a customer, only of events or of items"
                raise ConfigError("The model does not answer that of a customer.", mend=f"It answers {told}.")
        return tuple(dict.fromkeys(names))

    async def _histories(self, users: Sequence[str]) -> list[History]:
        kept = [self.pasts.peek(user) for user in users]
        missing = [number for number, one in enumerate(kept) if one is None]
        if missing:
            # The store is read off the loop: others are not held up.
            read = await asyncio.to_thread(lambda: [self.pasts.of(users[number]) for number in missing])
            for number, one in zip(missing, read, strict=True):
                kept[number] = one
        return [one for one in kept if one is not None]

    async def _ask(self, histories: Sequence[History], tasks: Sequence[str], served: Served) -> list[Told]:
        return await asyncio.wrap_future(self.worker.ask(histories, tuple(tasks), served))

    def _forecast(self, served: Served, at: int, stop: threading.Event) -> list[Forecast]:
        """Forecasts made in this process, by a copy of the model: the one that answers is touched by one thread."""
        return forecasts(self.loader.read(served.folder), served.version, log_of(self.store), at, stop)

    # Models.

    def swap(self, name: str) -> None:
        """Load a bundle by name and put it into service. Raises ConfigError, BundleError where that cannot be."""
        self.models.swap(self._loaded(name))
        # Items may have come while it was loaded.
        self.shelver.look()

    def try_out(self, name: str, share: float) -> None:
        """Load a bundle by name and try it on a share of the customers; 0 is a shadow."""
        self.models.try_out(self._loaded(name), share)
        self.shelver.look()

    def _loaded(self, name: str) -> Served:
        """A bundle that is warm. All is done in this thread: nobody is answered by it yet, so no question waits."""
        served = self._opened(name)
        self.loader.warm(served, served.shelf)
        return served

    def _opened(self, name: str) -> Served:
        return self.loader.open(self.models.find(name), self.models.champion.shelf.items)

    def _changed(self, line: Line) -> None:
        self.kept.only(line.loaded)

    def _keep_line(self, told: dict[str, Any]) -> None:
        self.store.remember(_LINE, json.dumps(told))

    def _restore(self) -> None:
        """Let the models serve that did before a restart."""
        try:
            self.models.restore(json.loads(self.store.facts.get(_LINE, "{}")), self._opened)
        except (IntentlyError, ValueError) as error:
            _SAY.warning("%s serves, not what was put into service before: %s", self.models.champion.name, error)

    def _between(self, act: Callable[[], None]) -> None:
        self.worker.call(act).result()

    def _numbers(self) -> frozenset[str]:
        """The further numbers of events that are kept: those of the log that the model was trained on."""
        return frozenset(self.store.extras)

    def _whole_items(self) -> bool:
        return self.store.facts.get(schema.ITEM) == "Int64"

    def measure(self) -> None:
        """Bring what is read on request into the metrics."""
        monitor, line = self.monitor, self.models.line
        monitor.cached.set(self.pasts.events)
        asked = self.pasts.hits + self.pasts.misses
        monitor.hits.set(self.pasts.hits / asked if asked else 1.0)
        monitor.queue.labels("questions").set(self.worker.waiting)
        monitor.queue.labels("events").set(self.writer.waiting)
        monitor.behind.set(self.shelver.behind)
        up = self.store.answers()
        monitor.state_up.set(up)
        if up:
            monitor.lag.set(max(0, self.clock.now() - self.newest) / 1e6)
        monitor.model.clear()
        for role, served in (("champion", line.champion), ("before", line.before), ("challenger", line.challenger)):
            if served is not None:
                monitor.model.labels(served.version, role).set(1)

    # Customers.

    def forget(self, user: str, asked: str | None = None) -> Forgotten:
        """Remove a customer from the state, from memory, from kept answers and from the pack.

        `asked` is the id as it was given, where ids are hashed. The files are written anew last: should the disk
        have no room for that, the customer is gone from everything that answers. Where somebody reads them for long,
        `traces` says so, and they are cut when that has ended.
        """
        with self._forgetting:
            # Between two writings: no event of theirs is on its way from the disk to the memory.
            with self.store.alone():
                gone = self.store.forget(user, asked, self.door.user)
                self.pasts.forget(gone.ids)
                self.kept.forget(gone.ids)
            self.audit.flush()
            try:
                rows = 0 if self.settings.pack is None else forget_in_pack(self.settings.pack, gone.ids)
            finally:
                clean = self.store.leave_no_trace()
        if not clean:
            _SAY.warning("somebody reads the state: its write-ahead log still holds what was deleted, until they end")
            self.write_ahead.cut()
        return replace(gone, pack_rows=rows, traces=not clean)
