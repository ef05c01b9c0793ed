"""Does the language model earn its place? Random vectors, its vectors as they are, whitened, and tuned by LoRA.

    .venv/bin/python bench/language_model.py [DATA]

One sequence reader each on `next_item` alone, trained on windows that end by 2017-07-30 and judged at
2017-10-08 (a validation cut-off): NDCG@10 over the whole catalogue, and recall@100 among items that nobody
had bought before, with 95 % intervals, households resampled whole.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import TRUTH, Past, Ranking, weekly
from intently.evaluate.compare import compare
from intently.learn.reader import SequenceReader
from intently.learn.recipe import Recipe
from intently.learn.texts import Text
from intently.log import complete_journey, schema
from intently.log.log import Log
from intently.tasks.next_item import TASK
from intently.text.language_model import embed
from intently.text.verbalise import item_texts

RESULTS = Path(__file__).parent / "results"
UNTIL, AT = datetime(2017, 7, 30, tzinfo=UTC), [datetime(2017, 9, 24, tzinfo=UTC), datetime(2017, 10, 8, tzinfo=UTC)]
RECIPE = Recipe(pretrain_epochs=1, epochs=3, threads=1)


def main() -> None:
    log = (Log.read(sys.argv[1]) if len(sys.argv) > 1 else complete_journey.read()).before(AT[-1] + timedelta(days=7))
    known = log.before(UNTIL)
    examples = TASK.examples(known, weekly(known.observed_from + timedelta(weeks=4), UNTIL - timedelta(weeks=1))[::-2])
    train = {TASK.name: (examples, Past(known, examples))}
    later = TASK.examples(log.before(UNTIL + timedelta(weeks=1)), [UNTIL])
    held_out = {TASK.name: (later, Past(log, later))}
    texts, _ = item_texts(train[TASK.name][1].items)
    frozen = embed(texts)
    width = frozen.shape[1]
    as_is = Text(mean=np.zeros(width, np.float32), whiten=np.eye(width, dtype=np.float32) * np.float32(width**0.5))
    drawn = np.random.default_rng(0).normal(size=frozen.shape).astype(np.float32)
    ways = {
        "random": (Text(), drawn),
        "frozen": (as_is, frozen),
        "whitened": (Text(), frozen),
        "lora": (Text(adapt="lora"), None),
    }
    readers, costs = {}, {}
    for name, (text, vectors) in ways.items():
        wall, cpu = time.perf_counter(), time.process_time()
        readers[name] = SequenceReader((TASK,), RECIPE, text, name=name).fit(train, held_out, vectors=vectors)
        costs[name] = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        print(name, costs[name], readers[name].curve["finetune"], flush=True)
    made = {
        "command": "python bench/language_model.py",
        "date": datetime.fromtimestamp(time.time(), UTC).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    found = made | {"overall": judged(readers, log, False), "cold": judged(readers, log, True), "costs": costs}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "language_model.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def judged(readers, log: Log, cold: bool) -> dict:
    """Each way's score, and its difference from random vectors."""
    task = replace(TASK, answer=Ranking(of=schema.ITEM, unseen=True)) if cold else TASK
    metric = "recall_at_100" if cold else "ndcg_at_10"
    examples = task.examples(log, AT)
    if cold:
        for at in AT:
            sold = log.before(at).events[schema.ITEM].drop_nulls().unique()
            new = pl.col(TRUTH).list.eval(pl.element().filter(~pl.element().is_in(sold.implode())))
            frame = examples.frame.with_columns(pl.when(pl.col("at") == at).then(new).otherwise(TRUTH).alias(TRUTH))
            examples = replace(examples, frame=frame)
        examples = examples.where(pl.col(TRUTH).list.len() > 0)
    past = Past(log, examples.hide())
    scores = {name: reader.predict(examples.hide(), past) for name, reader in readers.items()}
    told = compare(task, examples, scores, names=(metric,), rng=np.random.default_rng(0))
    return {
        name: {
            "score": vars(told.score(name, task.name)),
            "over_random": None if name == "random" else vars(told.difference(name, "random", task.name)),
        }
        for name in readers
    } | {"metric": metric, "examples": len(examples)}


if __name__ == "__main__":
    main()
