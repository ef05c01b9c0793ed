"""Which labels are worth buying, and what unlabelled texts add: banking77, the packaged model left as it is.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/few_labels.py [seeds]

From 231 random labels on, 231 more at a time: by lot, or those that `learn.active.choose` asks for; and from the random
labels, pseudo-labels on the rest of the training texts. A head is trained to its optimum each time and judged on the
official test split. Rows are appended to bench/results/few_labels.jsonl; without seeds, the table of what is there.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from labelled_texts import question

from intently.learn.active import choose
from intently.learn.batches import Truths
from intently.learn.heads import OneOfHead
from intently.learn.pseudo_label import Pseudo, confident
from intently.learn.text_finetune import TextRecipe, fit_head
from intently.learn.text_network import TextNetwork
from intently.text.language_model import embed

RESULTS = Path(__file__).parent / "results" / "few_labels.jsonl"
STEP, STEPS = 231, 4
PLAN = Pseudo(rounds=2, least=0.5, most=1.5)


def fitted(states: torch.Tensor, label: np.ndarray, labels: tuple[str, ...]) -> TextNetwork:
    """A head trained to its optimum on these states."""
    torch.manual_seed(0)
    head = OneOfHead(states.shape[1], Truths(question(labels), np.zeros(0, dtype=np.int64), label), len(labels))
    network = TextNetwork(torch.nn.Identity(), head)
    fit_head(network, states, label, TextRecipe())
    return network


def chances(network: TextNetwork, states: torch.Tensor) -> np.ndarray:
    """What the head answers."""
    with torch.no_grad():
        return network.answer(states).numpy()


def run(seed: int, data: Path) -> list[dict[str, object]]:
    """Accuracy at each number of labels, by each way to choose them."""
    train, test = (pl.read_csv(data / f"banking77_{part}.csv") for part in ("train", "test"))
    labels = tuple(sorted(train["category"].unique()))
    truth = np.array([labels.index(one) for one in train["category"]], dtype=np.float32)
    goal = np.array([labels.index(one) for one in test["category"]])
    pool, judge = (
        torch.from_numpy(embed(part["text"].to_list())) * embed(["a"]).shape[1] ** 0.5 for part in (train, test)
    )

    def right(network: TextNetwork) -> float:
        return float((chances(network, judge).argmax(1) == goal).mean())

    by_lot = np.random.default_rng(seed).permutation(len(train))
    asked = by_lot[:STEP]
    rows = []
    for step in range(1, STEPS + 1):
        count = STEP * step
        lot = by_lot[:count]
        plain = fitted(pool[lot], truth[lot], labels)
        active = fitted(pool[asked], truth[asked], labels)
        rest = by_lot[count:]
        taught = plain
        for _ in range(PLAN.rounds):
            sure, guess = confident(chances(taught, pool[rest]), PLAN)
            both = np.concatenate([truth[lot], guess.astype(np.float32)])
            taught = fitted(torch.cat([pool[lot], pool[rest[sure]]]), both, labels)
        rows.append(
            {
                "seed": seed,
                "labels": count,
                "random": right(plain),
                "active": right(active),
                "pseudo": right(taught),
                "pseudo_labels": len(sure),
                "pseudo_right": float((truth[rest[sure]] == guess).mean()) if len(sure) else None,
            }
        )
        print(rows[-1], flush=True)
        left = np.setdiff1d(np.arange(len(train)), asked)
        more = choose(chances(active, pool[left]), pool[left].numpy(), STEP, known=pool[asked].numpy())
        asked = np.concatenate([asked, left[more]])
    return rows


def table() -> pl.DataFrame:
    """Mean accuracy, and the mean gain over random labels with its 95 % interval over seeds (Student's t)."""
    from scipy.stats import t

    found = pl.DataFrame([json.loads(line) for line in RESULTS.read_text().splitlines()])
    seeds = found["seed"].n_unique()
    parts = []
    for name in ("active", "pseudo"):
        gain = found.with_columns((pl.col(name) - pl.col("random")).alias("gain"))
        half = pl.col("gain").std() / seeds**0.5 * t.ppf(0.975, seeds - 1)
        columns = (pl.col("random").mean(), pl.col(name).mean().alias("accuracy"), pl.col("gain").mean())
        parts.append(gain.group_by("labels").agg(pl.lit(name).alias("way"), *columns, half.alias("half_width")))
    return pl.concat(parts).sort("way", "labels")


def main(seeds: list[int]) -> None:
    """Run the seeds, or show what has been run."""
    data = os.environ.get("INTENTLY_DATA")
    if data is None:
        sys.exit("skipped: INTENTLY_DATA does not name the folder with banking77_train.csv")
    torch.set_num_threads(1)
    about = {
        "command": "python " + " ".join(["bench/few_labels.py", *map(str, seeds)]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    for seed in seeds:
        rows = run(seed, Path(data))
        with RESULTS.open("a") as file:
            file.writelines(json.dumps(row | about) + "\n" for row in rows)
    if not seeds:
        with pl.Config(tbl_rows=20):
            print(table())


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
