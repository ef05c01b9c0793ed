"""What each part of a blend brings at validation cut-offs of Complete Journey.

    .venv/bin/python bench/blend.py [BUNDLE] [DATA]

The bundle is one trained until 2017-09-10 (`intently train --data DATA --until 2017-09-10 --out BUNDLE`); it is asked
at the five weekly cut-offs from there to 2017-10-08. Every mixture of the booster that reads nothing, the stack and the
reader is compared with that booster. Then, for every three of the five, the weight that is best there is judged at the
other two: out of fourteen weights, out of those that a training may choose from, and .2 for all. Writes
bench/results/blend.json.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from intently import metrics
from intently.contract import Examples, Past, Ranking, Scores, Shares, Task
from intently.evaluate.compare import compare, encode
from intently.learn.blend import WEIGHTS, blended
from intently.learn.trained import OPPONENT, READER, STACK
from intently.log.log import Log
from intently.ship.bundle import load
from intently.tasks import BUILT_IN

RESULTS = Path(__file__).parent / "results" / "blend.json"
SHOWN = (0.1, 0.2, 0.3, 0.4, 0.5)
FOURTEEN = tuple(round(0.05 * step, 2) for step in range(1, 15))
CUTOFFS = 5
REPLICATES = 500


def main() -> None:
    bundle, data = (sys.argv[1:] + ["out/blend/bundle", "out/demo/data"][len(sys.argv) - 1 :])[:2]
    if not Path(bundle).is_dir():
        print(f"{bundle} is not there: `intently train --data {data} --until 2017-09-10 --out {bundle}` makes it.")
        return
    trained, log = load(bundle, BUILT_IN), Log.read(data)
    cutoffs = [trained.until + timedelta(days=7 * week) for week in range(CUTOFFS)]
    found = {}
    for task in trained.tasks:
        examples = task.examples(log, cutoffs)
        past = Past(log, examples.hide())
        parts = {
            name: trained.answer(examples, past, name)
            for name in (OPPONENT, STACK, READER)
            if name in trained.predictors[task.name]
        }
        scores = dict(parts)
        for boosters in ((OPPONENT,), (STACK,), (OPPONENT, STACK)):
            if READER in parts:
                for weight in SHOWN:
                    mixed = blended([parts[name] for name in boosters], parts[READER], weight)
                    scores[f"{' + '.join(boosters)}, {weight} of the reader"] = mixed
        report = compare(task, examples, scores, replicates=REPLICATES, rng=np.random.default_rng(0))
        metric = task.metrics[0]
        rows = {}
        for name in scores:
            rows[name] = {"value": report.score(name, task.name, metric).value}
            if name != OPPONENT:
                better = report.difference(name, OPPONENT, task.name, metric)
                rows[name]["better_than_lightgbm"] = [better.value, better.low, better.high]
        found[task.name] = {"metric": metric, "predictors": rows}
        if READER in parts:
            found[task.name]["better_where_not_chosen"] = chosen_elsewhere(task, examples, parts)
        print(json.dumps({task.name: found[task.name]}, indent=1))
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"until": trained.until.isoformat(), "cutoffs": [at.isoformat() for at in cutoffs], "tasks": found}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


def chosen_elsewhere(task: Task, examples: Examples, parts: Mapping[str, Scores]) -> dict[str, list[float]]:
    """How much better than the booster a blend is at two cut-offs with the weight that was best at three others, by the
    weights there were to choose from: mean and spread over the ten ways to cut five.
    """
    names = (OPPONENT,) if isinstance(task.answer, Ranking | Shares) else (OPPONENT, STACK)
    metric = metrics.of(type(task.answer).__name__, task.metrics)[0]
    rows = [np.flatnonzero((examples.at == at).to_numpy()) for at in examples.cutoffs]

    def good(scores: Scores) -> np.ndarray:
        values = (metric.value(*encode(task, examples.take(some), scores.take(some))) for some in rows)
        return np.array([float(metric.goodness(value)) for value in values])

    alone = good(parts[OPPONENT])
    said = [parts[name] for name in names]
    gain = {weight: good(blended(said, parts[READER], weight)) - alone for weight in {*FOURTEEN, *WEIGHTS}}

    def elsewhere(weights: Sequence[float]) -> list[float]:
        found = []
        for three in itertools.combinations(range(CUTOFFS), 3):
            others = [cutoff for cutoff in range(CUTOFFS) if cutoff not in three]
            best = max(weights, key=lambda weight: gain[weight][list(three)].mean())
            found.append(gain[best][others].mean())
        return [round(float(np.mean(found)), 6), round(float(np.std(found)), 6)]

    return {"of_fourteen": elsewhere(FOURTEEN), "of_those_of_a_training": elsewhere(WEIGHTS), "0.2": elsewhere([0.2])}


if __name__ == "__main__":
    main()
