"""What each part of a blend brings at validation cut-offs of Complete Journey.

    .venv/bin/python bench/blend.py [BUNDLE] [DATA]

The bundle is one trained until 2017-09-10 (`intently train --data DATA --until 2017-09-10 --out BUNDLE`); it is asked
at the five weekly cut-offs from there to 2017-10-08. Every mixture of the booster that reads nothing, the stack and the
reader is compared with that booster. Writes bench/results/blend.json.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np

from intently.contract import Past
from intently.evaluate.compare import compare
from intently.learn.blend import blended
from intently.learn.trained import OPPONENT, READER, STACK
from intently.log.log import Log
from intently.ship.bundle import load
from intently.tasks import BUILT_IN

RESULTS = Path(__file__).parent / "results" / "blend.json"
WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5)
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
                for weight in WEIGHTS:
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
        print(json.dumps({task.name: found[task.name]}, indent=1))
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"until": trained.until.isoformat(), "cutoffs": [at.isoformat() for at in cutoffs], "tasks": found}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
