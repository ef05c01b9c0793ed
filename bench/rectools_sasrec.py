"""RecTools' SASRec on Amazon Beauty; run by bench/beauty.py in a virtual environment of its own.

    python bench/rectools_sasrec.py DATA FOLDER --epochs 1 [--factors 64] [--threads 2]

Trains on everything but each customer's last two items, one epoch after another, and after each ranks the whole
catalogue for the validation item, what was seen left out. FOLDER keeps the model and the curve: run again to go on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel, load_model

# A saved model that has had more epochs than it was made for cannot be loaded; `fit_partial` says how many it gets.
MORE_THAN_ENOUGH = 10_000


def main() -> None:
    told = argparse.ArgumentParser()
    told.add_argument("data", type=Path)
    told.add_argument("folder", type=Path)
    told.add_argument("--epochs", type=int, default=1)
    told.add_argument("--factors", type=int, default=64)
    told.add_argument("--threads", type=int, default=2)
    asked = told.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    histories = [[int(one) for one in line.split()[1:]] for line in asked.data.read_text().splitlines()]
    asked.folder.mkdir(parents=True, exist_ok=True)
    curve_file, model_file = asked.folder / "curve.json", asked.folder / "model"
    curve = json.loads(curve_file.read_text()) if curve_file.is_file() and model_file.is_file() else []
    dataset = Dataset.construct(table(histories, 2))
    model = (
        load_model(model_file)
        if curve
        else SASRecModel(
            n_factors=asked.factors, n_blocks=2, n_heads=1, dropout_rate=0.2, session_max_len=50, batch_size=128,
            loss="sampled_softmax", n_negatives=256, lr=1e-3, epochs=MORE_THAN_ENOUGH, verbose=0,
        )
    )  # fmt: skip
    while len(curve) < asked.epochs:
        wall, cpu = time.perf_counter(), time.process_time()
        model.fit_partial(dataset, min_epochs=1, max_epochs=1)
        spent = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        curve.append({"epoch": len(curve) + 1, **spent, **judged(model, dataset, histories)})
        model.save(model_file)
        curve_file.write_text(json.dumps(curve, indent=1))
    print(json.dumps(curve))


def table(histories: list[list[int]], leave: int) -> pd.DataFrame:
    rows = [(user, item, place) for user, one in enumerate(histories) for place, item in enumerate(one[:-leave])]
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "place"])
    frame[Columns.Weight] = 1.0
    frame[Columns.Datetime] = pd.Timestamp("2014-01-01") + pd.to_timedelta(frame.pop("place"), unit="D")
    return frame


def judged(model: SASRecModel, dataset: Dataset, histories: list[list[int]]) -> dict[str, float]:
    """NDCG@10 and Recall@10 of the validation item."""
    begun = time.perf_counter()
    users = np.arange(len(histories))
    found = model.recommend(users, dataset, k=10, filter_viewed=True)
    wanted = found[Columns.User].map(dict(enumerate(one[-2] for one in histories)))
    hits = found[found[Columns.Item] == wanted]
    gain = (1 / np.log2(hits[Columns.Rank] + 1)).sum()
    return {
        "ndcg_at_10": float(gain / len(histories)),
        "recall_at_10": len(hits) / len(histories),
        "judging_seconds": time.perf_counter() - begun,
    }


if __name__ == "__main__":
    main()
