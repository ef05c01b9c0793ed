"""Which texts to label next: those the reader is least sure of, and unlike each other.

Of the least sure ones (smallest margin between the two likeliest labels; Scheffer et al. 2001) a core set is taken:
each next text is the one furthest from all that are labelled or taken (Sener and Savarese 2018).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from intently.contract import AT, TRUTH, EachEvent, Examples, OneOf, Past, Task, YesNo
from intently.errors import DataError, TooFewExamples, gathered
from intently.learn.text_reader import TextReader
from intently.log import schema
from intently.log.log import Log
from intently.log.pack import Array

LABEL, GUESS, CHANCE = "label", "guess", "chance"


UNSURE = 5.0
# The number of a row of the file; a person's own column may well be called `row`.
_ROW = "_row_of_the_file"


def margin(chances: Array) -> Array:
    """How much likelier the first label is than the second, (n,); of yes or no (n, 1), how far it is from even."""
    if chances.shape[1] == 1:
        return np.abs(2 * chances[:, 0] - 1)
    two = np.sort(chances, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def choose(chances: Array, states: Array, count: int, known: Array | None = None, unsure: float = UNSURE) -> Array:
    """Row numbers of the texts to label next, at most `count`, the most wanted first.

    `states` (n, width) are where texts lie, `known` (m, width) those of the labelled ones. `unsure` times as many as
    wanted, the least sure, are looked at; of these the ones far apart are taken.
    """
    count = min(count, len(chances))
    pool = np.argsort(margin(chances), kind="stable")[: max(count, round(unsure * count))]
    unit = states[pool] / np.maximum(np.linalg.norm(states[pool], axis=1, keepdims=True), 1e-12)
    if known is None or not len(known):
        far = np.full(len(pool), np.inf)
    else:
        labelled = known / np.maximum(np.linalg.norm(known, axis=1, keepdims=True), 1e-12)
        far = 1 - (unit @ labelled.T).max(axis=1)
    taken: list[int] = []
    for _ in range(count):
        # Among those equally far the least sure: at first, with nothing labelled, the least sure of all.
        best = int(far.argmax())
        taken.append(best)
        far = np.minimum(far, 1 - unit @ unit[best])
        far[taken] = -np.inf
    return pool[taken]


def suggested(reader: TextReader, examples: Examples, past: Past, count: int) -> pl.DataFrame:
    """The questions to label next, as a table to be filled in: who is asked, what they wrote, a guess, its chance."""
    scores = reader.predict(examples.hide(), past)
    rows = choose(scores.values, reader.states(examples, past), count)
    labels = _labels(examples)
    best = (scores.values[:, 0] >= 0.5).astype(int) if scores.values.shape[1] == 1 else scores.values.argmax(axis=1)
    chance = np.where(best == 0, 1 - scores.values[:, 0], scores.values[:, 0])
    if scores.values.shape[1] > 1:
        chance = scores.values.max(axis=1)
    table = examples.hide().frame[rows]
    return table.with_columns(
        pl.Series(GUESS, [labels[number] for number in best[rows]]),
        pl.Series(CHANCE, chance[rows].round(4)),
        pl.lit("").alias(LABEL),
    )


def read_labels(file: Path, examples: Examples) -> Examples:
    """The questions of `examples` that a filled-in table labels, with these labels as their truths.

    Raises DataError that names every label that is not one of the question's, and every id that was not asked.
    """
    key, labels = examples.task.key, _labels(examples)
    table = _table(file)
    missing = sorted({key, LABEL} - set(table.columns))
    if missing:
        raise DataError(f"{file} has no column {missing[0]!r}.", mend="Fill in the table that suggest-labels wrote.")
    filled = table.with_columns(pl.col(LABEL).str.strip_chars()).filter(pl.col(LABEL).fill_null("") != "")
    asked = set(examples.asked.cast(pl.String).to_list())
    faults = [
        f"row {row}: {label!r} is not one of {', '.join(labels)}"
        for row, label in filled.select(_ROW, LABEL).rows()
        if label not in labels
    ]
    faults += [
        f"row {row}: {one!r} was not asked about" for row, one in filled.select(_ROW, key).rows() if one not in asked
    ]
    several = filled.group_by(key, maintain_order=True).agg(_ROW, LABEL).filter(pl.col(LABEL).list.n_unique() > 1)
    faults += [
        f"rows {', '.join(map(str, rows))}: {one!r} is labelled {' and '.join(dict.fromkeys(said))}"
        for one, rows, said in several.rows()
    ]
    if faults:
        raise DataError(f"{file} cannot be used: {gathered(faults)}.", mend="Correct these rows and read it again.")
    named = filled.select(pl.col(key).alias("_id"), pl.col(LABEL).alias(TRUTH)).unique("_id", keep="last")
    frame = examples.hide().frame.with_columns(pl.col(key).cast(pl.String).alias("_id"))
    found = frame.join(named, on="_id", how="inner", maintain_order="left").drop("_id")
    if isinstance(examples.task.answer, YesNo):
        found = found.with_columns(pl.col(TRUTH) == "yes")
    return Examples(examples.task, found)


def write_table(table: pl.DataFrame, file: Path) -> None:
    """Write a table to be filled in. It begins with the mark by which Excel knows UTF-8."""
    table.write_csv(file, include_bom=True)


def _table(file: Path) -> pl.DataFrame:
    """A filled-in table, all as text, with the number of each row. Raises DataError for a file that is none."""
    mend = "Save the table that suggest-labels wrote as CSV UTF-8, with commas between the columns."
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not in UTF-8 (byte {error.start + 1:,}).", mend=mend) from error
    try:
        table = pl.read_csv(io.StringIO(text), infer_schema=False)
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{file} is empty.", mend=mend) from error
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{file} is no table of commas: {str(error).splitlines()[0]}.", mend=mend) from error
    return table.with_row_index(_ROW, offset=2)


def labelled_by(file: Path, task: Task, known: Log) -> Examples:
    """The events of a log that a filled-in table labels. Raises DataError for a table that cannot be used."""
    return read_labels(file, _every(task, known))


def kept_labels(given: Examples) -> pl.DataFrame:
    """Labels given by hand as a bundle keeps them: an event's id as text and its truth, nothing of what it says."""
    return given.frame.select(pl.col(given.task.key).cast(pl.String), TRUTH)


def found_labels(labels: pl.DataFrame, task: Task, known: Log) -> Examples:
    """The events of a log that kept labels are of. What the log does not have, or no longer, is left out."""
    every = _every(task, known).frame.with_columns(pl.col(task.key).cast(pl.String).alias("_id"))
    mine = labels.rename({task.key: "_id"})
    return Examples(task, every.join(mine, on="_id", how="inner", maintain_order="left").drop("_id"))


def _every(task: Task, known: Log) -> Examples:
    """Every event of a log that is asked about, once."""
    return Examples(task, _in_one_span(task, known).questions(known, known.observed_from).frame)


def _in_one_span(task: Task, known: Log) -> Task:
    """The question asked of a whole log at once: weeks counted back from its end do not reach its beginning."""
    assert isinstance(task.asks, EachEvent)
    return replace(task, asks=replace(task.asks, span=known.observed_until - known.observed_from))


def labelled_in(task: Task, known: Log, cutoffs: Sequence[datetime]) -> Examples:
    """The events of which the log says already what is true, those whose time to be answered is not over with them."""
    # Where silence is an answer too, it is one only when the time is over.
    until = known.observed_until if task.absent is not None else known.observed_until + task.horizon
    told = replace(known, observed_from=min(known.observed_from, *cutoffs), observed_until=until)
    try:
        return task.examples(told, cutoffs)
    except TooFewExamples:
        return task.questions(known, cutoffs[0]).take(np.arange(0))


def used(given: Examples, log: Log, learned: Examples) -> dict[str, int]:
    """How many labels given by hand are among what is learned from, are overruled by the log, or lie outside."""
    task = given.task
    said = set(_in_one_span(task, log).examples(log, [log.observed_from]).asked)
    overruled = len(set(given.asked) & said)
    count = len(set(given.asked) & set(learned.asked) - said)
    return {"used": count, "overruled": overruled, "out_of_range": len(given) - count - overruled}


def truths(task: Task, log: Log, cutoffs: Sequence[datetime], given: Examples | None) -> Examples:
    """The examples of a task, and of those events that the log says nothing of what was `given` by hand."""
    examples = task.examples(log, cutoffs)
    if given is None or not isinstance(task.asks, EachEvent):
        return examples
    mine = given.where((pl.col(AT) >= min(cutoffs)) & (pl.col(AT) < max(cutoffs) + task.asks.span))
    new = mine.frame.join(examples.frame, on=task.key, how="anti", maintain_order="left")
    return replace(examples, frame=pl.concat([examples.frame, new.select(examples.frame.columns)]).sort(AT))


def unlabelled(examples: Examples, labelled: Examples) -> Examples:
    """The questions that are not among the labelled ones."""
    keys = [examples.task.key, AT] if examples.task.key != schema.EVENT else [schema.EVENT]
    left = examples.hide().frame.join(labelled.frame, on=keys, how="anti", maintain_order="left")
    return Examples(examples.task, left)


def _labels(examples: Examples) -> Sequence[str]:
    answer = examples.task.answer
    return answer.labels if isinstance(answer, OneOf) else ("no", "yes")
