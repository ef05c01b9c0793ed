"""What looks on while answers are made, whether somebody asked or not: the metrics, and a challenger in the shadow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future

from intently.serve.models import Line, Served
from intently.serve.monitor import Monitor
from intently.serve.pasts import History
from intently.serve.told import Told

Asks = Callable[[Sequence[History], tuple[str, ...], Served], Future[list[Told]]]


class Onlookers:
    """Shown every answer once it is made; `ask` is how a shadow is asked."""

    def __init__(self, monitor: Monitor, ask: Asks) -> None:
        self._monitor, self._ask = monitor, ask

    def see(self, line: Line, histories: Sequence[History], told: Sequence[Told]) -> None:
        """Answers of one model to one set of questions, about these histories."""
        for one in told:
            self._monitor.score(one)
        shadow = line.shadow
        if shadow is None or not told or told[0].model != line.champion.version:
            return
        names = tuple(name for name in told[0].scores if name in shadow.tasks)
        if not names:
            return
        # Its answer is not given; a callback runs in the thread that answers, and waits for nothing.
        self._ask(histories, names, shadow).add_done_callback(lambda asked: self._compare(told, asked))

    def _compare(self, told: Sequence[Told], asked: Future[list[Told]]) -> None:
        if not asked.cancelled() and asked.exception() is None:
            self._monitor.compare(told, asked.result())
