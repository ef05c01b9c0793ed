"""A shop's rules held against a ranking that was made for one customer."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import polars as pl

from intently.contract import Scores, Task
from intently.errors import ConfigError, DataError
from intently.log.pack import Array
from intently.ranking import Facts, Rules
from intently.ranking import table as tables
from intently.ranking.rules import Bought, kept
from intently.serve.pasts import History
from intently.serve.standing import Shelf, Standing

_KEPT = 32
_LONGEST = 1_000


def read(table: dict[str, Any]) -> Rules:
    """Rules as a request says them, in the words of docs/rules.md. Raises DataError that tells every fault."""
    if len(str(table)) > 10 * _LONGEST or any(len(text) > _LONGEST for text in _texts(table)):
        raise DataError("The rules are too long.", mend=f"An expression may have {_LONGEST:,} letters.")
    try:
        json.dumps(table, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError("The rules hold half of a sign, which is no text.", mend="Send whole signs.") from None
    rules, faults = tables.read(table)
    if faults:
        said = "; ".join(f"{'.'.join(map(str, fault.key))}: {fault.said}" for fault in faults)
        raise DataError(f"The rules have faults: {said[:1000]}", mend="docs/rules.md says what they may hold.")
    return rules


class Held:
    """Holds rankings to rules; what rules say of a catalogue is worked out once, for the newest few."""

    def __init__(self) -> None:
        self._facts: OrderedDict[tuple[Rules, int], tuple[Shelf, Facts]] = OrderedDict()
        self._lock = threading.Lock()

    def apply(
        self, rules: Rules, shelf: Shelf, task: Task, scores: Scores, history: History, at: int, most: int
    ) -> Scores:
        """The first items of one customer's ranking that may be shown, in the order shown: see `ranking.ruled`."""
        assert scores.ids is not None
        _, past = Standing.of(shelf, [history]).asked(at)(task)
        ids = pl.Series(scores.ids[0].tolist(), dtype=shelf.ids.dtype)
        ranked = np.where(np.isfinite(scores.values[0]), shelf.codes.codes(ids), -1)[None, :].astype(np.int64)
        shown = kept(rules, self.facts(rules, shelf), ranked, Bought.of(past), most)
        place: Array = np.maximum(shown, 0)
        values = np.where(shown >= 0, np.take_along_axis(scores.values, place, axis=1), -np.inf).astype(np.float32)
        return Scores(scores.answer, values, ids=np.take_along_axis(scores.ids, place, axis=1))

    def facts(self, rules: Rules, shelf: Shelf) -> Facts:
        """What rules say of each item of a catalogue. Raises DataError for a column that is not there."""
        key = (rules, id(shelf))
        with self._lock:
            if key in self._facts:
                self._facts.move_to_end(key)
                return self._facts[key][1]
        try:
            facts = Facts.of(rules, shelf.items)
        except ConfigError as error:
            raise DataError(error.problem, mend=error.mend) from None
        with self._lock:
            self._facts[key] = (shelf, facts)
            while len(self._facts) > _KEPT:
                self._facts.popitem(last=False)
        return facts


def _texts(table: dict[str, Any]) -> list[str]:
    boosts = table.get("boost", [])
    inside = [one.get("where") for one in boosts if isinstance(one, dict)] if isinstance(boosts, list) else []
    return [text for text in (table.get("only"), *inside) if isinstance(text, str)]
