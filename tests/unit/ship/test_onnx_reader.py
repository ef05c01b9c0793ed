"""A bundle that answers without torch answers as the one with torch does, task by task and predictor by predictor."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import numpy as np
import pytest

import served_shop
from intently.contract import Amount, Past, Ranking
from intently.errors import BundleError, ConfigError
from intently.serve.clock import micros
from intently.serve.event import Event, Placed
from intently.serve.pasts import history_of
from intently.serve.standing import Shelf, Standing
from intently.ship.bundle import load
from intently.ship.gate import EXPORTED, REPORT
from intently.ship.onnx_reader import items_made_of
from intently.tasks import BUILT_IN
from planted_shop import planted

pytest.importorskip("onnxscript", reason="onnxscript is not installed")

AT = served_shop.UNTIL + timedelta(days=9)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return served_shop.written_exported(tmp_path_factory)[1]


@pytest.fixture(scope="module")
def both(bundle):
    return load(bundle, BUILT_IN, threads=1), load(bundle, BUILT_IN, threads=1, exported=True)


def asked(task):
    examples = task.questions(planted().before(AT), AT)
    return examples, Past(planted().before(AT), examples)


@pytest.mark.parametrize("task", [*served_shop.OF_CUSTOMERS, served_shop.DEMAND], ids=lambda task: task.name)
def test_every_predictor_of_every_task_answers_alike(both, task) -> None:
    with_torch, without = both
    assert set(without.predictors[task.name]) == set(with_torch.predictors[task.name])
    for name in with_torch.predictors[task.name]:
        # Apart, so that nothing read by one is shared with the other.
        wanted, found = (one.answer(*asked(task), name) for one in both)
        assert len(found) == len(wanted) >= 100
        # By the customer's largest, as the gate does: just above the hurdle a quantile divides by next to nothing.
        largest = np.abs(wanted.values).max(axis=1, keepdims=True)
        size = np.maximum(1.0, largest) if isinstance(task.answer, Amount) else 1.0
        assert np.abs((found.values - wanted.values) / size).max() <= 1e-4, name
        if isinstance(task.answer, Ranking):
            # Two items within rounding of each other may change places, and no others.
            assert (found.ids == wanted.ids).mean() > 0.99, name
            for row in range(len(found)):
                score = dict(zip(wanted.ids[row].tolist(), wanted.values[row].tolist(), strict=True))
                apart = [
                    abs(score.get(item, wanted.values[row, -1]) - value)
                    for item, value in zip(found.ids[row].tolist(), found.values[row].tolist(), strict=True)
                ]
                assert max(apart) <= 2e-4, name


def test_one_customer_and_some_and_all_are_answered_alike(both) -> None:
    task = served_shop.OF_CUSTOMERS[0]
    examples, past = asked(task)
    for rows in (np.array([5]), np.array([7, 3, 90]), np.arange(len(examples))):
        wanted, found = (one.answer(examples.take(rows), past.take(rows)) for one in both)
        assert found.values == pytest.approx(wanted.values, abs=1e-4)


@pytest.mark.parametrize("code", [3, -1, 10**6], ids=["an item", "no item", "an item not read yet"])
@pytest.mark.parametrize("events", [0, 1])
def test_a_customer_with_next_to_no_past_is_answered_alike(both, events, code) -> None:
    at = micros(AT)
    shelf = Shelf(planted().items, ("buy", "view"), ())
    one = Placed(1, Event("x", "new", "buy", at - 10**9, at - 10**9, "x", 1.0, 9.0), 0, code)
    standing = Standing.of(shelf, [history_of([one] * events)])
    for task in served_shop.OF_CUSTOMERS:
        wanted, found = (trained.answer(*standing.asked(at)(task)) for trained in both)
        size = max(1.0, float(np.abs(wanted.values).max())) if isinstance(task.answer, Amount) else 1.0
        assert found.values == pytest.approx(wanted.values, rel=0, abs=1e-4 * size)


def test_items_never_met_are_vectors_alike(both) -> None:
    with_torch, without = (one.reader.newest for one in both)
    past = asked(served_shop.OF_CUSTOMERS[0])[1]
    assert (with_torch.catalogue(past).count == 0).any(), "the planted shop has items that nobody bought"
    for wanted, found in zip(with_torch.item_vectors(past), without.item_vectors(past), strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)
        assert found.dtype == np.float32


def test_who_is_asked_twice_is_refused(both) -> None:
    task = served_shop.OF_CUSTOMERS[0]
    log = planted().before(AT)
    examples = task.examples(log, [AT - 3 * task.horizon, AT - 2 * task.horizon])
    with pytest.raises(ConfigError, match="asked twice"):
        both[1].reader.newest.predict(examples.hide(), Past(log, examples))


def test_a_bundle_that_was_not_exported_says_what_to_do(bundle, tmp_path) -> None:
    bare = shutil.copytree(bundle, tmp_path / "bare")
    shutil.rmtree(bare / "onnx")
    with pytest.raises(BundleError, match=r"holds no exported reader.*intently export"):
        load(bare, BUILT_IN, exported=True)


def test_an_export_of_other_weights_is_refused(bundle, tmp_path) -> None:
    other = shutil.copytree(bundle, tmp_path / "other")
    network = other / "reader" / "network.safetensors"
    content = bytearray(network.read_bytes())
    content[-1] ^= 1
    network.write_bytes(bytes(content))
    with pytest.raises(BundleError, match="another reader"):
        load(other, BUILT_IN, exported=True)


def test_a_language_model_that_was_exported_from_another_is_refused(bundle, tmp_path) -> None:
    other = shutil.copytree(bundle, tmp_path / "other")
    report, vectors = other / EXPORTED[2] / REPORT, other / "reader" / "texts.safetensors"
    report.parent.mkdir(exist_ok=True)

    def refused() -> bool:
        try:
            load(other, BUILT_IN, exported=True)
        except BundleError as error:
            return str(error).endswith("was made of another language model. Run `intently export` again.")
        return False

    def exported() -> None:
        report.write_text(json.dumps({"made_of": items_made_of(other)}))

    exported()
    assert not refused()
    (other / "reader" / "adapter").mkdir()
    (other / "reader" / "adapter" / "adapter_model.safetensors").write_bytes(b"tuned since")
    assert refused(), "the adapter is another"
    exported()
    content = bytearray(vectors.read_bytes())
    content[-1] ^= 1
    vectors.write_bytes(bytes(content))
    assert refused(), "it gives other vectors"
    for told in ({}, {"made_of": ""}):
        report.write_text(json.dumps(told))
        assert refused(), "nobody knows of what it was made"
    report.unlink()
    assert refused()
