"""A bundle whose text readers are pruned, written only where they keep what they knew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from intently import metrics
from intently.contract import EachEvent, Examples, Past, Task
from intently.errors import BundleError, TooFewExamples
from intently.evaluate.compare import encode
from intently.learn.ensemble import Ensemble
from intently.learn.prune import Pruning, pruned
from intently.learn.text_reader import TextReader
from intently.learn.trained import Trained
from intently.log.log import Log
from intently.ship.bundle import save
from intently.ship.export import examples_of
from intently.ship.gate import Gate

# The examples to recover on: of so many windows before those that are judged, so many at most.
_WINDOWS, _MOST = 26, 4_000


def prune(
    trained: Trained,
    log: Log,
    out: Path,
    pruning: Pruning,
    most: int = 1_000,
    made_with: Mapping[str, Any] | None = None,
) -> dict[str, Gate]:
    """Write the bundle with smaller text readers; by task, what each lost of its first metric where it is judged.

    Judged are the last windows before the bundle's end, which the larger reader has learned from and the smaller one
    does not recover on: what is told of the loss is rather too much than too little. Raises BundleError where one loses
    more than `gate.MOST_LOST`, or there is none; then nothing is written.
    """
    gates: dict[str, Gate] = {}
    told = dict(trained.pruned)
    predictors = {name: dict(mine) for name, mine in trained.predictors.items()}
    for task in trained.tasks:
        for name, reader in predictors[task.name].items():
            if isinstance(reader, TextReader):
                judged, past = examples_of([task], log, trained.until, most)[task.name]
                taught = earlier(task, log, trained.until, judged)
                smaller = pruned(reader, taught, Past(log.before(trained.until), taught), pruning)
                lost = good(reader, judged, past) - good(smaller, judged, past)
                gates[task.name] = Gate({}, {task.name: lost}, len(judged), weight_of(reader), weight_of(smaller))
                predictors[task.name][name] = smaller
                assert smaller.pruned is not None
                told[task.name] = {"lost": lost, "layers": len(smaller.pruned.layers), "heads": pruning.heads}
    if not gates:
        raise _nothing_to_prune(trained)
    faults = [fault for gate in gates.values() for fault in gate.faults]
    if faults:
        raise BundleError(
            f"What is left does not pass: {'; '.join(faults)}.", mend="Keep more layers or heads, or serve it as it is."
        )
    save(replace(trained, predictors=predictors, pruned=told), log, out, made_with=made_with)
    return gates


def _nothing_to_prune(trained: Trained) -> BundleError:
    several = [
        name for name, mine in trained.predictors.items() if any(isinstance(one, Ensemble) for one in mine.values())
    ]
    if several:
        return BundleError(
            f"{', '.join(several)} is answered by an ensemble of text readers, which is not pruned.",
            mend="Train it with members=1 of [text], and prune that.",
        )
    return BundleError("The bundle has no text reader.", mend="Prune one that answers a question by reading texts.")


def earlier(task: Task, log: Log, until: datetime, judged: Examples) -> Examples:
    """Examples with truth of the windows before those that are judged."""
    begin, known = min(judged.cutoffs), log.before(until)
    step = task.asks.span if isinstance(task.asks, EachEvent) else task.horizon
    examples = task.examples(known, [begin - step * back for back in range(_WINDOWS, 0, -1)])
    if len(examples) < 2:
        raise TooFewExamples(f"{task.name} has no examples before those it is judged on.", mend="Bring a longer log.")
    rows = np.linspace(0, len(examples) - 1, min(_MOST, len(examples))).astype(np.int64)
    return examples.take(rows)


def good(reader: TextReader, examples: Examples, past: Past) -> float:
    """A task's first metric, more is better."""
    task = examples.task
    metric = metrics.of(type(task.answer).__name__, task.metrics[:1])[0]
    scores = reader.predict(examples.hide(), past)
    return float(metric.goodness(metric.value(*encode(task, examples, scores))))


def weight_of(reader: TextReader) -> int:
    """Bytes of all weights in single precision."""
    return sum(weight.numel() * 4 for weight in reader.network.parameters())
