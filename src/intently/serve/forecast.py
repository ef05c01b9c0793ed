"""Answers that need the whole shop (how many units of an item will be needed), made in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from intently.contract import Amount, Task
from intently.errors import IntentlyError, StateError
from intently.learn.trained import Trained
from intently.log import schema
from intently.log.log import Log
from intently.serve.answers import number
from intently.serve.clock import moment
from intently.serve.models import Served

_SAY = logging.getLogger("intently.serve")


@dataclass(frozen=True)
class Forecast:
    """A table of amounts (mean, low, high) by item, made of everything known at one time."""

    task: str
    model: str
    as_of: int
    unit: str
    rows: Mapping[str, tuple[float, float, float]]

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        rows = {item: list(values) for item, values in self.rows.items()}
        return {"task": self.task, "model": self.model, "as_of": self.as_of, "unit": self.unit, "rows": rows}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """The forecast that `to_json` described."""
        rows = {item: (values[0], values[1], values[2]) for item, values in told["rows"].items()}
        return cls(told["task"], told["model"], told["as_of"], told["unit"], rows)


# Of a model, as of a time (microseconds); where the event is set it is given up, at the next question at the latest.
Forecaster = Callable[[Served, int, threading.Event], list[Forecast]]


def is_of_items(task: Task) -> bool:
    """Whether a question is answered by a forecast: an amount of items."""
    return task.key == schema.ITEM and isinstance(task.answer, Amount)


def of_items(trained: Trained) -> tuple[Task, ...]:
    """The questions of a bundle that are answered by a forecast."""
    return tuple(task for task in trained.tasks if is_of_items(task))


def forecasts(trained: Trained, version: str, log: Log, at: int, stop: threading.Event | None = None) -> list[Forecast]:
    """Every forecast of what is known at a time (microseconds): what `intently predict` does.

    Raises StateError where `stop` is set before the last is begun.
    """
    known, made = log.before(moment(at)), []
    for task in of_items(trained):
        if stop is not None and stop.is_set():
            raise StateError("The forecast was given up.", mend="It is made again when the service starts.")
        examples, scores = trained.predict(task.name, known, moment(at))
        assert isinstance(task.answer, Amount)
        values: Any = scores.values[:, [0, 1, -1]].tolist()
        rows = {
            str(item): (number(mean), number(low), number(high))
            for item, (mean, low, high) in zip(examples.asked.to_list(), values, strict=True)
        }
        made.append(Forecast(task.name, version, at, task.answer.unit, rows))
    return made


class Forecasts:
    """Has all forecasts made every few hours, and keeps the newest."""

    def __init__(self, make: Forecaster, served: Callable[[], Served], now: Callable[[], int], hours: float) -> None:
        self._make, self._served, self._now, self._hours = make, served, now, hours
        self._made: dict[str, Forecast] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intently-forecast", daemon=True)

    def start(self) -> None:
        """Make the first forecasts now, in the background."""
        self._thread.start()

    def close(self) -> None:
        """Make no more, and give up what is being made (`Forecaster`)."""
        self._stop.set()

    def join(self) -> None:
        """Wait until nothing is being made."""
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    def of(self, task: str) -> Forecast | None:
        """The newest forecast of a task."""
        return self._made.get(task)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are answered by a forecast."""
        return tuple(task.name for task in of_items(self._served().trained))

    def make(self) -> None:
        """Make every forecast of what is known now."""
        if self.tasks:
            self._made |= {one.task: one for one in self._make(self._served(), self._now(), self._stop)}

    def _run(self) -> None:
        while True:
            try:
                self.make()
            except IntentlyError as error:
                if not self._stop.is_set():
                    _SAY.warning("no forecast: %s", error)
            except BaseException:
                _SAY.exception("no forecast")
            if self._stop.wait(self._hours * 3600):
                return
