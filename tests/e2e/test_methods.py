"""Every way of fine-tuning x an encoder and a decoder: trained, saved, loaded by a new process, merged, exported."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import intently
from intently.contract import Past
from intently.learn.methods import METHODS, Sizes
from intently.learn.text_finetune import TextRecipe
from intently.learn.text_reader import TextReader
from intently.ship.text_export import ONNX, answer, export
from intently.text.exported_model import session
from intently.text.language_model import PACKAGED
from intently.text.story import Teller
from small_logs import day
from text_shop import TASK, shop
from tiny_models import decoder

RELOAD = """
import json, sys
from pathlib import Path
import numpy as np
from intently.contract import Past
from intently.learn.text_reader import TextReader
from small_logs import day
from text_shop import TASK, shop
log = shop()
examples = TASK.questions(log, day(40))
found = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    if (folder / "text_reader.json").is_file():
        found[folder.name] = TextReader.read_from(folder, TASK).predict(examples, Past(log, examples)).values
np.savez(sys.argv[2], **found)
"""
CELLS = [(method.name, model) for method in METHODS for model in ("minilm", "decoder")]
every_cell = pytest.mark.parametrize(("method", "model"), CELLS)
# Merged or plain, a model is the same graph whatever tuned it, and an export takes seconds: one of them in every run
# (lora), the rest with the slow tests.
PLAIN_GRAPHS = {"frozen", "full", "last_layers", "adalora", "qlora", "ia3"}
every_graph = pytest.mark.parametrize(
    ("method", "model"),
    [pytest.param(*cell, marks=pytest.mark.slow) if cell[0] in PLAIN_GRAPHS else cell for cell in CELLS],
)


@cache
def log():
    return shop()


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="module")
def models(work):
    return {"minilm": PACKAGED, "decoder": decoder(work / "decoder")}


@pytest.fixture(scope="module")
def trained(work, models):
    """Every cell, trained for a few steps and saved."""
    examples = TASK.examples(log(), [day(7 * week) for week in (2, 4)])
    found = {}
    for method, model in CELLS:
        recipe = TextRecipe(epochs=2, fewest_steps=0, batch_size=16, held_out=0, max_tokens=24)
        made = TextReader(
            model=models[model],
            method=method,
            recipe=recipe,
            sizes=Sizes(rank=4, tokens=4, layers=1, width=8),
            teller=Teller(last=2),
        )
        found[method, model] = made.fit(examples, Past(log(), examples))
        found[method, model].save(work / f"{method}.{model}")
    return found


@pytest.fixture(scope="module")
def reloaded(work, trained):
    """The scores of all cells, loaded by one process that has trained nothing."""
    source = Path(intently.__file__).parent.parent
    subprocess.run(
        [sys.executable, "-c", RELOAD, str(work), str(work / "scores.npz")],
        check=True,
        timeout=300,
        env={"PYTHONPATH": f"{source}:{Path(__file__).parent.parent}", "OMP_NUM_THREADS": "1"},
    )
    with np.load(work / "scores.npz", allow_pickle=False) as scores:
        return dict(scores)


def asked(reader):
    examples = TASK.questions(log(), day(40))
    return examples, reader.predict(examples, Past(log(), examples)).values


@every_cell
def test_a_new_process_gives_the_same_scores(trained, reloaded, method, model):
    _, scores = asked(trained[method, model])
    assert len(scores) > 5
    np.testing.assert_allclose(reloaded[f"{method}.{model}"], scores, atol=1e-5)


@every_cell
def test_training_moved_what_the_method_trains_and_nothing_else(trained, models, method, model):
    from intently.text.language_model import load

    reader = trained[method, model]
    before = load(models[model])[1].state_dict()
    # What a method put around the model or into it is taken off the names again.
    after = {
        name.replace("base_model.model.", "").replace("base_model.", "").replace(".base_layer", ""): weight
        for name, weight in reader.network.language_model.state_dict().items()
    }
    rounded = {name for name, weight in after.items() if weight.dtype == torch.int8}
    assert bool(rounded) == (method == "qlora")
    for name in rounded:
        step = after[name.removesuffix("weight") + "scale"]
        assert ((after[name] * step - before[name]).abs() <= 0.501 * step).all()
    kept = before.keys() & after.keys() - rounded
    moved = {name for name in kept if not before[name].equal(after[name])}
    assert {name for name in before if name in after}, "the model's own weights are among those trained"
    added = {name for name in after if name not in before and "word_embeddings" not in name}
    match method:
        case "frozen":
            assert not moved
            assert not added
        case "full":
            assert len(moved) > len(before) / 2
        case "last_layers":
            assert moved
            assert not any("layers.0." in name or "layer.0." in name or "embed" in name for name in moved)
        case _:
            assert not moved
            assert added
    assert len(reader.losses) == (1 if method == "frozen" else 2)


@every_cell
def test_merging_changes_no_score(trained, method, model):
    reader = trained[method, model]
    merged = reader.merged()
    mergeable = next(one for one in METHODS if one.name == method).merge is not None
    assert (merged is reader) != mergeable
    np.testing.assert_allclose(asked(merged)[1], asked(reader)[1], atol=1e-5)
    if mergeable:
        assert not any("lora" in name or "ia3" in name for name, _ in merged.network.named_parameters())


@every_graph
def test_onnx_gives_the_same_scores(work, trained, method, model):
    reader = trained[method, model]
    examples, scores = asked(reader)
    file = export(reader, work / f"{method}.{model}.onnx" / ONNX)
    told = reader.encoded(examples, Past(log(), examples))
    np.testing.assert_allclose(answer(session(file), told), scores, atol=1e-4)
    file.unlink()


@every_cell
def test_a_saved_reader_holds_nothing_that_runs(work, trained, method, model):
    files = {path for path in (work / f"{method}.{model}").rglob("*") if path.is_file()}
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".jinja"}
    assert json.loads((work / f"{method}.{model}" / "text_reader.json").read_text())["method"] == method
    size = sum(path.stat().st_size for path in files)
    # The model that comes with Intently is not copied: an adapter is small.
    if model == "minilm" and method not in ("full", "last_layers"):
        assert size < 3_000_000
