"""Every predictor on the same examples, judged by the same resamples: a Report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
import polars as pl

from intently import metrics
from intently.contract import OTHER, Amount, Examples, OneOf, Ranking, Scores, Shares, Task, YesNo, share_matrix
from intently.errors import ConfigError, TooFewExamples
from intently.evaluate.intervals import REPLICATES, Interval, advantage, resampled, spread
from intently.log.pack import codes
from intently.metrics import Metric
from intently.metrics.metric import Array
from intently.metrics.ranking import Relevant

ALL = "all"

Verdict = Literal["better", "worse", "undecided"]

_SCORES = {
    "predictor": pl.String,
    "task": pl.String,
    "metric": pl.String,
    "slice": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "households": pl.Int64,
}
_DIFFERENCES = {
    "a": pl.String,
    "b": pl.String,
    "task": pl.String,
    "metric": pl.String,
    "slice": pl.String,
    "value": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


@dataclass(frozen=True)
class Report:
    """What a comparison found, of one task or of several.

    `frame` has a row per predictor, task, metric and slice: value and its 95 % interval, rows and
    households judged; null where the metric is not defined. `differences` has a row per pair:
    positive is "a better", whatever the metric's direction. `primary` names each task's first metric.
    """

    frame: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_SCORES))
    differences: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=_DIFFERENCES))
    primary: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """The tasks reported, in order."""
        return list(self.primary)

    def predictors(self, task: str) -> list[str]:
        """Who was judged on a task, the best first by its primary metric."""
        rows = self.frame.filter(task=task, metric=self.primary[task], slice=ALL)
        metric = _metric(self, task)
        scored = [(name, metric.goodness(np.nan if value is None else value)) for name, value in _values(rows)]
        return [name for name, goodness in sorted(scored, key=lambda pair: (np.isnan(pair[1]), -pair[1]))]

    def best(self, task: str, among: Sequence[str] | None = None) -> str:
        """The best of `among` (everybody, without it) by the task's primary metric."""
        names = [name for name in self.predictors(task) if among is None or name in among]
        if not names:
            raise ConfigError(f"None of {among} was judged on {task}.", mend=f"There are {self.predictors(task)}.")
        return names[0]

    def score(self, predictor: str, task: str, metric: str | None = None, within: str = ALL) -> Interval:
        """One value with its interval; the primary metric unless another is named."""
        metric = metric or self.primary[task]
        return _only(self.frame.filter(predictor=predictor, task=task, metric=metric, slice=within), predictor)

    def difference(self, a: str, b: str, task: str, metric: str | None = None, within: str = ALL) -> Interval:
        """How much better a is than b, with its interval."""
        rows = self.differences.filter(task=task, metric=metric or self.primary[task], slice=within)
        forward = rows.filter(a=a, b=b)
        if len(forward):
            return _only(forward, f"{a} and {b}")
        back = _only(rows.filter(a=b, b=a), f"{a} and {b}")
        return Interval(-back.value, -back.high, -back.low)

    def beats(self, a: str, b: str, task: str | None = None, metric: str | None = None, within: str = ALL) -> Verdict:
        """Whether a is better than b beyond chance: the interval of their difference leaves 0 out."""
        if task is None:
            if len(self.primary) != 1:
                raise ConfigError("The report holds several tasks.", mend=f"Name one of {self.tasks}.")
            task = self.tasks[0]
        found = self.difference(a, b, task, metric, within)
        if found.low > 0:
            return "better"
        return "worse" if found.high < 0 else "undecided"

    def join(self, *others: Report) -> Report:
        """The report of all tasks together."""
        reports = (self, *others)
        return Report(
            pl.concat([report.frame for report in reports]),
            pl.concat([report.differences for report in reports]),
            {task: metric for report in reports for task, metric in report.primary.items()},
        )

    def to_json(self) -> dict[str, Any]:
        """Plain lists and texts, for `json.dumps`."""
        return {
            "primary": dict(self.primary),
            "scores": self.frame.to_dicts(),
            "differences": self.differences.to_dicts(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The report that `to_json` wrote."""
        return cls(
            pl.DataFrame(content["scores"], schema=_SCORES),
            pl.DataFrame(content["differences"], schema=_DIFFERENCES),
            dict(content["primary"]),
        )


def encode(task: Task, examples: Examples, scores: Scores, *, catalogue: int = 0) -> tuple[Any, Array]:
    """Truth and values as the metrics of the task's answer want them.

    YesNo: (n,) 0 or 1, and (n, 1). OneOf: label numbers, and columns in the task's order. Amount: (n,),
    and (n, 20). Shares: (n, labels) both, in the order of `scores.labels`. Ranking: `Relevant` and (n, k)
    codes; `catalogue` is how many items could have been ranked.
    """
    if len(examples) != len(scores):
        raise ConfigError(
            f"There are {len(scores)} scores for {len(examples)} examples of {task.name}.",
            mend="Predict the same examples that are judged.",
        )
    match task.answer:
        case YesNo() | Amount():
            return examples.truth.cast(pl.Float64).to_numpy(), scores.values
        case OneOf(labels=labels):
            column = [scores.labels.index(label) for label in labels] if scores.labels else list(range(len(labels)))
            truth = codes(examples.truth.cast(pl.String), pl.Series(list(labels), dtype=pl.String))
            return truth, scores.values[:, column]
        case Shares():
            return share_matrix(examples.truth, scores.labels), scores.values
        case Ranking():
            return _ranking(examples, scores, catalogue)


def compare(
    task: Task,
    examples: Examples,
    predictions: Mapping[str, Scores],
    slices: Mapping[str, Array] | None = None,
    *,
    names: Sequence[str] = (),
    catalogue: int = 0,
    replicates: int = REPLICATES,
    rng: np.random.Generator,
) -> Report:
    """Judge predictions of one task by its metrics, or by `names`; the first is primary.

    `slices` are boolean arrays (n,), each judged beside all rows by its rowwise metrics and the primary.
    Every household at all cut-offs is resampled whole, the same for all predictors.
    """
    if not len(examples) or not predictions:
        raise TooFewExamples(f"There is nothing to judge for {task.name}.", mend="Choose cut-offs with examples.")
    chosen = metrics.of(type(task.answer).__name__, names or task.metrics)
    predictions = _aligned(task, predictions)
    encoded = {name: encode(task, examples, scores, catalogue=catalogue) for name, scores in predictions.items()}
    truth = next(iter(encoded.values()))[0]
    values = {name: pair[1] for name, pair in encoded.items()}
    household = examples.household.rank("dense").to_numpy()
    report = _judge(task.name, ALL, chosen, truth, values, household, replicates, rng)
    quick = tuple(metric for i, metric in enumerate(chosen) if metric.rowwise or i == 0)
    for name, mask in (slices or {}).items():
        part = {predictor: rows[mask] for predictor, rows in values.items()}
        report = report.join(_judge(task.name, name, quick, truth[mask], part, household[mask], replicates, rng))
    return Report(report.frame, report.differences, {task.name: chosen[0].name})


def sentence(
    report: Report, task: str, *, served: str, before: str | None, baseline: str, opponent: str | None = None
) -> str:
    """One plain sentence: whether fine-tuning helped, and whether what is served beats the simpler ways.

    `before` is the same model not fine-tuned, `baseline` the best baseline, `opponent` what is served
    without the reader of the log. Says so where the answer is no, or not known.
    """
    metric = _metric(report, task)
    found = report.score(served, task)
    text = f"{task}: {served} has {metric.name} {_number(found)} (95 % interval {found.low:.4g} to {found.high:.4g})"
    if before is not None and before != served:
        how = {
            "better": "fine-tuning made it better than",
            "worse": "fine-tuning made it WORSE than",
            "undecided": "fine-tuning made no difference beyond chance from",
        }[report.beats(served, before, task)]
        text += f"; {how} {before} ({_number(report.score(before, task))})"
    rivals = [(baseline, "the best baseline"), *([(opponent, "the trees without the reader")] if opponent else [])]
    for name, role in rivals:
        if name == served:
            text += f"; it is itself {role}: no model does better"
            continue
        how = {"better": "it beats", "worse": "it LOSES to", "undecided": "it does not beat, beyond chance,"}[
            report.beats(served, name, task)
        ]
        text += f"; {how} {role}, {name} ({_number(report.score(name, task))})"
    return text + "."


def _judge(
    task: str,
    within: str,
    chosen: Sequence[Metric],
    truth: Any,
    values: Mapping[str, Array],
    household: Array,
    replicates: int,
    rng: np.random.Generator,
) -> Report:
    names, candidates = list(values), list(values.values())
    n, households = len(household), len(np.unique(household))
    if n:
        found = resampled(chosen, truth, candidates, household, replicates=replicates, rng=rng)
    else:
        found = np.full((1, len(names), len(chosen)), np.nan)
    points = [[metric.value(truth, candidate) for metric in chosen] for candidate in candidates]
    scores, differences = [], []
    for m, metric in enumerate(chosen):
        for p, name in enumerate(names):
            one = spread(metric, points[p][m], found[:, p, m])
            scores.append((name, task, metric.name, within, one.value, one.low, one.high, n, households))
        for a, b in combinations(range(len(names)), 2):
            gap = advantage(metric, (points[a][m], points[b][m]), (found[:, a, m], found[:, b, m]))
            differences.append((names[a], names[b], task, metric.name, within, gap.value, gap.low, gap.high))
    return Report(_table(scores, _SCORES), _table(differences, _DIFFERENCES))


def _table(rows: Sequence[tuple[Any, ...]], schema: Mapping[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(schema), orient="row").with_columns(pl.col(pl.Float64).fill_nan(None))


def _ranking(examples: Examples, scores: Scores, catalogue: int) -> tuple[Relevant, Array]:
    assert scores.ids is not None
    wanted = examples.truth.explode(keep_nulls=False, empty_as_null=False)
    given = pl.Series(scores.ids.reshape(-1)).cast(wanted.dtype)
    # Codes of the wanted come first, so that they are the same for every predictor.
    known = wanted.unique().sort()
    table = pl.concat([known, given.unique().sort().filter(~given.unique().sort().is_in(known.implode()))])
    offsets = np.concatenate([[0], np.cumsum(examples.truth.list.len().to_numpy().astype(np.int64))])
    ids = codes(given, table).reshape(scores.ids.shape)
    places = np.where(np.isfinite(scores.values), ids, -1)
    return Relevant(offsets, codes(wanted, table).astype(np.int64), catalogue), places


def _aligned(task: Task, predictions: Mapping[str, Scores]) -> Mapping[str, Scores]:
    """Shares over one set of labels, that of all predictors together; what one does not know it gives nothing."""
    if not isinstance(task.answer, Shares) or len({scores.labels for scores in predictions.values()}) == 1:
        return predictions
    known = sorted({label for scores in predictions.values() for label in scores.labels} - {OTHER})
    labels = (*known, OTHER)
    aligned = {}
    for name, scores in predictions.items():
        values = np.zeros((len(scores), len(labels)), dtype=np.float32)
        values[:, [labels.index(label) for label in scores.labels]] = scores.values
        aligned[name] = replace(scores, values=values, labels=labels)
    return aligned


def _metric(report: Report, task: str) -> Metric:
    """The primary metric; where two kinds share a name, they share its direction."""
    return next(metric for metric in metrics.ALL if metric.name == report.primary[task])


def _values(rows: pl.DataFrame) -> list[tuple[str, float | None]]:
    return list(zip(rows["predictor"], rows["value"], strict=True))


def _only(rows: pl.DataFrame, what: str) -> Interval:
    if len(rows) != 1:
        raise ConfigError(f"The report does not hold {what} there.", mend="Look at `Report.frame` for what it holds.")
    found = [float("nan") if rows[name][0] is None else float(rows[name][0]) for name in ("value", "low", "high")]
    return Interval(*found)


def _number(found: Interval) -> str:
    return f"{found.value:.4g}"
