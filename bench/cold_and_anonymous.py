"""Items nobody has bought yet, and visitors nobody knows: the demo's bundle on both.

    .venv/bin/python bench/cold_and_anonymous.py [BUNDLE] [DATA]

Cold items: at each cut-off the candidates are all items of the catalogue that were not sold before; the
truth is which of them a household buys in the next 7 days; recall@100 of the reader against a ranking by
the household's category shares with random order inside a category. Anonymous visitors: three events of a
household's last basket before the cut-off, without its id, and what it buys in the next 7 days.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.baselines.category_shares import CategoryShares
from intently.contract import TRUTH, Examples, Past, Ranking, pooled
from intently.evaluate.compare import compare
from intently.log import schema
from intently.log.log import Log
from intently.ship.bundle import load
from intently.tasks import BUILT_IN
from intently.tasks.next_item import TASK

RESULTS = Path(__file__).parent / "results"
VISITORS = 2_000


def main() -> None:
    bundle, data = (sys.argv[1:] + ["out/demo/bundle", "out/demo/data"][len(sys.argv) - 1 :])[:2]
    if not Path(bundle).is_dir():
        print(f"{bundle} is not there: run `make demo` first.")
        return
    trained, log = load(bundle, BUILT_IN), Log.read(data)
    cutoffs = [trained.until + timedelta(days=7 * week) for week in range(5)]
    found = {"cold_items": cold(trained, log, cutoffs), "anonymous": anonymous(trained, log, cutoffs)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "cold_and_anonymous.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(found, indent=1))


def cold(trained, log: Log, cutoffs) -> dict:
    """Recall@100 among the items not sold before."""
    task = replace(TASK, answer=Ranking(of=schema.ITEM, unseen=True))
    parts, scores = [], {"reader": [], "category_shares": []}
    candidates = []
    opponent = CategoryShares().learn(log.before(trained.until), log.items)
    for at in cutoffs:
        sold = log.before(at).events[schema.ITEM].drop_nulls().unique()
        candidates.append(len(log.items) - len(sold.filter(sold.is_in(log.items[schema.ITEM].implode()))))
        examples = task.examples(log, [at])
        new = pl.col(TRUTH).list.eval(pl.element().filter(~pl.element().is_in(sold.implode())))
        frame = examples.frame.with_columns(new).filter(pl.col(TRUTH).list.len() > 0)
        examples = replace(examples, frame=frame)
        parts.append(examples)
        past = Past(log.before(at), examples.hide())
        for name in scores:
            predictor = opponent if name == opponent.name else trained.predictors[TASK.name][name]
            scores[name].append(predictor.predict(examples.hide(), past))
    return {"candidates": candidates} | report(task, parts, scores, "recall_at_100", ("reader", "category_shares"))


def anonymous(trained, log: Log, cutoffs) -> dict:
    """NDCG@10 for visitors of whom three events are known."""
    rng = np.random.default_rng(0)
    served = trained.served[TASK.name]
    parts, scores = [], {name: [] for name in (served, "reader", "popularity")}
    each = VISITORS // len(cutoffs)
    for at in cutoffs:
        asked = TASK.examples(log, [at]).frame
        before = log.before(at).events.filter(pl.col(schema.TYPE) == schema.BUY)
        last = before.join(asked.select(schema.USER), on=schema.USER, how="semi")
        last = last.filter(pl.col(schema.TIME) == pl.col(schema.TIME).max().over(schema.USER))
        last = last.filter(pl.len().over(schema.USER) >= 3)
        last = last.filter(pl.int_range(pl.len()).shuffle(seed=int(rng.integers(1 << 30))).over(schema.USER) < 3)
        users = last[schema.USER].unique().sort().to_numpy()
        chosen = np.sort(rng.choice(users, min(each, len(users)), replace=False))
        kept = last.filter(pl.col(schema.USER).is_in(chosen))
        session = pl.concat_str(pl.lit("visit-"), pl.col(schema.USER).cast(pl.String))
        visits = kept.with_columns(session.alias(schema.SESSION), pl.lit(None, dtype=pl.String).alias(schema.USER))
        visit_log = Log.of(visits, log.items, observed_from=log.observed_from, observed_until=at)
        frame = asked.filter(pl.col(schema.USER).is_in(chosen)).with_columns(session.alias(schema.USER))
        examples = Examples(TASK, frame)
        parts.append(examples)
        past = Past(visit_log, examples.hide())
        for name in scores:
            scores[name].append(trained.predictors[TASK.name][name].predict(examples.hide(), past))
    return report(TASK, parts, scores, "ndcg_at_10", (served, "popularity"))


def report(task, parts, scores, metric: str, pair: tuple[str, str]) -> dict:
    joined = {
        name: replace(
            found[0],
            values=np.concatenate([one.values for one in found]),
            ids=np.concatenate([one.ids for one in found]),
        )
        for name, found in scores.items()
    }
    examples = pooled(parts)
    told = compare(task, examples, joined, names=(metric,), rng=np.random.default_rng(0))
    values = {name: vars_of(told.score(name, task.name)) for name in joined}
    return {"examples": len(examples), "metric": metric, "scores": values} | {
        "difference": {"of": pair, **vars_of(told.difference(*pair, task.name))}
    }


def vars_of(interval) -> dict:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


if __name__ == "__main__":
    main()
