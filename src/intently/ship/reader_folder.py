"""A sequence reader in a bundle: its network, and what it knows of items."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import ShareLabels, Task
from intently.learn.calibrate import Calibration
from intently.learn.fitted import FittedReader
from intently.learn.numbers import Numbers
from intently.learn.recipe import Recipe
from intently.learn.rolling import Rolling
from intently.learn.stack import ReaderColumns
from intently.learn.texts import Text
from intently.learn.trained import Trained
from intently.ship.arrays import load_arrays, save_arrays
from intently.ship.folder import write_json
from intently.ship.onnx_reader import OnnxAnswers, items_read_by

_NEAREST = ("nearest", "nearest_weight")


def save_reader(trained: Trained, folder: Path) -> None:
    """Write a model's reader, and how its vectors become columns."""
    assert trained.reader is not None
    # The newest reader alone: it is the one that serves.
    write_reader(trained.reader.newest, folder)
    if trained.reading is not None:
        save_arrays(folder / "reading.safetensors", {"mean": trained.reading.mean, "axes": trained.reading.axes})


def write_reader(reader: FittedReader, folder: Path) -> None:
    """Write one reader: weights, vectors of the texts it knows, items and calibration."""
    from safetensors.torch import save_file

    assert reader.fitted is not None
    folder.mkdir(parents=True)
    save_file(
        {name: value.contiguous() for name, value in reader.fitted.state_dict().items()}, folder / "network.safetensors"
    )
    save_arrays(
        folder / "texts.safetensors",
        {
            "vectors": np.stack(list(reader.texts.values())),
            "mean": reader.text.mean,
            "whiten": reader.text.whiten,
            "numbers_mean": reader.numbers.mean,
            "numbers_spread": reader.numbers.spread,
            # To find them again would take longer than to answer.
            **dict(zip(_NEAREST, reader.nearest_texts(), strict=True)),
        },
    )
    reader.known.write_parquet(folder / "items.parquet")
    write_json(
        folder / "reader.json",
        reader.settings() | {"texts": list(reader.texts), "curve": dict(reader.curve)},
    )
    for name, calibration in reader.calibration.items():
        arrays, settings = calibration.state()
        save_arrays(folder / f"calibration.{name}.safetensors", arrays)
        write_json(folder / f"calibration.{name}.json", settings)
    if reader.text.adapter is not None:
        shutil.copytree(reader.text.adapter, folder / "adapter")


def read_reader(
    folder: Path, tasks: Sequence[Task], wanted: Collection[str], exported: int | None = None
) -> FittedReader:
    """A reader with its network; or with what was exported of it, to answer with so many threads.

    Where it answers none of the questions that are wanted it has neither, and tells of items alone.
    """
    told = json.loads((folder / "reader.json").read_text())
    arrays = load_arrays(folder / "texts.safetensors")
    adapter = folder / "adapter" if (folder / "adapter").is_dir() else None
    text = Text(told["model"], told["keep"], told["adapt"], adapter, mean=arrays["mean"], whiten=arrays["whiten"])
    mine = tuple(task for task in tasks if task.name in told["tasks"])
    blank = FittedReader(
        told["name"],
        Recipe(**told["recipe"]),
        told["shape"],
        text,
        mine,
        {name: ShareLabels(tuple(labels)) for name, labels in told["labels"].items()},
        pl.read_parquet(folder / "items.parquet"),
        tuple(told["event_types"]),
        dict(zip(told["texts"], arrays["vectors"], strict=True)),
        Numbers(tuple(told["numbers"]), arrays["numbers_mean"], arrays["numbers_spread"]),
        curve=told["curve"],
    )
    blank.remember_nearest(*(arrays[name] for name in _NEAREST))
    calibration = {
        name: Calibration.from_state(
            load_arrays(folder / f"calibration.{name}.safetensors"),
            json.loads((folder / f"calibration.{name}.json").read_text()),
        )
        for name in told["tasks"]
        if (folder / f"calibration.{name}.json").is_file()
    }
    blank = replace(blank, calibration=calibration)
    if exported is not None:
        blank = replace(blank, text=replace(text, exported=items_read_by(folder.parent)))
    if not any(task.name in wanted for task in mine):
        return blank
    if exported is not None:
        return replace(blank, exported=OnnxAnswers.open(folder.parent, mine, blank.stacked(), exported))
    from safetensors.torch import load_file

    network = blank.empty_network()
    network.load_state_dict(load_file(folder / "network.safetensors"))
    return replace(blank, fitted=network.eval())


def read_columns(folder: Path, reader: Rolling) -> ReaderColumns | None:
    """How the vectors of this reader become columns, where a booster takes them."""
    if not (folder / "reading.safetensors").is_file():
        return None
    arrays = load_arrays(folder / "reading.safetensors")
    return ReaderColumns(reader, arrays["mean"], arrays["axes"])
