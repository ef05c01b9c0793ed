"""Training against what will be judged: attacks on word vectors (FGM, PGD) and typos, banking77 with ten labels each.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/robustness.py [--dev] [--intents N] [--passes N]

So many intents by lot and ten texts of each teach the packaged model, all of it trained: as it is, against each
attack, and with a mistyped copy of every text. All are judged on the official test texts of these intents, as they are
and under each change: mean loss in nats, and accuracy. Differences are paired by text, with 95 % intervals of a
bootstrap of texts. --dev judges on other training texts and writes nothing.
Figures go to bench/results/robustness.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from labelled_texts import asked, nothing, question
from torch import Tensor
from torch.nn import functional

from intently.contract import Examples, Past, Task
from intently.learn.adversarial import Attack
from intently.learn.augment import Augment, perturbed, typos
from intently.learn.objective import Objective, head_loss
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_network import TextNetwork, padded
from intently.learn.text_reader import TextReader
from intently.learn.text_truth import values_of
from intently.text.story import Story, Teller

RESULTS = Path(__file__).parent / "results" / "robustness.json"
LABELS_EACH = 10
ATTACKS = {"fgm": Attack(0.5), "pgd": Attack(0.5, steps=2, stride=0.7)}
TYPOS = typos(0.1)
# What is trained against what; each is judged under its own change, and plain training under all.
READERS: dict[str, dict[str, object]] = {
    "plain": {},
    "fgm": {"objective": Objective(attack=ATTACKS["fgm"])},
    "pgd": {"objective": Objective(attack=ATTACKS["pgd"])},
    "typos": {"augment": Augment((TYPOS,), copies=1)},
}


def chances(network: TextNetwork, batch: dict[str, Tensor]) -> Tensor:
    """Log chances of the labels, (batch, labels)."""
    return functional.log_softmax(network.head.out(network.states(batch["input_ids"], batch["attention_mask"])), dim=1)


def judged(reader: TextReader, stories: list[Story], values: np.ndarray, attack: Attack | None) -> np.ndarray:
    """The loss of each text and whether it is answered right, (2, texts), where vectors are moved or not."""
    network = reader.network.eval()
    told = reader.encoded_stories(stories)
    found = np.empty((2, len(told)))
    order = np.argsort([len(one.ids) for one in told], kind="stable")
    for start in range(0, len(order), 50):
        rows = order[start : start + 50]
        texts = [{"input_ids": told[row].ids, "labels": float(values[row])} for row in rows]
        batch = padded(texts, reader.network_tokenizer.pad_token_id)
        moved = None if attack is None else attack.worst(head_loss, network, batch)
        with torch.no_grad():
            said = chances(network, batch) if moved is None else attack.loss_at(moved, chances, network, batch)
        label = batch["labels"].long()
        found[0, rows] = -said.gather(1, label[:, None])[:, 0].numpy()
        found[1, rows] = (said.argmax(1) == label).numpy()
    return found


def apart(a: np.ndarray, b: np.ndarray, of: Callable[[np.ndarray, np.ndarray], float]) -> list[float]:
    """A figure of two means, paired by text, with its interval."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(a), size=(1_000, len(a)))
    drawn = [of(a[row].mean(), b[row].mean()) for row in rows]
    return [round(float(value), 4) for value in (of(a.mean(), b.mean()), *np.quantile(drawn, [0.025, 0.975]))]


def texts(chosen: argparse.Namespace) -> tuple[Task, Examples, Examples]:
    """The question, what teaches and what judges."""
    data = os.environ.get("INTENTLY_DATA")
    if data is None:
        sys.exit("skipped: INTENTLY_DATA does not name the folder with banking77_train.csv")
    train, test = (pl.read_csv(Path(data) / f"banking77_{part}.csv") for part in ("train", "test"))
    seed = 1 if chosen.dev else 0
    labels = np.random.default_rng(seed).permutation(sorted(train["category"].unique()))[: chosen.intents]
    mine = pl.col("category").is_in(labels.tolist())
    shuffled = train.filter(mine).sample(fraction=1.0, shuffle=True, seed=seed).with_row_index("row")
    some = shuffled.group_by("category", maintain_order=True).head(LABELS_EACH)
    rest = shuffled.join(some, on="row", how="anti").group_by("category", maintain_order=True).head(20)
    judges = rest if chosen.dev else test.filter(mine)
    task = question(tuple(sorted(labels.tolist())))
    return task, asked(task, some["text"], some["category"]), asked(task, judges["text"], judges["category"])


def main(chosen: argparse.Namespace) -> None:
    """Train each reader, judge plain training under every change and each other under its own."""
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    torch.set_num_threads(1)
    _, examples, later = texts(chosen)
    stories, values = Teller(last=0).tell(later.hide(), Past(nothing(), later.hide())), values_of(later)
    mistyped = perturbed(stories, TYPOS, seed=1)
    recipe = TextRecipe(epochs=chosen.passes, fewest_steps=0, max_tokens=48, held_out=0.0, batch_size=16)
    found: dict[tuple[str, str], np.ndarray] = {}
    seconds = {}
    for name, settings in READERS.items():
        start = time.process_time()
        made = TextReader(method="full", recipe=recipe, teller=Teller(last=0), **settings)
        reader = made.fit(examples, Past(nothing(), examples))
        seconds[name] = round(time.process_time() - start)
        found[name, "as it is"] = judged(reader, stories, values, None)
        for attack in ATTACKS.keys() & ({name} if name != "plain" else ATTACKS.keys()):
            found[name, attack] = judged(reader, stories, values, ATTACKS[attack])
        if name in ("plain", "typos"):
            found[name, "typos"] = judged(reader, mistyped, values, None)
        mine = {change: both.mean(1).round(4).tolist() for (who, change), both in found.items() if who == name}
        print(name, seconds[name], mine, flush=True)
    rows = {}
    for name in ("fgm", "pgd", "typos"):
        (loss, right), (plain_loss, plain_right) = found[name, name], found["plain", name]
        clean, plain_clean = found[name, "as it is"], found["plain", "as it is"]
        rows[name] = {
            "loss_under_it": [round(float(loss.mean()), 4), round(float(plain_loss.mean()), 4)],
            "loss_under_it_lower_by": apart(loss, plain_loss, lambda mine, plain: 1 - mine / plain),
            "accuracy_under_it_more": apart(right, plain_right, lambda mine, plain: mine - plain),
            "accuracy_as_it_is": [round(float(clean[1].mean()), 4), round(float(plain_clean[1].mean()), 4)],
            "accuracy_as_it_is_more": apart(clean[1], plain_clean[1], lambda mine, plain: mine - plain),
            "loss_as_it_is_lower_by": apart(clean[0], plain_clean[0], lambda mine, plain: 1 - mine / plain),
        }
    told = {
        "command": "python " + " ".join(["bench/robustness.py", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "texts": {"taught": len(examples), "judged": len(later), "intents": chosen.intents},
        "cpu_seconds": seconds | {"all": round(resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin)},
        "against_plain": rows,
    }
    print(json.dumps(told))
    if not chosen.dev:
        RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--dev", action="store_true")
    options.add_argument("--intents", type=int, default=8)
    options.add_argument("--passes", type=int, default=8)
    main(options.parse_args())
