"""The sequence reader as ONNX, heads and all: exact, and in whole numbers of eight bits; and the gate for both.

What goes in and what comes out is said in `ship/onnx_reader.py`, which answers by what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intently import metrics
from intently.contract import QUANTILES, Amount, EachEvent, Everyone, Examples, Past, Ranking, Shares, Task
from intently.errors import TooFewExamples
from intently.evaluate.compare import encode
from intently.learn.batches import Batches, remembers
from intently.learn.fitted import FittedReader
from intently.log.log import Log
from intently.log.pack import Array
from intently.ship import onnx_file
from intently.ship.gate import Gate, passed
from intently.ship.onnx_reader import EXACT, WHOLE, Items, OnnxAnswers, fed, names_of
from intently.text.arrays import newest, sequences
from intently.text.exported_model import session

if TYPE_CHECKING:
    import torch

_EVENTS_OF = timedelta(days=28)


def inputs(reader: FittedReader, past: Past) -> dict[str, Array]:
    """The inputs for the customers of a past, in their order; each must be asked once."""
    seq = newest(sequences(past))
    memories = tuple(task for task in reader.tasks if remembers(task))
    batches = Batches(seq, reader.catalogue(past), reader.numbers.apply(past), memories, described=False)
    # With a customer asked twice there are fewer histories than questions.
    batch = batches.arrays(seq.history if len(seq.history) == seq.histories else np.arange(seq.histories))
    return fed(reader.tasks, batch, *reader.every_item(past))


def export(
    reader: FittedReader,
    past: Past,
    folder: Path,
    truth: Mapping[str, tuple[Examples, Past]],
    made_of: str = "",
) -> Gate:
    """Write both forms of a reader to a folder, or nothing where one does not pass.

    `past` is of some customers, each asked once, over which the exact form is compared with the network; `truth` are
    examples with their pasts, by task, on which metrics are compared; `made_of` names the weights. Raises BundleError
    for a form that does not pass.
    """

    def write(part: Path) -> Gate:
        _write(reader, inputs(reader, past), part / EXACT)
        onnx_file.in_eight_bits(part / EXACT, part / WHOLE)
        return replace(judge(reader, part, past, truth), made_of=made_of)

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
    """Compare both forms in a folder with the network itself, each in the way in which it serves."""
    assert reader.fitted is not None
    weights = {name: value.numpy() for name, value in reader.fitted.reader.items.state_dict().items()}
    exact, whole = (
        reader.answered_by(OnnxAnswers(session(folder / file), Items(weights, reader.stacked()), reader.tasks))
        for file in (EXACT, WHOLE)
    )
    wanted, found = reader.read(past), exact.read(past)
    apart = {}
    for name, values in found.items():
        known = wanted[name]
        size = np.maximum(1.0, np.abs(known).max(axis=1, keepdims=True)) if name in _sized(reader) else 1.0
        apart[name] = float((np.abs(values - known) / size).max(initial=0.0))
    for name, values, known in zip(("items", "bias"), exact.item_vectors(past), reader.item_vectors(past), strict=True):
        apart[name] = float((np.abs(values - known) / max(1.0, np.abs(known).max(initial=0.0))).max(initial=0.0))
    lost = {
        name: _good(exact, examples, asked) - _good(whole, examples, asked) for name, (examples, asked) in truth.items()
    }
    size = {file: (folder / file).stat().st_size for file in (EXACT, WHOLE)}
    return Gate(apart, lost, len(past), size[EXACT], size[WHOLE])


def _sized(reader: FittedReader) -> set[str]:
    """Outputs whose distance is told by their size."""
    by_size = {task.name for task in reader.tasks if isinstance(task.answer, Amount | Ranking)}
    return {"state", *by_size}


def _good(reader: FittedReader, examples: Examples, past: Past) -> float:
    """A task's first metric, more is better, before calibration."""
    task = examples.task
    metric = metrics.of(type(task.answer).__name__, task.metrics[:1])[0]
    scores = reader.uncalibrated().predict(examples.hide(), past)
    return float(metric.goodness(metric.value(*encode(task, examples, scores))))


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
