"""A bundle of the planted shop that is served in tests: a tiny reader, and boosters that read its columns."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from intently.baselines.lightgbm_customer import LightGBMCustomer
from intently.baselines.lightgbm_demand import LightGBMDemand
from intently.baselines.lightgbm_hurdle import LightGBMHurdle
from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.baselines.past_spend import PastSpend
from intently.contract import Past, weekly
from intently.evaluate.compare import Report
from intently.learn.blend import Blend
from intently.learn.item_columns import ItemColumns
from intently.learn.reader import SequenceReader
from intently.learn.recipe import Recipe
from intently.learn.rolling import Rolling
from intently.learn.stack import ReaderColumns
from intently.learn.texts import Text
from intently.learn.trained import Trained
from intently.log.log import Log
from intently.ship.bundle import save
from intently.tasks import BUILT_IN
from intently.tasks.demand import TASK as DEMAND
from intently.tasks.interest import TASK as INTEREST
from intently.tasks.next_item import TASK as NEXT_ITEM
from intently.tasks.purchase_intent import TASK as INTENT
from intently.tasks.purchasing_power import TASK as POWER
from intently.text.verbalise import item_texts
from made_once import made_once
from planted_shop import START, planted
from tiny_models import encoder

UNTIL = START + timedelta(weeks=36)
OF_CUSTOMERS = (INTENT, POWER, INTEREST, NEXT_ITEM)
_SHAPE = {"width": 32, "item_width": 16, "blocks": 1, "attention_heads": 2}
_TREES = {"weeks": 2, "at_most": 200, "trees": 20}


def trained(log: Log, seed: int = 0, model: str | None = None) -> Trained:
    """About ten seconds: what is served is a blend or a stack, as in a real bundle.

    Texts are read by a language `model` in a folder; without one, their vectors are drawn by lot.
    """
    known = log.before(UNTIL)
    cutoffs = weekly(START + timedelta(weeks=8), UNTIL - timedelta(weeks=4))

    def windows(task):
        examples = task.examples(known, cutoffs[-6:])
        return examples, Past(known, examples)

    vectors = None
    if model is None:
        vectors = np.random.default_rng(seed).normal(size=(len(item_texts(log.items)[0]), 24)).astype(np.float32)
    recipe = Recipe(pretrain_epochs=1, epochs=1, negatives=32, threads=1)
    parts = {task.name: windows(task) for task in OF_CUSTOMERS}
    text = Text() if model is None else Text(model, keep=24)
    fitted = SequenceReader(OF_CUSTOMERS, recipe, text, shape=_SHAPE).fit(parts, vectors=vectors)
    reader = Rolling(((START, fitted),))
    reading = ReaderColumns.of(reader, parts[INTENT.name][1])
    found = {}
    for task in (INTENT, POWER):
        stack = LightGBMCustomer("stack", reading=reading, threads=1, seed=seed).fit(*parts[task.name])
        # Amounts are blended with rules where a log is young.
        rules = [rule.fit(*parts[task.name]) for rule in (LightGBMHurdle(), PastSpend()) if rule.answers(task)]
        alike = {one.name: one for one in (stack, *rules)}
        found[task.name] = alike | {"reader": reader, "blend": Blend(alike, reader, 0.4)}
    shares = LightGBMShares("stack", reading=reading, threads=1, seed=seed, **_TREES).fit(*parts[INTEREST.name])
    found[INTEREST.name] = {"stack": shares, "reader": reader, "blend": Blend({"stack": shares}, reader, 0.4)}
    ranking = LightGBMRanking("stack", reading=reading, candidates=reading, threads=1, seed=seed, **_TREES)
    found[NEXT_ITEM.name] = {"stack": ranking.fit(*parts[NEXT_ITEM.name]), "reader": reader}
    demand = (
        LightGBMDemand("lightgbm", threads=1, seed=seed),
        LightGBMDemand("stack", ItemColumns(fitted), threads=1, seed=seed),
    )
    found[DEMAND.name] = {one.name: one.fit(*windows(DEMAND)) for one in demand}
    served = {INTENT.name: "blend", POWER.name: "blend", INTEREST.name: "blend", NEXT_ITEM.name: "stack"}
    return Trained(
        until=UNTIL,
        tasks=tuple(task for task in BUILT_IN if task.name in found),
        reader=reader,
        reading=reading,
        predictors=found,
        served=served | {DEMAND.name: "lightgbm"},
        baseline={name: next(iter(mine)) for name, mine in found.items()},
        choice=Report(),
    )


def written(factory: pytest.TempPathFactory, seed: int = 0) -> tuple[Path, Path]:
    """A log and a bundle of it, in two folders that nobody may change."""
    folder = made_once(factory, f"served{seed or ''}", lambda folder: _write(folder, seed))
    return folder / "data", folder / f"bundle{seed or ''}"


def written_exported(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same with a tiny language model, and in the bundle that and the reader as ONNX too."""
    folder = made_once(factory, "served_exported", _write_exported)
    return folder / "data", folder / "bundle"


def _write(folder: Path, seed: int = 0, model: str | None = None) -> tuple[Path, Path]:
    log = planted()
    log.write(folder / "data")
    save(trained(log, seed, model), log, folder / f"bundle{seed or ''}")
    return folder / "data", folder / f"bundle{seed or ''}"


def _write_exported(folder: Path) -> None:
    from intently.ship import export, model_export, onnx_reader
    from intently.ship import gate as gate_of
    from intently.ship.bundle import load

    _, bundle = _write(folder, model=encoder(folder / "model"))
    reader = load(bundle, BUILT_IN, threads=1).reader.newest
    truth = export.examples_of(reader.tasks, planted(), UNTIL, 60)
    with pytest.MonkeyPatch.context() as patch:
        # A reader of 32 numbers fitted once over, judged on sixty customers: a metric moves by as much for nothing.
        patch.setattr(gate_of, "MOST_LOST", 0.05)
        made_of = onnx_reader.made_of(bundle / "reader" / "network.safetensors")
        export.export(reader, truth[INTENT.name][1], bundle / "onnx", truth, made_of)
    made_of = onnx_reader.items_made_of(bundle)
    model_export.export(reader.text, list(reader.texts), bundle / "onnx_items", made_of)
