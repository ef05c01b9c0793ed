"""A reader as ONNX answers as the network does, and one that does not is not written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import served_shop
import tiny_models
from intently.contract import Past
from intently.errors import BundleError, ConfigError
from intently.learn.texts import Text
from intently.ship import export, model_export, onnx_reader
from intently.ship import gate as gate_of
from intently.ship.bundle import load
from intently.tasks import BUILT_IN
from intently.text import exported_model
from intently.text.exported_model import session
from planted_shop import planted

pytest.importorskip("onnxscript", reason="onnxscript is not installed")

LOST = 0.03


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    _, bundle = served_shop.written(tmp_path_factory)
    return load(bundle, BUILT_IN, threads=1).reader.newest


@pytest.fixture(scope="module")
def written(reader, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "onnx"
    truth = export.examples_of(reader.tasks, planted(), served_shop.UNTIL, 100)
    with pytest.MonkeyPatch.context() as patch:
        # A reader of 32 numbers fitted once over, judged on a hundred customers: a metric moves by as much for nothing.
        patch.setattr(gate_of, "MOST_LOST", LOST)
        gate = export.export(reader, truth["purchase_intent"][1], folder, truth)
    return folder, gate, truth


def test_the_exact_form_gives_what_the_network_gives(reader, written) -> None:
    folder, gate, truth = written
    assert max(gate.apart.values()) <= gate_of.MOST_APART
    assert set(gate.apart) >= {"state", "purchase_intent", "purchasing_power", "interest", "next_item"}
    loaded = session(folder / export.EXACT)
    past = truth["purchase_intent"][1]
    for rows in (np.array([3]), np.array([9, 2, 5]), np.arange(40)):
        some = past.take(rows)
        found, wanted = onnx_reader.run(loaded, export.inputs(reader, some)), reader.read(some)
        assert np.abs(found["purchase_intent"] - wanted["purchase_intent"]).max() < 1e-5
        assert np.abs(found["interest"] - wanted["interest"]).max() < 1e-5
        assert found["purchasing_power"] == pytest.approx(wanted["purchasing_power"], rel=1e-3, abs=1e-3)


def test_eight_bits_are_smaller_and_lose_what_is_told(written) -> None:
    folder, gate, _ = written
    assert gate.whole_bytes < 0.8 * gate.exact_bytes
    assert all(np.isfinite(lost) and lost <= LOST for lost in gate.lost.values())
    told = json.loads((folder / gate_of.REPORT).read_text())
    assert told["lost"] == gate.lost
    assert sorted(path.name for path in folder.iterdir()) == sorted([export.EXACT, export.WHOLE, gate_of.REPORT])


def test_an_export_that_does_not_pass_is_not_written_and_the_old_one_stays(reader, written, monkeypatch) -> None:
    folder, _, truth = written
    before = (folder / export.EXACT).read_bytes()
    monkeypatch.setattr(export, "_write", lambda _reader, _fed, file: file.write_bytes(before))
    monkeypatch.setattr(gate_of, "MOST_APART", 0.0)
    with pytest.raises(BundleError, match="does not pass"):
        export.export(reader, truth["purchase_intent"][1], folder, truth)
    assert (folder / export.EXACT).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["onnx"]


def test_a_language_model_that_cuts_a_text_into_nothing_is_exported_too(tmp_path) -> None:
    text, texts = Text(tiny_models.decoder(tmp_path / "model")), [f"red thing {number}" for number in range(8)] + [""]
    gate = model_export.export(text, texts, tmp_path / "onnx", "of this")
    assert gate.apart["items"] < 1e-5
    assert not exported_model.encode([""], tmp_path / "onnx").any()


def test_a_customer_asked_twice_is_refused(reader) -> None:
    log = planted().before(served_shop.UNTIL)
    task = reader.tasks[0]
    examples = task.examples(log, [served_shop.UNTIL - 2 * task.horizon, served_shop.UNTIL - task.horizon])
    with pytest.raises(ConfigError, match="asked twice"):
        export.inputs(reader, Past(log, examples))


def test_the_files_do_not_say_where_they_were_made(written) -> None:
    folder, _, _ = written
    for name in (export.EXACT, export.WHOLE):
        content = (folder / name).read_bytes()
        assert b"torch/export" not in content
        assert str(Path(export.__file__).parent).encode() not in content
