"""A trained model as a folder: safetensors and JSON, nothing that runs code when it is loaded.

contract.json            what it answers, what it was trained on, which predictor is served
README.md                the model card
reader/                  network.safetensors, texts.safetensors, items.parquet, reader.json
predictors/TASK/NAME/    arrays.safetensors, settings.json; a text reader's weights, tokenizer and settings
labels/TASK.parquet      labels given by hand: ids of events, and what they were labelled
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import polars as pl

from intently import own
from intently.baselines import ALL
from intently.baselines.lightgbm_demand import LightGBMDemand
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.contract import Predictor, Task
from intently.errors import BundleError, ConfigError
from intently.evaluate.compare import Report
from intently.learn.blend import Blend
from intently.learn.fitted import FittedReader
from intently.learn.item_columns import ItemColumns
from intently.learn.rolling import Rolling
from intently.learn.stack import ReaderColumns
from intently.learn.trained import BEFORE, READER, TEXT_READER, Trained
from intently.log import schema
from intently.log.log import Log
from intently.ship.arrays import load_arrays, save_arrays
from intently.ship.card import card
from intently.ship.folder import CONTRACT, empty, settle, write_json
from intently.ship.reader_folder import read_columns, read_reader, save_reader, write_reader

FORMAT = 4
# Since 4 amounts have a start (`baselines/mixed_roots.py`): what reads 3 alone would leave it out, and answer wrongly.
_READABLE = (3, FORMAT)
_EVER = datetime(1, 1, 1, tzinfo=UTC)
# Named without being imported: reading a bundle to serve it must not need torch.
_READ_TEXTS = ("TextReader", "Ensemble")


def save(trained: Trained, log: Log, folder: str | Path, *, made_with: Mapping[str, Any] | None = None) -> None:
    """Write a trained model; a folder that holds one already is replaced only when all is written.

    `made_with` is the resolved config of the run, kept in `contract.json`.
    """
    # Of `.` there is no name to write a part beside.
    folder = Path(folder).resolve()
    part = folder.with_name(folder.name + ".part")
    empty(part)
    try:
        _write(trained, log, part, made_with)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    settle(part, folder)


def _write(trained: Trained, log: Log, part: Path, made_with: Mapping[str, Any] | None) -> None:
    if trained.reader is not None:
        save_reader(trained, part / "reader")
    old = next((mine[BEFORE] for mine in trained.predictors.values() if BEFORE in mine), None)
    if isinstance(old, FittedReader):
        write_reader(old, part / "reader_before")
    for task, predictors in trained.predictors.items():
        for name, predictor in predictors.items():
            if isinstance(predictor, Blend):
                told = {
                    "boosters": list(predictor.boosters),
                    "reader": TEXT_READER
                    if type(predictor.reader).__name__ in _READ_TEXTS
                    else predictor.reader is not None,
                    "weight": predictor.weight,
                }
                write_json(part / "predictors" / task / name / "settings.json", told)
            elif type(predictor).__name__ in _READ_TEXTS:
                cast(Any, predictor).save(part / "predictors" / task / name)
            elif not isinstance(predictor, FittedReader | Rolling):
                _save_predictor(predictor, part / "predictors" / task / name)
    for task, labels in trained.labels.items():
        (part / "labels").mkdir(exist_ok=True)
        labels.write_parquet(part / "labels" / f"{task}.parquet")
    contract = describe(trained, log) | ({} if made_with is None else {"config": made_with})
    write_json(part / CONTRACT, contract)
    (part / "README.md").write_text(card(contract, trained.choice), encoding="utf-8")


def describe(trained: Trained, log: Log) -> dict[str, Any]:
    """What `contract.json` says."""
    known = log.before(trained.until)
    return {
        "format": FORMAT,
        "until": trained.until.isoformat(),
        "tasks": {
            task.name: {
                "asks": task.key,
                "answer": type(task.answer).__name__,
                "horizon_days": task.horizon.total_seconds() / 86_400,
                "wording": dict(task.wording),
                "served": trained.served[task.name],
                "baseline": trained.baseline[task.name],
                "fallback": trained.fallback.get(task.name),
                "predictors": {
                    name: type(predictor).__name__ for name, predictor in trained.predictors[task.name].items()
                },
            }
            # A shop's own question comes along whole: its config need not be at hand where the bundle is read.
            | ({} if task.written is None else {"written": task.written})
            # An event that is asked about before it happens is told as the log would.
            | ({"sees": _seen(task, known)} if task.sees else {})
            for task in trained.tasks
        },
        "language_model": None if trained.reader is None else trained.reader.newest.text.model,
        "data": {
            "events": len(known.events),
            "customers": known.events[schema.USER].n_unique(),
            "items": len(known.items),
            "observed_from": known.observed_from.isoformat(),
            "observed_until": known.observed_until.isoformat(),
            "fingerprint": known.fingerprint(),
        },
        "choice": trained.choice.to_json(),
        "updates": [dict(one) for one in trained.updates],
        "pruned": {name: dict(one) for name, one in trained.pruned.items()},
        "labels": {name: len(one) for name, one in trained.labels.items()},
        "versions": {name: version(name) for name in ("torch", "transformers", "lightgbm", "polars", "numpy")}
        | {"python": platform.python_version()},
    }


def _seen(task: Task, log: Log) -> dict[str, str]:
    """What the columns hold that a question sees of an event."""
    columns = log.events.schema
    return {name: schema.kind_of(columns[name]) for name in task.sees if name in columns}


def refuse_other(folder: str | Path) -> Path:
    """The folder of a bundle. Raises BundleError where it is none."""
    folder = Path(folder)
    if not (folder / CONTRACT).is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {CONTRACT}.", mend="Make one with `intently train`.")
    return folder


def made_with(folder: str | Path) -> dict[str, Any] | None:
    """The resolved config of the run that made a bundle, where it was kept."""
    config: dict[str, Any] | None = _contract(folder).get("config")
    return config


def questions(folder: str | Path) -> tuple[str, ...]:
    """The names of what a bundle answers."""
    return tuple(_contract(folder)["tasks"])


def _contract(folder: str | Path) -> dict[str, Any]:
    file = refuse_other(folder) / CONTRACT
    try:
        told: dict[str, Any] = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise BundleError(f"{file} is not JSON: {error}.", mend="Train the bundle again.") from error
    if told.get("format") not in _READABLE:
        raise BundleError(
            f"{folder} has format {told.get('format')}; this version reads {' and '.join(map(str, _READABLE))}.",
            mend="Train the bundle again with this version.",
        )
    return told


def load(
    folder: str | Path,
    tasks: Sequence[Task],
    *,
    threads: int | None = None,
    exported: bool | None = None,
    only: Callable[[Task], bool] | None = None,
) -> Trained:
    """Read a trained model, to answer with so many threads (all, without it).

    `tasks` are the questions known here; those of the bundle are taken from them. With `exported`, as where torch is
    not installed, readers answer by what `intently export` wrote of them; text readers are left out, and the questions
    that they serve.

    A shop's own question is made again from the table that the bundle keeps, and is asked as it was trained.
    With `only`, what answers other questions is not read, nor is torch imported where none of those left needs it.
    Raises BundleError where the folder is not a bundle, or asks a question that is not known here.
    """
    folder, threads = Path(folder), threads or os.cpu_count() or 1
    exported = find_spec("torch") is None if exported is None else exported
    contract = _contract(folder)
    known = {task.name: task for task in tasks} | _own_tasks(contract)
    unknown = sorted(set(contract["tasks"]) - set(known))
    if unknown:
        raise BundleError(f"The bundle answers {unknown}, which is not known here.", mend="Install those tasks.")
    asked = tuple(known[name] for name in contract["tasks"])
    told_of = {name: told for name, told in contract["tasks"].items() if only is None or only(known[name])}
    reader = None
    if (folder / "reader").is_dir():
        # It answers at any time: a bundle is asked about what comes after its training.
        newest = read_reader(folder / "reader", asked, told_of, threads if exported else None)
        reader = Rolling(((_EVER, newest),))
    # What it answers before it is fine-tuned is for comparison, and is not exported.
    old = (folder / "reader_before").is_dir() and not exported
    before = read_reader(folder / "reader_before", asked, told_of) if old else None
    reading = None if reader is None else read_columns(folder / "reader", reader)
    predictors: dict[str, dict[str, Predictor]] = {}
    for name, told in told_of.items():
        predictors[name] = {}
        for predictor, kind in told["predictors"].items():
            if kind == Blend.__name__:
                settings = json.loads((folder / "predictors" / name / predictor / "settings.json").read_text())
                # What it blends is listed, and so loaded, before it.
                boosters = {part: predictors[name][part] for part in settings["boosters"]}
                wanted = settings["reader"]
                read = predictors[name].get(TEXT_READER) if wanted == TEXT_READER else reader if wanted else None
                if not wanted or read is not None:
                    predictors[name][predictor] = Blend(boosters, read, settings["weight"])
            elif kind in _READ_TEXTS:
                if not exported:
                    where = folder / "predictors" / name / predictor
                    predictors[name][predictor] = _read_text_reader(where, kind, known[name])
            elif kind in (FittedReader.__name__, Rolling.__name__):
                found = reader if predictor == READER else before
                if found is not None:
                    predictors[name][predictor] = found
            else:
                where = folder / "predictors" / name / predictor
                predictors[name][predictor] = _read_predictor(where, kind, predictor, reader, reading, threads)
    served = {name: told["served"] for name, told in told_of.items()}
    unread = {name: one for name, one in served.items() if one not in predictors[name]}
    return Trained(
        until=datetime.fromisoformat(contract["until"]),
        tasks=tuple(task for task in asked if task.name in served and task.name not in unread),
        reader=reader,
        reading=reading,
        predictors=predictors,
        served=served,
        baseline={name: told["baseline"] for name, told in told_of.items()},
        choice=Report.from_json(contract["choice"]),
        fallback={name: told["fallback"] for name, told in told_of.items() if told.get("fallback")},
        updates=tuple(contract.get("updates", ())),
        pruned=contract.get("pruned", {}),
        unread=unread,
        labels={
            name: _labels(folder / "labels" / f"{name}.parquet")
            for name in contract.get("labels", {})
            if only is None or name in told_of
        },
    )


def _labels(file: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BundleError(
            f"The bundle's labels by hand, {file}, cannot be read.",
            mend="Copy the bundle again as a whole, or train it again.",
        ) from error


def _own_tasks(contract: Mapping[str, Any]) -> dict[str, Task]:
    made = {}
    for name, told in contract["tasks"].items():
        if "written" not in told:
            continue
        try:
            made[name] = own.task(told["written"])
        except ConfigError as error:
            raise BundleError(f"The bundle's own question cannot be read: {error}", mend="Train it again.") from error
        if made[name].name != name:
            raise BundleError(f"The bundle calls {made[name].name!r} {name!r}.", mend="Train it again.")
    return made


def _read_text_reader(folder: Path, kind: str, task: Task) -> Predictor:
    from intently.learn.ensemble import Ensemble
    from intently.learn.text_reader import TextReader

    return (TextReader if kind == TextReader.__name__ else Ensemble).read_from(folder, task)


# What a predictor is given of the reader, which is kept once for all.
_GIVEN = {"reads": "reading", "candidates": "candidates"}


def _save_predictor(predictor: Any, folder: Path) -> None:
    arrays, settings = predictor.state()
    folder.mkdir(parents=True)
    save_arrays(folder / "arrays.safetensors", arrays)
    said = {f"_{name}": getattr(predictor, given, None) is not None for name, given in _GIVEN.items()}
    write_json(folder / "settings.json", settings | said)


def _read_predictor(
    folder: Path, kind: str, name: str, reader: Rolling | None, reading: ReaderColumns | None, threads: int
) -> Predictor:
    classes = {each.__name__: each for each in ALL}
    if kind not in classes or not (folder / "settings.json").is_file():
        raise BundleError(f"The bundle's predictor {name} ({kind}) cannot be read.", mend="Train the bundle again.")
    settings = json.loads((folder / "settings.json").read_text())
    arrays = load_arrays(folder / "arrays.safetensors")
    read = settings.pop("_reads")
    # Earlier versions did not say, and gave them to all rankings.
    proposed = settings.pop("_candidates", kind == LightGBMRanking.__name__)
    if "threads" in settings:
        # Trained with a thread for each booster; alone, one may use them all. Answers do not depend on it.
        settings["threads"] = threads
    more: dict[str, Any] = {}
    if read:
        more["reading"] = ItemColumns(reader.newest) if kind == LightGBMDemand.__name__ and reader else reading
    if proposed and reading is not None:
        more["candidates"] = reading
    return classes[kind].from_state(arrays, settings, **more)
