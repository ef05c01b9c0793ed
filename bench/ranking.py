"""How long the best hundred of a catalogue take, exactly and by an index, and how much of them the index finds.

    .venv/bin/python bench/ranking.py [--items 1000000] [--threads 2]
    INTENTLY_DATA=... .venv/bin/python bench/ranking.py --vectors learned

Drawn items lie in groups of very unequal size, of which a customer's query leans to a few, with a level of their own.
Learned ones are those of the sequence reader on Amazon Beauty (12,101 items, two epochs or as many as told), each
many times over and moved a little; queries are its customers'. The exact ranking is compared with
every score sorted in double precision, for some queries. Appends a line to bench/results/ranking.jsonl. Wall times mean
something on a machine that does nothing else; CPU times, of all threads together, also on a busy one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WIDTH, K, QUERIES, CHECKED = 64, 100, 512, 8


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    told.add_argument("--threads", type=int, default=2)
    told.add_argument("--vectors", choices=["drawn", "learned"], default="drawn")
    told.add_argument("--epochs", type=int, default=2, help="What the reader of learned vectors is trained for.")
    asked = told.parse_args()
    folder = os.environ.get("INTENTLY_DATA")
    if asked.vectors == "learned" and not (folder and (Path(folder) / "amazon_beauty_5core.txt").is_file()):
        print("INTENTLY_DATA does not say where amazon_beauty_5core.txt lies: nothing is run.")
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if os.environ.get(name) != str(asked.threads):
            # Libraries read this once, when they are loaded.
            os.environ.update({"OMP_NUM_THREADS": str(asked.threads), "OPENBLAS_NUM_THREADS": str(asked.threads)})
            os.execv(sys.executable, [sys.executable, *sys.argv])
    make = drawn if asked.vectors == "drawn" else learned(Path(folder or "") / "amazon_beauty_5core.txt", asked)
    found = {
        "date": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "command": "bench/ranking.py " + " ".join(sys.argv[1:]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {asked.threads} threads used",
        "vectors": asked.vectors,
        "width": WIDTH,
        "k": K,
        "sizes": [of_size(items, make) for items in asked.items],
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "ranking.jsonl").open("a") as file:
        file.write(json.dumps(found) + "\n")
    print(json.dumps(found, indent=1))


def of_size(items: int, make) -> dict:
    import numpy as np

    from intently.ranking.index import Index
    from intently.ranking.top import Catalogue

    vectors, bias, queries = make(items)
    catalogue = Catalogue(vectors, bias)
    exact, _ = catalogue.top(queries, K)
    scores = queries[:CHECKED].astype(np.float64) @ vectors.T.astype(np.float64) + bias
    sorted_by_score = np.argsort(-scores, axis=1, kind="stable")[:, :K]
    found = {
        "items": items,
        "exact": {
            "identical_to_sorting_in_double_precision": bool((exact[:CHECKED] == sorted_by_score).all()),
            **times(catalogue.top, queries),
        },
    }
    begun = time.perf_counter()
    index = Index.of(catalogue)
    found["index"] = {"lists": index.lists, "building_seconds": time.perf_counter() - begun, "curve": []}
    for probes in (1, 2, 4, 8, 16, 32, 64, 96, 128):
        code, _ = index.top(queries, K, probes)
        recall = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(code, exact, strict=True)])
        spent = times(lambda some, k, probes=probes: index.top(some, k, probes), queries)
        found["index"]["curve"].append({"probes": probes, "recall_at_100": float(recall), **spent})
        print(items, probes, recall, spent, found["exact"], flush=True)
    return found


def drawn(items: int):
    """Vectors (items, WIDTH), levels (items,) and queries."""
    import numpy as np

    rng = np.random.default_rng(0)
    groups = max(50, int(items**0.5))
    centres = rng.standard_normal((groups, WIDTH), dtype=np.float32)
    share = 1 / np.arange(1, groups + 1) ** 0.8
    group = rng.choice(groups, items, p=share / share.sum())
    vectors = 0.8 * centres[group] + 0.6 * rng.standard_normal((items, WIDTH), dtype=np.float32)
    leaning = rng.choice(groups, (QUERIES, 3), p=share / share.sum())
    queries = centres[leaning].mean(axis=1) + 0.3 * rng.standard_normal((QUERIES, WIDTH), dtype=np.float32)
    return vectors.astype(np.float32), rng.standard_normal(items).astype(np.float32), queries.astype(np.float32)


def learned(file: Path, asked: argparse.Namespace):
    """As `drawn`: the reader's items, each many times over and moved half as far as its nearest neighbour is."""
    from dataclasses import replace

    import beauty
    import numpy as np

    from intently.learn.presets import ORDER_PRESETS

    orders, about = beauty.read(file)
    train = orders.without_last(2)
    preset = ORDER_PRESETS["best"]
    recipe = replace(preset.recipe, pretrain_epochs=asked.epochs, threads=asked.threads)
    shape = {**preset.shape, "width": WIDTH, "item_width": WIDTH}
    fitted = replace(preset, recipe=recipe, shape=shape).fit(train.sequences, beauty.ITEMS, about=about)
    item, level = fitted.items()
    rng = np.random.default_rng(0)
    queries = fitted.queries(orders.without_last(1).take(rng.choice(len(orders), QUERIES, replace=False)).sequences)
    product = item @ item.T
    np.fill_diagonal(product, -1)
    apart = np.sqrt(np.maximum(2 - 2 * product.max(axis=1), 0))  # Items are of length 1.

    def make(items: int):
        which = np.arange(items) % len(item)
        moved = rng.standard_normal((items, WIDTH), dtype=np.float32) * (0.5 * apart[which, None] / WIDTH**0.5)
        vectors = item[which] + moved
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32), level[which].astype(np.float32), queries

    return make


def times(top, queries, runs: int = 31) -> dict[str, float]:
    """Milliseconds a customer, of the wall and of all processors, alone and in batches of 64: the median of `runs`."""
    import numpy as np

    spent = {}
    for name, size in (("single", 1), ("batch_of_64", 64)):
        wall, cpu = [], []
        for run in range(runs):
            part = queries[run * size % (QUERIES - size) :][:size]
            begun, begun_cpu = time.perf_counter(), time.process_time()
            top(part, K)
            cpu.append(1000 * (time.process_time() - begun_cpu) / size)
            wall.append(1000 * (time.perf_counter() - begun) / size)
        spent[f"{name}_ms_a_customer"] = float(np.median(wall))
        spent[f"{name}_cpu_ms_a_customer"] = float(np.median(cpu))
    return spent


if __name__ == "__main__":
    main()
