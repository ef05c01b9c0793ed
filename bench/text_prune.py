"""What a text reader without some of its layers and heads costs and loses: banking77, a share of the training split.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/text_prune.py

The packaged model is fine-tuned whole on some training messages; each smaller one is made from it and recovers on the
same messages. Accuracy is that of other training messages, which stand for validation: the test split is not read. Time
is the processor's a message by ONNX, one thread, one at a time and 32 together, the least of three rounds that take
turns. Adds lines to bench/results/text_prune.jsonl.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import torch
from labelled_texts import asked, nothing, question

from intently.contract import Past
from intently.learn.prune import Pruning, pruned
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.ship import text_export
from intently.ship.prune import weight_of
from intently.text.exported_model import session
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "text_prune.jsonl"
TAUGHT, JUDGED, TIMED, ROUNDS = 4_000, 2_000, 128, 3
FORMS = {
    "whole": None,
    "9 of 12 heads": Pruning(heads=9),
    "6 of 12 heads": Pruning(heads=6),
    "5 of 6 layers": Pruning(layers=5),
    "4 of 6 layers": Pruning(layers=4),
    "4 of 6 layers, 8 of 12 heads": Pruning(layers=4, heads=8),
    "3 of 6 layers": Pruning(layers=3),
}


def main() -> None:
    folder = os.environ.get("INTENTLY_DATA")
    if not folder:
        print("skipped: INTENTLY_DATA does not say where banking77_train.csv lies.")
        return
    texts = pl.read_csv(Path(folder) / "banking77_train.csv").sample(fraction=1.0, shuffle=True, seed=0)
    labels = tuple(sorted(texts["category"].unique()))
    task = question(labels)
    parts = [texts[:TAUGHT], texts[TAUGHT : TAUGHT + JUDGED]]
    taught, judged = (asked(task, part["text"], part["category"]) for part in parts)
    past, seen = Past(nothing(), taught), Past(nothing(), judged.hide())
    recipe = TextRecipe(epochs=4, max_tokens=64, held_out=0.0, threads=1)
    torch.set_num_threads(1)
    begun = time.process_time()
    whole = TextReader(method="full", recipe=recipe, teller=Teller(last=0)).fit(taught, past)
    encoded, truth = whole.encoded(judged.hide(), seen), np.array([labels.index(label) for label in judged.truth])
    found, running = {}, {}
    with tempfile.TemporaryDirectory() as where:
        for name, pruning in FORMS.items():
            reader = whole if pruning is None else pruned(whole, taught, past, pruning)
            right = float((reader.read(encoded).argmax(axis=1) == truth).mean())
            file = text_export.export(reader, Path(where) / f"{len(running)}.onnx")
            running[name] = session(file)
            left = None if reader.pruned is None else list(reader.pruned.layers)
            spent = time.process_time() - begun
            found[name] = {"accuracy": right, "bytes": weight_of(reader), "layers": left, "seconds": round(spent, 1)}
            print(name, found[name], flush=True)
            begun = time.process_time()
    for batch in (1, 32):
        for name, ms in timed(running, encoded[:TIMED], batch).items():
            found[name][f"ms_at_{batch}"] = ms
    with RESULTS.open("a") as out:
        for name, told in found.items():
            row = {"form": name, **told, "lost": found["whole"]["accuracy"] - told["accuracy"]}
            row |= {"taught": TAUGHT, "judged": JUDGED, "date": time.strftime("%Y-%m-%d", time.gmtime())}
            row["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, shared; load {os.getloadavg()[0]:.1f}"
            out.write(json.dumps(row) + "\n")
            print(json.dumps(row))


def timed(running, encoded, batch: int) -> dict[str, float]:
    """Milliseconds of processor a message, by form; rounds take turns."""
    best = dict.fromkeys(running, float("inf"))
    for _ in range(ROUNDS):
        for name, one in running.items():
            begun = time.process_time()
            for start in range(0, len(encoded), batch):
                text_export.answer(one, encoded[start : start + batch], batch)
            best[name] = min(best[name], (time.process_time() - begun) / len(encoded) * 1e3)
    return best


if __name__ == "__main__":
    main()
