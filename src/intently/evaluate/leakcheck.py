"""Does anything from the future reach an answer? Three detectors, each with figures.

1. The future: everything known at or after `at` is scrambled; not one bit of one answer may move.
2. Late arrivals: only what happened before `at` but was learned of at or after it varies; nor may these.
3. Static columns: `users` and `items` carry no dates, so a column made from later events looks innocent.
   A real trait (an income, a brand) tells as much of the customer's past as of their future; a leaked one
   tells far more of the future. Both windows are equally long, and end and begin at `at`.

What the check cannot see: a predictor that remembers answers from elsewhere, without reading the log it is
handed; and a column made from past and future alike, such as the total of all years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from intently.contract import TRUTH, Amount, EachEvent, Examples, OneOf, Ranking, Scores, Shares, Task, YesNo, duration
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array, known

FUTURE = "future"
LATE = "late arrivals"
COLUMN = "static column"

Answer = Callable[[str, str, Log, datetime], Scores]
Progress = Callable[[str, float], None]

STRANGE_TYPE = "!scrambled"
_EXTENDED = timedelta(days=28)
_FEWEST_INVENTED, _MOST_INVENTED = 50, 20_000

_FOLDS = 5
_BINS = 20
_PERMUTATIONS = 200
# Many columns are tried on many tasks: three standard deviations would cry wolf.
_DEVIATIONS = 5.0
# Seasons make real traits unequal in neighbouring windows by a little.
_MARGIN = 0.05


@dataclass(frozen=True)
class Checked:
    """One check. `predictor` is who answered or, of a static column, its name such as "users.income".

    `difference`: by how much an answer moved at most, in the unit of its scores (inf where other ids or shapes
    came); of a static column, how much more of the future than of the past it tells, as correlations; NaN where
    nothing could be checked, and `detail` says why.
    """

    task: str
    predictor: str
    detector: str
    difference: float
    leaks: bool
    detail: str


@dataclass(frozen=True)
class Finding:
    """A leak: where, found by which detector, and the figures."""

    task: str
    predictor: str
    detector: str
    detail: str


def silent(_what: str, _fraction: float) -> None:
    """Progress that nobody watches."""


def leakcheck(
    tasks: Sequence[Task],
    answer: Answer,
    predictors: Mapping[str, Sequence[str]],
    log: Log,
    at: datetime,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> list[Finding]:
    """What `checks` finds; nothing where all is clean."""
    return findings(checks(tasks, answer, predictors, log, at, rng, progress))


def findings(checked: Sequence[Checked]) -> list[Finding]:
    """The checks that found a leak."""
    return [Finding(row.task, row.predictor, row.detector, row.detail) for row in checked if row.leaks]


def checks(
    tasks: Sequence[Task],
    answer: Answer,
    predictors: Mapping[str, Sequence[str]],
    log: Log,
    at: datetime,
    rng: np.random.Generator,
    progress: Progress = silent,
) -> list[Checked]:
    """Every check, clean or not.

    `answer(task, predictor, log, at)` scores everyone asked at `at`, reading the log it is given, uncut;
    `predictors` names who answers each task. Questions about events are asked a span earlier, so that
    the events themselves are known before `at`.
    """
    asked = [(task, name) for task in tasks for name in predictors.get(task.name, ())]
    steps = 3 * len(asked) + len(tasks)
    done = 0
    first: dict[tuple[str, str], Scores] = {}
    found = []
    # Log by log and not question by question: a reader that serves several tasks reads each log once.
    logs = {"": log, FUTURE: future_scrambled(log, at, rng), LATE: late_scrambled(log, at, rng)}
    for detector, changed in logs.items():
        for task, name in asked:
            progress(f"{detector or 'answers'}: {task.name}, {name}", done / steps)
            scores = answer(task.name, name, changed, _when(task, at))
            if detector:
                found.append(_compared(task.name, name, detector, first[task.name, name], scores))
            else:
                first[task.name, name] = scores
            done += 1
    for task in tasks:
        progress(f"{COLUMN}s: {task.name}", done / steps)
        found += static_columns(task, log, at, rng)
        done += 1
    progress("leak check", 1.0)
    return found


def _when(task: Task, at: datetime) -> datetime:
    return at - task.asks.span if isinstance(task.asks, EachEvent) else at


# --- Detectors 1 and 2: other logs with the same past. ---


def future_scrambled(log: Log, at: datetime, rng: np.random.Generator) -> Log:
    """A log with the same past, in which whatever is known at or after `at` is scrambled.

    Customers, items, types and amounts of later events (those that happened earlier and arrived later
    among them) are shuffled, events of strangers and of a new type are added, and the log goes on
    for 28 days more. `items` and `users` have no dates, and stay.
    """
    past, later = _parted(log, at)
    until = max(log.observed_until, at) + _EXTENDED
    invented = _invented(past if len(past) else later, len(later), rng)
    invented = invented.with_columns(_times(at, until, len(invented), rng).alias(schema.TIME))
    if schema.ARRIVED in past.columns:
        invented = invented.with_columns(pl.lit(None, schema.CLOCK).alias(schema.ARRIVED))
    return _log(log, [past, _shuffled(later, rng), invented], until)


def late_scrambled(log: Log, at: datetime, rng: np.random.Generator) -> Log:
    """A log in which only late arrivals differ: what happened before `at` and was learned of at or after it.

    Those there are are shuffled; copies of earlier events are added that arrive after `at`, with
    other customers, items and amounts. A log without `arrived_at` gets the column.
    """
    past, later = _parted(log, at)
    later = later.with_row_index("_row")
    row = replace(log, events=later).between(datetime.min.replace(tzinfo=at.tzinfo), at)["_row"]
    is_late = later["_row"].is_in(row.implode())
    later = later.drop("_row")
    until = max(log.observed_until, at + timedelta(days=1))
    invented = _invented(past if len(past) else later, len(row), rng)
    invented = invented.with_columns(_times(at, until, len(invented), rng).alias(schema.ARRIVED))
    parts = [past, later.filter(~is_late), _shuffled(later.filter(is_late), rng)]
    if schema.ARRIVED not in past.columns:
        parts = [part.with_columns(pl.lit(None, schema.CLOCK).alias(schema.ARRIVED)) for part in parts]
    return _log(log, [*parts, invented], until)


def _parted(log: Log, at: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is known before `at`, and the rest. Events are sorted by when they were known."""
    past = log.before(at).events
    return past, log.events.slice(len(past))


def _log(log: Log, parts: Sequence[pl.DataFrame], until: datetime) -> Log:
    events = pl.concat([part.select(parts[0].columns) for part in parts])
    return replace(log, events=events.sort(known(), maintain_order=True), observed_until=until)


def _shuffled(events: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Each column in an order of its own, measures beside that stretched; times and event ids stay."""
    kept = (schema.TIME, schema.ARRIVED, schema.EVENT)
    columns = [column if column.name in kept else column[rng.permutation(len(column))] for column in events]
    return pl.DataFrame([_stretched(column, rng) for column in columns])


def _invented(past: pl.DataFrame, alike: int, rng: np.random.Generator) -> pl.DataFrame:
    """Rows drawn column by column from known ones, about as many as `alike`; some of strangers or an unknown type."""
    n = int(np.clip(alike, _FEWEST_INVENTED, _MOST_INVENTED))
    drawn = pl.DataFrame([_stretched(column[rng.integers(len(past), size=n)], rng) for column in past])
    odd = pl.Series(rng.random(n) < 0.1)
    columns = [drawn[schema.USER].zip_with(~odd, _strangers(past[schema.USER], n))]
    if drawn.schema[schema.TYPE] == pl.String:
        columns.append(drawn[schema.TYPE].zip_with(~odd, pl.Series([STRANGE_TYPE] * n, dtype=pl.String)))
    drawn = drawn.with_columns(columns)
    if schema.EVENT in drawn.columns:
        # Ids stay unique; what is drawn speaks about events that are known.
        about = [past[schema.EVENT][rng.integers(len(past), size=n)].alias(schema.ABOUT)]
        drawn = drawn.with_columns(
            pl.lit(None, drawn.schema[schema.EVENT]).alias(schema.EVENT),
            *(about if schema.ABOUT in drawn.columns else []),
        )
    return drawn.cast(past.schema)


def _strangers(users: pl.Series, n: int) -> pl.Series:
    """Ids that come before all others in the order of ids, so that the numbering of the known ones shifts."""
    if users.dtype.is_integer():
        least = users.min()
        assert isinstance(least, int)
        low = least - 1 if users.dtype.is_signed_integer() or least else int(users.max()) + 1  # type: ignore[arg-type]
        return pl.Series([low] * n, dtype=users.dtype)
    return pl.Series([f"!{number}" for number in range(n)], dtype=pl.String).cast(users.dtype)


def _stretched(column: pl.Series, rng: np.random.Generator) -> pl.Series:
    if not column.dtype.is_float():
        return column
    return (column * pl.Series(rng.lognormal(0.5, 1.0, len(column)))).cast(column.dtype).alias(column.name)


def _times(start: datetime, end: datetime, n: int, rng: np.random.Generator) -> pl.Series:
    offsets = rng.integers(0, max((end - start) // timedelta(microseconds=1), 1), size=n)
    return (pl.Series(offsets, dtype=pl.Int64).cast(pl.Duration("us")) + start).cast(schema.CLOCK)


def _compared(task: str, predictor: str, detector: str, before: Scores, after: Scores) -> Checked:
    """Whether two answers to the same questions are the same, bit by bit."""
    if before.values.shape != after.values.shape or before.labels != after.labels:
        shapes = f"{before.values.shape} before, {after.values.shape} after"
        return Checked(task, predictor, detector, np.inf, leaks=True, detail=f"The answer has another shape: {shapes}.")
    same = (before.values == after.values) | (np.isnan(before.values) & np.isnan(after.values))
    apart = np.abs(np.where(same, 0.0, before.values.astype(np.float64) - after.values.astype(np.float64)))
    moved, most = ~same.all(axis=1), float(apart.max(initial=0.0))
    detail = f"moved by up to {most:.3g}"
    if before.ids is not None and after.ids is not None:
        # The ids that pad a row without candidates are nobody's.
        other = ((before.ids != after.ids) & np.isfinite(before.values)).any(axis=1)
        if other.any():
            most, detail = np.inf, f"{detail}; {other.sum()} rankings hold other ids"
        moved |= other
    text = f"{moved.sum()} of {len(before)} answers changed with the {detector} alone; {detail}."
    return Checked(task, predictor, detector, most, bool(moved.any()), text if moved.any() else "identical")


# --- Detector 3: columns that know too much. ---


def static_columns(task: Task, log: Log, at: datetime, rng: np.random.Generator) -> Iterator[Checked]:
    """Each column of `users` and `items` against the truth of the window after `at` and of the one before it.

    Truths become ranks. A column tells as much as its groups' means, learned on four fifths of the asked and
    read on the fifth, correlate with the ranks; numbers are cut into at most 20 groups, and null is a group.
    It leaks where it tells of the future (a) more than of the shuffled truth, by five standard deviations of
    200 shuffles, and (b) more than of the past, by five standard errors of that difference and .05 besides.
    """
    fault = _unchecked(task, log, at)
    if fault:
        yield Checked(task.name, "", COLUMN, np.nan, leaks=False, detail=fault)
        return
    examples = task.examples(log, [at - task.horizon, at])
    earlier = examples.where((examples.at == examples.cutoffs[0]).to_numpy())
    later = examples.where((examples.at != examples.cutoffs[0]).to_numpy())
    asked = task.questions(log, at - task.horizon).frame.select(task.key)
    for key, past, future in _amounts(task, asked, earlier, later, log.before(at - task.horizon)):
        both = past.join(future, on=key, suffix="_after")
        if len(both) < 10 * _FOLDS:
            continue
        table = log.users if key == schema.USER else log.items
        room = "users" if key == schema.USER else "items"
        said = both.select(key).join(table, on=key, how="left", maintain_order="left")
        ranks = [both[name].rank().to_numpy() / len(both) for name in (TRUTH, f"{TRUTH}_after")]
        for column in said.drop(key):
            if not column.dtype.is_nested():
                yield _told(task, f"{room}.{column.name}", _groups(column), ranks[0], ranks[1], rng)


def _unchecked(task: Task, log: Log, at: datetime) -> str:
    """Why the columns cannot be judged, or nothing."""
    if isinstance(task.asks, EachEvent):
        return "not checked: the question is about events"
    if log.observed_until < at + task.horizon or at - task.horizon < log.observed_from:
        return f"not checked: {duration(task.horizon)} before and after the cut-off are not wholly observed"
    return ""


def _amounts(
    task: Task, asked: pl.DataFrame, earlier: Examples, later: Examples, before: Log
) -> Iterator[tuple[str, pl.DataFrame, pl.DataFrame]]:
    """(key, past, future): one number a customer or item in either window, of those asked before both."""
    truth = pl.col(TRUTH)
    parts = [part.frame.select(task.key, TRUTH) for part in (earlier, later)]
    match task.answer:
        case YesNo() | Amount():
            amounts = [part.with_columns(truth.cast(pl.Float64)) for part in parts]
        case OneOf():
            amounts = [part.with_columns((truth == truth.mode().first()).cast(pl.Float64)) for part in parts]
        case Shares():
            weight = truth.list.eval(pl.element().struct.field("weight")).list.sum().cast(pl.Float64)
            amounts = [_everyone(asked, part.with_columns(weight)) for part in parts]
        case Ranking(of=of):
            amounts = [_everyone(asked, part.with_columns(truth.list.len().cast(pl.Float64))) for part in parts]
            named = [part.select(truth.list.explode().alias(of)).group_by(of).len(TRUTH) for part in parts]
            items = before.events.select(pl.col(of).drop_nulls().unique().sort())
            counts = [_everyone(items, part.with_columns(truth.cast(pl.Float64))) for part in named]
            if of == schema.ITEM:
                yield of, counts[0], counts[1]
    amounts = [asked.join(part, on=task.key, maintain_order="left") for part in amounts]
    yield task.key, amounts[0], amounts[1]


def _everyone(asked: pl.DataFrame, amounts: pl.DataFrame) -> pl.DataFrame:
    """Whoever has no truth has bought nothing."""
    return asked.join(amounts, on=asked.columns, how="left", maintain_order="left").with_columns(
        pl.col(TRUTH).fill_null(0.0)
    )


def _groups(column: pl.Series) -> Array:
    """Values as group numbers (n,); numbers and times of many values by quantile."""
    numeric = column.dtype.is_numeric() or column.dtype.is_temporal()
    if numeric and column.n_unique() > _BINS:
        values = column.to_physical().cast(pl.Float64).fill_nan(None)
        bins = max(4, min(_BINS, len(column) // 10))
        column = ((values.rank() - 1) * bins / max(values.count(), 1)).floor()
    return column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _told(task: Task, name: str, groups: Array, past: Array, future: Array, rng: np.random.Generator) -> Checked:
    fold = rng.integers(_FOLDS, size=len(groups))
    after, before = products(groups, fold, future), products(groups, fold, past)
    told, told_before = float(after.mean()), float(before.mean())
    shuffled = [products(groups, fold, rng.permutation(future)).mean() for _ in range(_PERMUTATIONS)]
    chance = float(np.mean(shuffled) + _DEVIATIONS * np.std(shuffled))
    bound = _MARGIN + _DEVIATIONS * float((after - before).std()) / np.sqrt(len(groups))
    length = duration(task.horizon)
    detail = (
        f"{name} correlates {told:.3f} with the {length} after the cut-off (by chance at most {chance:.3f}) and "
        f"{told_before:.3f} with the {length} before it; a real trait differs by at most {bound:.3f}."
    )
    leaks = told > chance and told - told_before > bound
    return Checked(task.name, name, COLUMN, told - told_before, leaks, detail)


def products(groups: Array, fold: Array, values: Array) -> Array:
    """Standardised values (n,) times what their group foretells; the mean is the correlation.

    A group foretells the mean of its rows in the other folds, with one row's weight on the mean of all.
    """
    cell = groups * _FOLDS + fold
    size = (int(groups.max()) + 1) * _FOLDS
    total = np.bincount(cell, values, minlength=size).reshape(-1, _FOLDS)
    count = np.bincount(cell, minlength=size).reshape(-1, _FOLDS)
    others = (total.sum(axis=1, keepdims=True) - total + values.mean()) / (count.sum(axis=1, keepdims=True) - count + 1)
    return np.asarray(_standard(others.reshape(-1)[cell]) * _standard(values))


def _standard(values: Array) -> Array:
    spread = values.std()
    return np.zeros(len(values)) if spread < 1e-12 else np.asarray((values - values.mean()) / spread)
