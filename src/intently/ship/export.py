"""The sequence reader as ONNX, heads and all: exact, and in whole numbers of eight bits; and the gate for both.

What goes in is what `learn.batches` collates, one question for each history, with the vectors of the items met (which
are made once for a catalogue). What comes out is what `FittedReader.read` gives, before calibration.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intently import metrics
from intently.contract import QUANTILES, Amount, Examples, Past, Ranking, Scores, Shares, Task
from intently.errors import BundleError, ConfigError
from intently.evaluate.compare import encode
from intently.learn.batches import Batches
from intently.learn.finetune import remembers
from intently.learn.fitted import FittedReader
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array
from intently.ship import onnx_file
from intently.ship.onnx_file import session
from intently.text.arrays import sequences

if TYPE_CHECKING:
    import torch

EXACT, WHOLE = "reader.onnx", "reader.int8.onnx"
REPORT = "export.json"
# Of a probability or share outright; of amounts and vectors by the largest number of the same customer.
MOST_APART = 1e-4
# Points (of 1) of a metric that the whole-number reader may lose.
MOST_LOST = 0.004
_PLAIN = (
    *("moment_numbers", "moment_hour", "moment_age", "line_slot", "line_type", "line_numbers", "line_vector"),
    *("now_visible", "now_age", "now_hour", "now_told", "now_numbers"),
)


@dataclass(frozen=True)
class Gate:
    """What was found: the greatest distance of the exact one, and by task what the other loses of its first metric."""

    apart: Mapping[str, float]
    lost: Mapping[str, float]
    customers: int
    exact_bytes: int
    whole_bytes: int

    @property
    def faults(self) -> list[str]:
        """Why it may not be written."""
        found = [f"{name} is {value:.2g} apart" for name, value in self.apart.items() if value > MOST_APART]
        return found + [f"{name} loses {value:.4f}" for name, value in self.lost.items() if value > MOST_LOST]


def names_of(tasks: Sequence[Task]) -> tuple[list[str], list[str]]:
    """The names of inputs and of outputs, in order."""
    ins, outs = list(_PLAIN), ["state"]
    for task in tasks:
        outs.append(task.name)
        if remembers(task):
            ins += [f"memory.{task.name}.now", f"memory.{task.name}.features"]
            if isinstance(task.answer, Ranking):
                ins += [f"memory.{task.name}.vector", f"memory.{task.name}.bias"]
                outs.append(f"{task.name}.memory_more")
            else:
                ins.append(f"memory.{task.name}.value")
    return ins, outs


def inputs(reader: FittedReader, past: Past) -> dict[str, Array]:
    """The inputs for the customers of a past, in their order; each must be asked once."""
    import torch

    assert reader.fitted is not None
    seq = sequences(past)
    if len(seq.history) != seq.histories:
        raise ConfigError("A customer is asked twice.", mend="Ask each customer at one time.")
    memories = tuple(task for task in reader.tasks if remembers(task))
    batches = Batches(seq, reader.catalogue(past), reader.numbers.apply(past), memories)
    batch = batches.collate(seq.history)
    with torch.inference_mode():
        vectors, bias = reader.fitted.reader.items(batch["item_text"], batch["item_delta"], batch["item_count"])
    found = {name: batch[name].numpy() for name in _PLAIN if name in batch}
    found["line_vector"] = vectors[batch["line_item"]].numpy()
    for task in memories:
        for part in ("now", "features", "code"):
            found[f"memory.{task.name}.{part}"] = batch[f"memory.{task.name}.{part}"].numpy()
        value = batch[f"memory.{task.name}.value"]
        if isinstance(task.answer, Ranking):
            found |= {
                f"memory.{task.name}.vector": vectors[value].numpy(),
                f"memory.{task.name}.bias": bias[value].numpy(),
            }
        else:
            found[f"memory.{task.name}.value"] = value.numpy()
    return found


def export(reader: FittedReader, past: Past, folder: Path, truth: Mapping[str, tuple[Examples, Past]]) -> Gate:
    """Write both forms of a reader to a folder, or nothing where one does not pass.

    `past` is of some customers, each asked once, over which the exact form is compared with the network; `truth` are
    examples with their pasts, by task, on which metrics are compared. Raises BundleError for a form that does not pass.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write(reader, inputs(reader, past), part / EXACT)
        _whole(part / EXACT, part / WHOLE)
        gate = judge(reader, part, past, truth)
        if gate.faults:
            raise BundleError(f"The export does not pass: {'; '.join(gate.faults)}.", mend="Serve the bundle as it is.")
        (part / REPORT).write_text(json.dumps(asdict(gate), indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return gate


def examples_of(reader: FittedReader, log: Log, until: datetime, most: int) -> dict[str, tuple[Examples, Past]]:
    """By task, customers with their truth in the last window that was wholly observed by `until`; so many at most."""
    known, found = log.before(until), {}
    for task in reader.tasks:
        examples = task.examples(known, [until - task.horizon])
        rows = np.linspace(0, len(examples) - 1, min(most, len(examples))).astype(np.int64)
        some = examples.take(rows)
        found[task.name] = (some, Past(known, some))
    return found


def judge(reader: FittedReader, folder: Path, past: Past, truth: Mapping[str, tuple[Examples, Past]]) -> Gate:
    """Compare both forms in a folder with the network itself."""
    exact, whole = session(folder / EXACT), session(folder / WHOLE)
    fed = inputs(reader, past)
    wanted, found = reader.read(past), run(exact, fed)
    apart = {}
    for name, values in found.items():
        known = wanted[name]
        if name.endswith(".memory_more"):
            task = name.removesuffix(".memory_more")
            # Cells of the same customer and item stand in another order.
            mine = np.lexsort((fed[f"memory.{task}.code"], fed[f"memory.{task}.now"]))
            theirs = np.lexsort((wanted[f"{task}.memory_item"], wanted[f"{task}.memory_now"]))
            known, values = known[theirs], values[mine]
        size = np.maximum(1.0, np.abs(known).max(axis=1, keepdims=True)) if name in _sized(reader) else 1.0
        apart[name] = float((np.abs(values - known) / size).max(initial=0.0))
    lost = {}
    for name, (examples, asked) in truth.items():
        fed = inputs(reader, asked)
        lost[name] = _lost(reader, examples, asked, fed, [run(exact, fed), run(whole, fed)])
    size = {file: (folder / file).stat().st_size for file in (EXACT, WHOLE)}
    return Gate(apart, lost, len(past), size[EXACT], size[WHOLE])


def run(loaded: Any, fed: Mapping[str, Array]) -> dict[str, Array]:
    """Answers by name, before calibration."""
    wanted = {one.name for one in loaded.get_inputs()}
    names = [one.name for one in loaded.get_outputs()]
    return dict(zip(names, loaded.run(names, {name: fed[name] for name in wanted}), strict=True))


def _sized(reader: FittedReader) -> set[str]:
    """Outputs whose distance is told by their size."""
    by_size = {task.name for task in reader.tasks if isinstance(task.answer, Amount | Ranking)}
    return {"state", *by_size}


def _lost(
    reader: FittedReader, examples: Examples, past: Past, fed: dict[str, Array], forms: Sequence[dict[str, Array]]
) -> float:
    """What the second form loses of a task's first metric against the first."""
    task = examples.task
    metric = metrics.of(type(task.answer).__name__, task.metrics[:1])[0]
    good = []
    for answers in forms:
        values = metric.value(*encode(task, examples, _scores(reader, task, past, fed, answers)))
        good.append(float(metric.goodness(values)))
    return good[0] - good[1]


def _scores(reader: FittedReader, task: Task, past: Past, fed: dict[str, Array], answers: dict[str, Array]) -> Scores:
    if not isinstance(task.answer, Ranking):
        labels = reader.labels[task.name].labels if isinstance(task.answer, Shares) else ()
        return Scores(task.answer, answers[task.name], labels or getattr(task.answer, "labels", ()))
    vectors, bias = reader.item_vectors(past)
    logits = answers[task.name] @ vectors.T + bias
    logits[fed[f"memory.{task.name}.now"], fed[f"memory.{task.name}.code"]] += answers[f"{task.name}.memory_more"]
    top = np.argsort(-logits, axis=1, kind="stable")[:, :100]
    ids = past.items[schema.ITEM].to_numpy()
    return Scores(task.answer, np.take_along_axis(logits, top, axis=1), ids=ids[top])


def _write(reader: FittedReader, example: Mapping[str, Array], file: Path) -> None:
    """The network as ONNX, for any number of customers, moments, lines and things met."""
    import torch

    assert reader.fitted is not None
    network, tasks = reader.fitted.eval(), reader.tasks
    ins, outs = names_of(tasks)

    class Answers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
            fed = dict(zip(ins, given, strict=True))
            state = self._state(fed)
            found = [state]
            for task in tasks:
                head: Any = self.network.heads[task.name]
                now, features = fed.get(f"memory.{task.name}.now"), fed.get(f"memory.{task.name}.features")
                if isinstance(task.answer, Ranking):
                    query = head.query(state)
                    plain = (query[now] * fed[f"memory.{task.name}.vector"]).sum(-1) + fed[f"memory.{task.name}.bias"]
                    found += [query, head.memory(state, now, features, plain)]
                elif isinstance(task.answer, Shares):
                    found.append(torch.softmax(head.logits(state, fed, task.name), dim=-1))
                elif isinstance(task.answer, Amount):
                    found.append(_amount(head, state))
                else:
                    found.append(head.answer(state))
            return tuple(found)

        def _state(self, fed: dict[str, torch.Tensor]) -> torch.Tensor:
            """`Reader.nows` for one now a history."""
            read = self.network.reader
            lines = fed["line_vector"]
            moments = read._moments({**fed, "line_item": torch.arange(lines.shape[0])}, lines)
            told, now = read.now_tokens(fed)
            age, visible = fed["now_age"].unsqueeze(1), fed["now_visible"].unsqueeze(1)
            return read.last_states(moments, fed["moment_age"], now.unsqueeze(1), age, visible)[:, 0] + read.say(told)

    def _amount(head: Any, states: torch.Tensor) -> torch.Tensor:
        """`AmountHead.answer`, with an inverse error function that ONNX can compute."""
        logit, mu, sigma, root = head._parts(states)
        some = torch.sigmoid(logit)
        mean = (root.clamp(min=0).square() + head.scatter * root.clamp(0, 1)) * head.unit**2
        level = torch.tensor(QUANTILES).view(1, -1)
        inside = ((level - (1 - some.unsqueeze(1))) / some.unsqueeze(1)).clamp(1e-6, 1 - 1e-6)
        size = torch.exp(mu.unsqueeze(1) + sigma.unsqueeze(1) * 2**0.5 * _erfinv(2 * inside - 1))
        quantiles = torch.where(level <= 1 - some.unsqueeze(1), torch.zeros_like(size), size)
        return torch.cat([mean.unsqueeze(1), quantiles], dim=1)

    given = tuple(torch.from_numpy(np.ascontiguousarray(example[name])) for name in ins)
    auto = torch.export.Dim.DYNAMIC
    moving = {"now_told": 1, "line_vector": 1, "line_numbers": 1, "now_numbers": 1}
    shapes = tuple(
        dict.fromkeys(range(min(one.dim(), moving.get(name, 2 if name.startswith("moment") else 1))), auto)
        for name, one in zip(ins, given, strict=True)
    )
    onnx_file.write(Answers(), given, file, inputs=ins, outputs=outs, dynamic_shapes=(shapes,))


def _erfinv(x: torch.Tensor) -> torch.Tensor:
    """The inverse error function in single precision (Giles 2010, Approximating the erfinv function, GPU Gems)."""
    import torch

    x = x.double()
    w = -torch.log((1 - x) * (1 + x))
    near, far = w - 2.5, torch.sqrt(w.clamp(min=5.0)) - 3.0
    middle, tail = torch.full_like(x, _NEAR[0]), torch.full_like(x, _FAR[0])
    for a, b in zip(_NEAR[1:], _FAR[1:], strict=True):
        middle, tail = a + middle * near, b + tail * far
    return (torch.where(w < 5.0, middle, tail) * x).float()


_NEAR = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087),
    *(-0.00125372503, -0.00417768164, 0.246640727, 1.50140941),
)
_FAR = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773),
    *(-0.0076224613, 0.00943887047, 1.00167406, 2.83297682),
)


def _whole(exact: Path, whole: Path) -> None:
    """Weights as whole numbers of eight bits, a scale for each column."""
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ConfigError("Exporting needs onnx and onnxruntime.", mend="pip install 'intently[export]'") from error
    model = onnx.load(str(exact))
    # What the exporter noted of shapes in between contradicts the quantised graph.
    del model.graph.value_info[:]
    bare = whole.with_suffix(".bare")
    onnx.save(model, str(bare))
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        quantize_dynamic(str(bare), str(whole), per_channel=True, weight_type=QuantType.QInt8)
    finally:
        root.setLevel(before)
        bare.unlink()
