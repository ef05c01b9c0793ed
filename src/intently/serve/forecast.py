"""Answers that need the whole shop (how many units of an item will be needed), made in the background."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from intently.contract import Amount
from intently.errors import IntentlyError
from intently.log import schema
from intently.serve.answers import number
from intently.serve.bring import log_of
from intently.serve.clock import moment

if TYPE_CHECKING:
    from intently.serve.service import Service

_SAY = logging.getLogger("intently.serve")


@dataclass(frozen=True)
class Forecast:
    """A table of amounts by item, made of everything known at one time."""

    task: str
    model: str
    as_of: int
    unit: str
    rows: dict[str, tuple[float, float, float]]


class Forecasts:
    """Makes the forecasts of all tasks about items every few hours: the same code as `intently predict`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._made: dict[str, Forecast] = {}
        self._stop = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intently-forecast", daemon=True)

    def start(self) -> None:
        """Make the first forecasts now, in the background."""
        self._wanted.set()
        self._thread.start()

    def close(self) -> None:
        """Make no more."""
        self._stop.set()
        self._wanted.set()

    def of(self, task: str) -> Forecast | None:
        """The newest forecast of a task."""
        return self._made.get(task)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are answered by a forecast."""
        trained = self._service.models.champion.trained
        return tuple(t.name for t in trained.tasks if t.key == schema.ITEM and isinstance(t.answer, Amount))

    def _run(self) -> None:
        every = self._service.settings.forecast_hours * 3600
        while not self._stop.is_set():
            self._wanted.wait(every)
            self._wanted.clear()
            if self._stop.is_set():
                return
            try:
                self.make()
            except IntentlyError as error:
                _SAY.warning("no forecast: %s", error)
            except Exception:
                _SAY.exception("no forecast")

    def make(self) -> None:
        """Make every forecast of what is known now."""
        tasks = self.tasks
        if not tasks or not self._service.store.count():
            return
        served, at = self._service.models.champion, self._service.clock.now()
        log = log_of(self._service.store).before(moment(at))
        # A copy of its own: the one that answers requests is touched by one thread only.
        trained = self._service.models.read(served.folder)
        for name in tasks:
            examples, scores = trained.predict(name, log, moment(at))
            answer = examples.task.answer
            assert isinstance(answer, Amount)
            values: Any = scores.values[:, [0, 1, -1]].tolist()
            rows = {
                str(item): (number(mean), number(low), number(high))
                for item, (mean, low, high) in zip(examples.asked.to_list(), values, strict=True)
            }
            self._made[name] = Forecast(name, served.version, at, answer.unit, rows)
