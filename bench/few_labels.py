"""Which labels are worth buying, and what unlabelled texts add: banking77, and Chinese shopping reviews.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/few_labels.py [--on banking77|reviews] [seeds]

From some random labels on, as many more at a time: by lot, or those that `learn.active.choose` asks for; and from the
random labels, pseudo-labels on the rest of the training texts. A head is trained to its optimum each time, on vectors
of a language model that is left as it is: on banking77 the packaged one (official split), on the reviews one that was
made here by guessing words of the training reviews (the split of bench/chinese_reviews.py).
Rows are appended to bench/results/few_labels.jsonl; without seeds, the table of what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from chinese_reviews import PLANS
from labelled_texts import question

from intently.learn.active import choose
from intently.learn.batches import Truths
from intently.learn.heads import OneOfHead
from intently.learn.pretrain import pretrain
from intently.learn.pseudo_label import Pseudo, confident
from intently.learn.text_finetune import TextRecipe, fit_head
from intently.learn.text_network import TextNetwork
from intently.text.language_model import embed

RESULTS = Path(__file__).parent / "results" / "few_labels.jsonl"
STEPS = 4


@dataclass(frozen=True)
class Shop:
    """Vectors and label numbers of what may be labelled (pool, truth) and of what judges (judge, goal)."""

    labels: tuple[str, ...]
    pool: torch.Tensor
    truth: np.ndarray
    judge: torch.Tensor
    goal: np.ndarray
    step: int
    plan: Pseudo


def shop(name: str, data: Path) -> Shop:
    """The texts of this name, read by a language model."""
    if name == "banking77":
        train, test = (pl.read_csv(data / f"banking77_{part}.csv") for part in ("train", "test"))
        return read(train["text"], train["category"], test["text"], test["category"], 231, Pseudo(2, 0.5, 1.5), {})
    reviews = pl.read_parquet(data / "online_shopping_10_cats.parquet").drop_nulls("review")
    reviews = reviews.unique("review", keep="first", maintain_order=True).with_row_index("row")
    test = reviews.sample(fraction=0.2, shuffle=True, seed=0)
    train = reviews.join(test.select("row"), on="row", how="anti")
    with tempfile.TemporaryDirectory() as folder:
        pretrain(train["review"].to_list(), Path(folder) / "model", PLANS["fast"][0])
        columns = (one.cast(pl.String) for one in (train["review"], train["label"], test["review"], test["label"]))
        return read(*columns, 50, Pseudo(2, 0.9, 1.5), {"model": f"{folder}/model", "cache": Path(folder)})


def read(
    texts: pl.Series, said: pl.Series, others: pl.Series, wanted: pl.Series, step: int, plan: Pseudo, model: dict
) -> Shop:
    """Vectors of length one, made as long as a head expects them."""
    labels = tuple(sorted(said.unique()))
    pool, judge = (torch.from_numpy(embed(part.to_list(), **model)) for part in (texts, others))
    truth, goal = (np.array([labels.index(one) for one in part]) for part in (said, wanted))
    long = pool.shape[1] ** 0.5
    return Shop(labels, pool * long, truth.astype(np.float32), judge * long, goal, step, plan)


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


def run(seed: int, of: Shop) -> list[dict[str, object]]:
    """Accuracy at each number of labels, by each way to choose them."""
    labels, pool, truth = of.labels, of.pool, of.truth

    def right(network: TextNetwork) -> float:
        return float((chances(network, of.judge).argmax(1) == of.goal).mean())

    by_lot = np.random.default_rng(seed).permutation(len(pool))
    asked = by_lot[: of.step]
    rows = []
    for step in range(1, STEPS + 1):
        count = of.step * step
        lot = by_lot[:count]
        plain = fitted(pool[lot], truth[lot], labels)
        active = fitted(pool[asked], truth[asked], labels)
        rest = by_lot[count:]
        taught = plain
        for _ in range(of.plan.rounds):
            sure, guess = confident(chances(taught, pool[rest]), of.plan)
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
        left = np.setdiff1d(np.arange(len(pool)), asked)
        more = choose(chances(active, pool[left]), pool[left].numpy(), of.step, known=pool[asked].numpy())
        asked = np.concatenate([asked, left[more]])
    return rows


def table() -> pl.DataFrame:
    """Mean accuracy, and the mean gain over random labels with its 95 % interval over seeds (Student's t)."""
    from scipy.stats import t

    rows = [{"on": "banking77"} | json.loads(line) for line in RESULTS.read_text().splitlines()]
    found = pl.DataFrame(rows, infer_schema_length=None)
    parts = []
    for name in ("active", "pseudo"):
        gain = found.with_columns((pl.col(name) - pl.col("random")).alias("gain"))
        seeds = found.group_by("on", "labels").len()["len"].min()
        half = pl.col("gain").std() / seeds**0.5 * t.ppf(0.975, seeds - 1)
        columns = (pl.col("random").mean(), pl.col(name).mean().alias("accuracy"), pl.col("gain").mean())
        parts.append(gain.group_by("on", "labels").agg(pl.lit(name).alias("way"), *columns, half.alias("half_width")))
    return pl.concat(parts).sort("on", "way", "labels")


def main() -> None:
    """Run the seeds, or show what has been run."""
    asked = argparse.ArgumentParser()
    asked.add_argument("seeds", type=int, nargs="*")
    asked.add_argument("--on", choices=["banking77", "reviews"], default="banking77")
    given = asked.parse_args()
    data = os.environ.get("INTENTLY_DATA")
    if data is None:
        sys.exit("skipped: INTENTLY_DATA does not name the folder with banking77_train.csv")
    torch.set_num_threads(1)
    about = {
        "on": given.on,
        "command": " ".join(["python bench/few_labels.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    }
    texts = shop(given.on, Path(data)) if given.seeds else None
    for seed in given.seeds:
        rows = run(seed, texts)
        with RESULTS.open("a") as file:
            file.writelines(json.dumps(row | about) + "\n" for row in rows)
    if not given.seeds:
        with pl.Config(tbl_rows=20):
            print(table())


if __name__ == "__main__":
    main()
