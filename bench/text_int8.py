"""What a text reader in eight bits costs and saves: banking77, official split, the packaged model and a head.

    INTENTLY_DATA=FOLDER .venv/bin/python bench/text_int8.py

The head is fitted on the training split; accuracy is that of all test messages, by torch, by ONNX and by ONNX in eight
bits. Time is the processor's a message, one thread, at batches of 1 and 32 from short messages and long, the least of
three rounds that take turns. Adds a line to bench/results/text_int8.jsonl.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from labelled_texts import asked, nothing, question

from intently.contract import Past
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.ship import text_export
from intently.ship.onnx_file import in_eight_bits
from intently.text.exported_model import session
from intently.text.story import Teller

RESULTS = Path(__file__).parent / "results" / "text_int8.jsonl"
BATCHES = (1, 32)
TIMED = 320
ROUNDS = 3


def main() -> None:
    folder = os.environ.get("INTENTLY_DATA")
    if not folder:
        print("skipped: INTENTLY_DATA does not say where banking77_train.csv lies.")
        return
    train, test = (pl.read_csv(Path(folder) / f"banking77_{part}.csv") for part in ("train", "test"))
    labels = tuple(sorted(train["category"].unique()))
    task = question(labels)
    examples = asked(task, train["text"], train["category"])
    recipe = TextRecipe(max_tokens=64, held_out=0.0, threads=1)
    reader = TextReader(method="frozen", recipe=recipe, teller=Teller(last=0)).fit(examples, Past(nothing(), examples))
    judged = asked(task, test["text"], test["category"])
    encoded = reader.encoded(judged.hide(), Past(nothing(), judged))
    truth = np.array([labels.index(label) for label in judged.truth])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as where:
        exact = text_export.export(reader, Path(where) / text_export.ONNX)
        whole = in_eight_bits(exact, Path(where) / text_export.WHOLE)
        size = {"onnx": exact.stat().st_size, "int8": whole.stat().st_size}
        running = {name: session(file) for name, file in (("onnx", exact), ("int8", whole))}
    forms: dict[str, Callable[[list], np.ndarray]] = {
        "torch": reader.read,
        "onnx": lambda some: text_export.answer(running["onnx"], some),
        "int8": lambda some: text_export.answer(running["int8"], some),
    }
    told = {
        "command": " ".join(["python", "bench/text_int8.py", *sys.argv[1:]]),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, 1 thread used, torch {torch.__version__}",
        "messages": len(encoded),
        "bytes": size,
        "accuracy": {name: float((form(encoded).argmax(axis=1) == truth).mean()) for name, form in forms.items()},
        "cpu_ms_a_message": {str(batch): timed(forms, encoded[:TIMED], batch) for batch in BATCHES},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(told) + "\n")
    print(json.dumps(told, indent=1))


def timed(forms: dict[str, Callable[[list], np.ndarray]], encoded: list, batch: int) -> dict[str, float]:
    """Milliseconds of the processor a message, by form."""
    groups = [encoded[start : start + batch] for start in range(0, len(encoded), batch)]
    least = dict.fromkeys(forms, np.inf)
    for _ in range(ROUNDS):
        for name, form in forms.items():
            begin = time.process_time()
            for group in groups:
                form(group)
            least[name] = min(least[name], (time.process_time() - begin) / len(encoded) * 1e3)
    return {name: round(value, 2) for name, value in least.items()}


if __name__ == "__main__":
    main()
