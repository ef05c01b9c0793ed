"""The sequence reader as ONNX, heads and all: exact, and in whole numbers of eight bits; and the gate for both.

What goes in is what `learn.batches` collates, one question for each history, with the vectors of the items met (which
are made once for a catalogue). What comes out is what `FittedReader.read` gives, before calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intently import metrics
from intently.contract import QUANTILES, Amount, EachEvent, Everyone, Examples, Past, Ranking, Scores, Shares, Task
from intently.errors import ConfigError, TooFewExamples
from intently.evaluate.compare import encode
from intently.learn.batches import Batches
from intently.learn.finetune import remembers
from intently.learn.fitted import FittedReader
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array
from intently.ship import onnx_file
from intently.ship.gate import Gate, passed
from intently.ship.onnx_file import session
from intently.text.arrays import sequences

if TYPE_CHECKING:
    import torch

EXACT, WHOLE = "reader.onnx", "reader.int8.onnx"
_EVENTS_OF = timedelta(days=28)
_PLAIN = (
    *("moment_numbers", "moment_hour", "moment_age", "line_slot", "line_type", "line_numbers", "line_vector"),
    *("now_visible", "now_age", "now_hour", "now_told", "now_numbers"),
)


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

    def write(part: Path) -> Gate:
        _write(reader, inputs(reader, past), part / EXACT)
        onnx_file.in_eight_bits(part / EXACT, part / WHOLE)
        return judge(reader, part, past, truth)

    return passed(folder, write)


def examples_of(tasks: Sequence[Task], log: Log, until: datetime, most: int) -> dict[str, tuple[Examples, Past]]:
    """By task, examples with their truth in the last window that was wholly observed by `until`; so many at most.

    Of questions about events, those of the last four weeks before that.
    """
    known, found = log.before(until), {}
    for task in tasks:
        last = until - task.horizon
        match task.asks:
            case Everyone():
                cutoffs = [last]
            case EachEvent(span=span):
                cutoffs = [last - span * back for back in range(1, max(1, _EVENTS_OF // span) + 1)]
        examples = task.examples(known, cutoffs)
        if not len(examples):
            raise TooFewExamples(f"Nobody is asked {task.name} before {until:%Y-%m-%d}.", mend="Bring a longer log.")
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
