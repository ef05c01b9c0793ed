"""What comes next on Amazon Beauty (5-core, 2014): the sequence reader of `learn` on ids and attributes, and opponents.

    INTENTLY_DATA=... .venv/bin/python bench/beauty.py ours [--seeds 0 1 2] [--without-attributes] [--preset best]
    INTENTLY_DATA=... .venv/bin/python bench/beauty.py simple
    INTENTLY_DATA=... .venv/bin/python bench/beauty.py epoch [--width 64]
    INTENTLY_DATA=... .venv/bin/python bench/beauty.py rectools [--epochs 14] [--width 64]

Leave one out: each customer's last item is the test, the one before it says when to stop and is masked from training
(it is part of the history at the test). Histories are cut to their last 50; the whole catalogue of 12,101 items is
ranked, what the customer met before left out. Every line goes to bench/results/beauty.jsonl.
RecTools gets a virtual environment of its own under the cache folder, made on first use; its curve is kept there,
so that an interrupted run goes on. Beside it stands what `epoch` says of ours, on validation alone, and the ratios:
by the loss over the whole catalogue that `best` has, and by one over sampled items, as `fast` and RecTools have.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy import sparse

from intently.learn.next_item import About, Orders
from intently.learn.presets import ORDER_PRESETS

RESULTS = Path(__file__).parent / "results" / "beauty.jsonl"
ITEMS = 12_101
LONGEST = 50
# What is trained beside RecTools: each so many epochs from nothing, with the schedule of so many.
EPOCHS_BESIDE = (1, 2, 4, 9)
# Of so many items, drawn once a step, an item of a step is told apart; RecTools draws 256 for each place.
NEGATIVES = 1024
# How long RecTools may take for the rank that is then compared.
RECTOOLS_SECONDS = 40 * 60
DISCOUNT = 1 / np.log2(np.arange(2, 12))


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("what", choices=["ours", "simple", "epoch", "rectools"])
    told.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    told.add_argument("--without-attributes", action="store_true")
    told.add_argument("--preset", default="best", choices=list(ORDER_PRESETS))
    told.add_argument("--width", type=int, default=64)
    told.add_argument("--epochs", type=int, default=1)
    told.add_argument("--threads", type=int, default=2)
    told.add_argument("--validation-only", action="store_true", help="Leave the test items unread; write nothing.")
    asked = told.parse_args()
    folder = os.environ.get("INTENTLY_DATA")
    if not folder or not (Path(folder) / "amazon_beauty_5core.txt").is_file():
        print("INTENTLY_DATA does not say where amazon_beauty_5core.txt lies: nothing is run.")
        return
    file = Path(folder) / "amazon_beauty_5core.txt"
    orders, about = read(file)
    match asked.what:
        case "ours":
            for seed in asked.seeds:
                write(ours(orders, None if asked.without_attributes else about, seed, asked), asked)
        case "simple":
            write(simple(orders), asked)
        case "epoch":
            write({"predictor": "reader, ids only", "width": asked.width, "beside": beside(orders, asked)}, asked)
        case "rectools":
            write(rectools(file, orders, asked), asked)


def read(file: Path) -> tuple[Orders, About]:
    """Histories as item codes from 0, and each item's attributes."""
    lines = [[int(one) - 1 for one in line.split()[1:]] for line in file.read_text().splitlines()]
    start = np.cumsum([0, *map(len, lines)])
    known = json.loads(file.with_name("amazon_beauty_5core_item2attributes.json").read_text())
    values = [[value - 1 for value in known.get(str(code + 1), ())] for code in range(ITEMS)]
    attributes = np.array([value for one in values for value in one])
    return Orders(start, np.concatenate(lines)), About(attributes, np.cumsum([0, *map(len, values)]))


def ours(orders: Orders, about: About | None, seed: int, asked: argparse.Namespace) -> dict:
    preset = ORDER_PRESETS[asked.preset]
    reader = replace(preset, recipe=replace(preset.recipe, seed=seed, threads=asked.threads), longest=LONGEST)
    wall, cpu = time.perf_counter(), time.process_time()
    fitted = reader.fit(orders.without_last(2).sequences, ITEMS, orders.without_last(1).sequences, about)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = {
        "predictor": "reader, ids only" if about is None else "reader, ids and attributes",
        "preset": asked.preset,
        "seed": seed,
        "epochs": len(fitted.curve),
        "curve": fitted.curve,
        "training_wall_seconds": wall,
        "training_cpu_seconds": cpu,
        "recipe": asdict(reader.recipe),
        "shape": dict(reader.shape),
        "parameters": sum(weights.numel() for weights in fitted.network.parameters()),
    }
    for name, left in (("validation", 1),) if asked.validation_only else (("validation", 1), ("test", 0)):
        whole = orders.without_last(left)
        begun = time.process_time()
        code, _ = fitted.top(whole.without_last(1).sequences, 10)
        found[name] = judged(code, whole.last) | {"cpu_seconds": time.process_time() - begun}
    return found


def judged(code: np.ndarray, wanted: np.ndarray) -> dict[str, float]:
    """NDCG@10, Recall@10 with the standard error of each over customers, and how much of the catalogue is shown."""
    hit = code == wanted[:, None]
    rows = {"ndcg_at_10": hit @ DISCOUNT, "recall_at_10": hit.any(axis=1).astype(float)}
    found = {name: float(values.mean()) for name, values in rows.items()}
    found |= {f"{name}_error": float(values.std() / len(values) ** 0.5) for name, values in rows.items()}
    shown = np.bincount(code.reshape(-1), minlength=ITEMS)
    return found | {
        "coverage": float((shown > 0).mean()),
        "diversity": float(1 - (shown.astype(float) ** 2).sum() / (len(code) * shown.sum())),
    }


def simple(orders: Orders) -> dict:
    """Popularity, and what followed or came near what the customer met; its settings are chosen on validation."""
    train = orders.without_last(2)
    count = np.bincount(train.item, minlength=ITEMS).astype(np.float64)
    found = {"predictor": "simple", "popularity": {}, "co_visitation": {}}
    tried = {}
    # A sample of customers tells settings apart.
    some = np.random.default_rng(0).choice(len(orders), 4000, replace=False)
    whole = orders.without_last(1).take(np.sort(some))
    for window in (1, 3, 10):
        for power in (0.0, 0.25, 0.5):
            near = co_visits(train, window, count**power)
            for decay in (0.5, 0.8, 1.0):
                code = best(whole.without_last(1), decay, near, count)
                tried[window, power, decay] = judged(code, whole.last)["ndcg_at_10"]
    window, power, decay = max(tried, key=tried.__getitem__)
    near = co_visits(train, window, count**power)
    for name, left in (("validation", 1), ("test", 0)):
        whole = orders.without_last(left)
        past = whole.without_last(1)
        found["popularity"][name] = judged(best(past, 1.0, sparse.csr_matrix((ITEMS, ITEMS)), count), whole.last)
        found["co_visitation"][name] = judged(best(past, decay, near, count), whole.last)
    return found | {"window": window, "power": power, "decay": decay}


def co_visits(train: Orders, window: int, damping: np.ndarray) -> sparse.csr_matrix:
    """How often each item came up to `window` places after each other, nearer ones counting more, over its damping.

    What came before counts half.
    """
    owner = np.repeat(np.arange(len(train)), train.length)
    table = sparse.csr_matrix((ITEMS, ITEMS))
    for gap in range(1, window + 1):
        same = owner[:-gap] == owner[gap:]
        cells = (train.item[:-gap][same], train.item[gap:][same])
        table = table + sparse.csr_matrix((np.full(same.sum(), 1 / gap), cells), shape=(ITEMS, ITEMS))
    table = table + 0.5 * table.T
    return (table @ sparse.diags(1 / np.maximum(damping, 1))).tocsr()


def best(past: Orders, decay: float, near: sparse.csr_matrix, count: np.ndarray) -> np.ndarray:
    """The ten best items of each history: near what was met last, ties by popularity, what was met left out."""
    age = np.repeat(past.start[1:], past.length) - np.arange(len(past.item)) - 1
    owner = np.repeat(np.arange(len(past)), past.length)
    late = age < LONGEST
    seeds = sparse.csr_matrix(
        (decay ** age[late].astype(float), (owner[late], past.item[late])), shape=(len(past), ITEMS)
    )
    code = np.empty((len(past), 10), dtype=np.int64)
    for begin in range(0, len(past), 512):
        stop = min(begin + 512, len(past))
        score = (seeds[begin:stop] @ near).toarray() + 1e-9 * count
        met = slice(past.start[begin], past.start[stop])
        score[owner[met] - begin, past.item[met]] = -1
        top = np.argpartition(-score, 10, axis=1)[:, :10]
        order = np.argsort(-np.take_along_axis(score, top, axis=1), axis=1, kind="stable")
        code[begin:stop] = np.take_along_axis(top, order, axis=1)
    return code


def beside(orders: Orders, asked: argparse.Namespace) -> dict[str, dict]:
    """`one_epoch` by the loss that ours is trained with, and by one as RecTools has: sampled, but shared by a step."""
    return {
        "whole catalogue": one_epoch(orders, asked, 0),
        f"{NEGATIVES:,} shared negatives": one_epoch(orders, asked, NEGATIVES),
    }


def one_epoch(orders: Orders, asked: argparse.Namespace, negatives: int) -> dict:
    """What an epoch costs at RecTools' width and blocks, what trainings of some epochs reach, and what judging costs.

    Nothing of it is tuned.
    """
    preset = ORDER_PRESETS[asked.preset]
    shape = {**preset.shape, "width": asked.width, "item_width": asked.width, "blocks": 2}
    whole = orders.without_last(1)
    reached = []
    for epochs in EPOCHS_BESIDE:
        recipe = replace(preset.recipe, pretrain_epochs=epochs, threads=asked.threads, negatives=negatives)
        wall, cpu = time.perf_counter(), time.process_time()
        fitted = replace(preset, recipe=recipe, shape=shape, longest=LONGEST).fit(
            orders.without_last(2).sequences, ITEMS
        )
        cost = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        wall, cpu = time.perf_counter(), time.process_time()
        code, _ = fitted.top(whole.without_last(1).sequences, 10)
        judging = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        reached.append({"epochs": epochs, **cost, "validation": judged(code, whole.last), "judging": judging})
    # What is done once is in the shortest of them too.
    first, last = reached[0], reached[-1]
    more = last["epochs"] - first["epochs"]
    return {
        "epoch_wall_seconds": (last["wall_seconds"] - first["wall_seconds"]) / more,
        "epoch_cpu_seconds": (last["cpu_seconds"] - first["cpu_seconds"]) / more,
        "reached": reached,
    }


def rectools(file: Path, orders: Orders, asked: argparse.Namespace) -> dict:
    """RecTools' curve as far as told, and what `one_epoch` says of ours beside it."""
    cache = Path(os.environ.get("INTENTLY_CACHE") or Path.home() / ".cache" / "intently") / "rectools"
    made = cache / f"factors_{asked.width}_threads_{asked.threads}"
    ours = beside(orders, asked)
    curve = json.loads((made / "curve.json").read_text()) if (made / "curve.json").is_file() else []
    if len(curve) < asked.epochs:
        python = cache / "venv" / "bin" / "python"
        if not (cache / "ready").is_file():
            subprocess.run([sys.executable, "-m", "venv", str(cache / "venv")], check=True)
            wanted = ["torch==2.13.0", "rectools[torch]==0.19.0"]
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True)
            (cache / "ready").touch()
        script = Path(__file__).with_name("rectools_sasrec.py")
        command = [str(python), "-W", "ignore", str(script), str(file), str(made), "--epochs", str(asked.epochs)]
        command += ["--factors", str(asked.width), "--threads", str(asked.threads)]
        subprocess.run(command, check=True)
        curve = json.loads((made / "curve.json").read_text())
    return {
        "predictor": "RecTools SASRec 0.19, sampled softmax, 256 negatives",
        "width": asked.width,
        "curve": curve,
        "beside": ours,
        "ratios": {
            name: {kind: ratios(curve, one, f"{kind}_seconds") for kind in ("cpu", "wall")}
            for name, one in ours.items()
        },
    }


def ratios(curve: list[dict], ours: dict, seconds: str) -> dict:
    """How many times the seconds of ours RecTools takes: for an epoch, and for the rank that it has in its time.

    Ours is the cheapest training that has this rank (None where there is none), from nothing to its end.
    """
    spent = np.cumsum([one[seconds] for one in curve])
    within = max(1, int((spent <= RECTOOLS_SECONDS).sum()))
    rank = max(one["ndcg_at_10"] for one in curve[:within])
    enough = [one[seconds] for one in ours["reached"] if one["validation"]["ndcg_at_10"] >= rank]
    return {
        "epoch": float(spent[-1] / len(curve) / ours[f"epoch_{seconds}"]),
        "rectools_seconds": float(spent[within - 1]),
        "rectools_ndcg_at_10": rank,
        "our_seconds": min(enough, default=None),
        "to_this_rank": float(spent[within - 1] / min(enough)) if enough else None,
    }


def write(found: dict, asked: argparse.Namespace) -> None:
    line = {
        "date": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "command": "bench/beauty.py " + " ".join(sys.argv[1:]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {asked.threads} threads used",
        **found,
    }
    if not asked.validation_only:
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(line) + "\n")
    print(json.dumps({name: value for name, value in line.items() if name != "recipe"}, indent=1), flush=True)


if __name__ == "__main__":
    main()
