"""`intently evaluate`: a bundle and all it is compared with, on cut-offs after its training."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from intently.cli import console

if TYPE_CHECKING:
    from intently.contract import Examples, Scores, Task
    from intently.learn.trained import Trained
    from intently.log.log import Log
    from intently.text.language_model import Progress

EXAMPLE = "Example: intently evaluate bundle/ --data shop/ --out report/ --final"
READINGS = "readings.jsonl"


def command(
    bundle: console.BUNDLE,
    data: console.DATA,
    out: Annotated[Path, typer.Option("--out", help="Folder for metrics.json and report.html.")],
    cutoffs: Annotated[str | None, typer.Option("--cutoffs", help="Dates a,b to judge on.")] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Judge on the test cut-offs: five weeks from the bundle's end on.")
    ] = False,
    readings: Annotated[
        Path | None,
        typer.Option("--readings", help="JSON-lines file to which every reading is added (OUT/readings.jsonl)."),
    ] = None,
    replicates: Annotated[int, typer.Option("--replicates", min=50, help="Bootstrap resamples.")] = 500,
    seed: console.SEED = 0,
    as_json: console.JSON = False,
) -> None:
    """Judge a bundle beside every baseline, households resampled whole; write metrics.json and report.html.

    A question is judged on the cut-offs after which its window is wholly observed, which its page names. A cut-off that
    is looked at often enough is learned by heart: every reading is added to a file, and counted by the cut-off that was
    judged on most often.
    """
    from intently.errors import ConfigError
    from intently.log.log import Log, moment
    from intently.ship.bundle import load

    if final == (cutoffs is not None):
        raise ConfigError(
            "It is not said on which cut-offs to judge." if not final else "--final has cut-offs of its own.",
            mend="Give --final for the five weeks from the bundle's end on, or --cutoffs with dates; not both.",
        )
    # Cut-offs are judged side by side, a thread each.
    trained = load(bundle, console.every_task(), threads=1)
    log = Log.read(data)
    times = [moment(text) for text in cutoffs.split(",")] if cutoffs else five_weeks(trained.until)
    with console.progress(as_json) as progress:
        content = judged(trained, log, times, replicates=replicates, seed=seed, progress=progress)
    written(content, out, readings or out / READINGS)
    if as_json:
        console.say_json({name: entry["sentence"] for name, entry in content["tasks"].items()})
    else:
        told(content)
        console.say(f"Report: {out / 'report.html'}")


def five_weeks(until: datetime) -> list[datetime]:
    """The five weekly cut-offs from the end of training on."""
    return [until + week * timedelta(days=7) for week in range(5)]


def judged(
    trained: Trained,
    log: Log,
    cutoffs: Sequence[datetime],
    *,
    replicates: int = 500,
    seed: int = 0,
    costs: Sequence[dict[str, Any]] = (),
    threads: int = 2,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Every predictor of a bundle on the same examples of later cut-offs: the content of metrics.json."""
    import numpy as np

    from intently.contract import Past
    from intently.errors import ConfigError
    from intently.evaluate import slices
    from intently.evaluate.compare import Report, compare
    from intently.evaluate.cost import measured
    from intently.evaluate.report import document, task_entry
    from intently.learn.blend import Blend
    from intently.learn.trained import BEFORE, OPPONENT
    from intently.learn.workers import side_by_side
    from intently.log import schema

    early = [at for at in cutoffs if at < trained.until]
    if early:
        raise ConfigError(
            f"Cut-off {named(early[0])} lies before the end of training, {named(trained.until)}.",
            mend="Judge on later cut-offs, or train with an earlier --until.",
        )
    known = log.before(trained.until).events[schema.USER].drop_nulls().unique()
    sold = log.before(trained.until).events[schema.ITEM].drop_nulls().unique()
    asked, unasked = _asked(trained.tasks, log, cutoffs)
    tasks = [task for task in trained.tasks if task.name in asked]
    chosen, on = sorted(set(cutoffs)), {task.name: judged_on(asked[task.name], cutoffs) for task in tasks}
    cutoffs = sorted({at for some in on.values() for at in some})
    report, entries, rows = Report(), {}, list(costs)
    # Nothing after `at` is within reach of a predictor.
    known_at = {at: log.before(at) for at in cutoffs}
    for known_then in known_at.values():
        _ = known_then.pack

    def answered(at: datetime) -> dict[str, dict[str, Scores]]:
        """Everybody's answers at one cut-off. All are asked, so that tasks share one reading of the past."""
        found: dict[str, dict[str, Scores]] = {}
        for task in tasks:
            earlier = [one for one in cutoffs if one < at]
            everyone, place, known = _everyone(task, at, earlier, asked[task.name], known_at[at], log)
            past = Past(known, everyone)
            told: dict[str, Scores] = {}
            for name, predictor in trained.predictors[task.name].items():
                # What a blend costs is measured once; after that its parts have been asked already.
                scores = None
                if at != cutoffs[0] and isinstance(predictor, Blend):
                    scores = predictor.of(told, trained.predictors[task.name])
                if scores is None:
                    with measured() as cost:
                        scores = trained.answer(everyone, past, name)
                told[name] = scores
                if at == cutoffs[0]:
                    rows.append(cost.row(f"{task.name}: {name}", "predict", len(everyone)))
            found[task.name] = {name: scores.take(place) for name, scores in told.items()}
        return found

    # One cut-off alone, to see what it costs; the others side by side.
    alone = answered(cutoffs[0])

    def judge(task: Task) -> tuple[Report, dict[str, Any]]:
        examples = asked[task.name]
        parts = [found[task.name] for found in answers]
        predictions = {name: _joined([part[name] for part in parts]) for name in parts[0]}
        groups = slices.standard(examples, Past(log, examples), sold if task.key == schema.ITEM else known)
        rng, catalogue = np.random.default_rng(seed), len(log.items)
        one = compare(task, examples, predictions, groups, catalogue=catalogue, replicates=replicates, rng=rng)
        names = list(predictions)
        entry = task_entry(
            one,
            task,
            examples,
            predictions,
            served=trained.served[task.name],
            before=BEFORE if BEFORE in names else None,
            baseline=trained.baseline[task.name],
            opponent=OPPONENT if OPPONENT in names and trained.served[task.name] != OPPONENT else None,
        ) | {"left_out": examples.left_out, "examples": len(examples), "cutoffs": [named(at) for at in on[task.name]]}
        if len(on[task.name]) < len(chosen):
            some = f"{len(on[task.name])} of the {len(chosen)} cut-offs alone: {', '.join(entry['cutoffs'])}"
            entry["sentence"] += f" Judged on {some}."
        if task.name in trained.fallback:
            entry["fallback"] = trained.fallback[task.name]
            entry["sentence"] += f" It is what training fell back on: {entry['fallback']}"
        return one, entry

    with side_by_side(threads) as workers:
        answers = [alone, *workers.pool.map(answered, cutoffs[1:])]
        for number, (one, entry) in enumerate(workers.pool.map(judge, tasks)):
            report = report.join(one)
            entries[tasks[number].name] = entry
            if progress:
                progress("judging", (number + 1) / len(tasks))
    header = {
        "cut-offs": ", ".join(named(at) for at in cutoffs),
        "trained until": named(trained.until),
        "data": f"{len(log.events):,} events, {len(log.pack.user_ids):,} customers, {len(log.pack.item_ids):,} items",
        "language model": trained.reader.newest.text.model if trained.reader else "none",
        "made": f"{_clock():%Y-%m-%d %H:%M} UTC",
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "command": " ".join(["intently", *sys.argv[1:]]),
    }
    unjudged = [named(at) for at in chosen if at not in cutoffs]
    if unjudged:
        header["not judged"] = f"{', '.join(unjudged)}: what came after is not wholly observed"
    if unasked:
        header["left out"] = " ".join(f"{name}: {why}" for name, why in unasked.items())
    return document("Intently: what the model knows", header, report, entries, rows)


def _asked(tasks: Sequence[Task], log: Log, cutoffs: Sequence[datetime]) -> tuple[dict[str, Examples], dict[str, str]]:
    """Examples by task, and why some have none at these cut-offs. Raises TooFewExamples where none has."""
    from intently.errors import TooFewExamples

    found: dict[str, Examples] = {}
    faults: dict[str, TooFewExamples] = {}
    for task in tasks:
        try:
            examples = task.examples(log, cutoffs)
            if not len(examples):
                raise TooFewExamples(
                    f"There is nothing to judge for {task.name}.", mend="Choose cut-offs with examples."
                )
            found[task.name] = examples
        except TooFewExamples as error:
            faults[task.name] = error
    if not found and faults:
        raise next(iter(faults.values()))
    return found, {name: error.problem for name, error in faults.items()}


def judged_on(examples: Examples, cutoffs: Sequence[datetime]) -> list[datetime]:
    """The cut-offs on which there is anything to judge; of a question about events, those in whose span one lies."""
    from intently.contract import EachEvent

    asks = examples.task.asks
    end = asks.span if isinstance(asks, EachEvent) else timedelta(microseconds=1)
    return [at for at in sorted(set(cutoffs)) if examples.at.is_between(at, at + end, closed="left").any()]


def named(at: datetime) -> str:
    """A cut-off as it is written: its date, and its time of day (UTC) where that is not midnight."""
    clock = at.astimezone(UTC).replace(tzinfo=None)
    short = not (clock.second or clock.microsecond)
    return f"{clock:%Y-%m-%d}" if clock.time() == time() else clock.isoformat(timespec="minutes" if short else "auto")


def _everyone(
    task: Task, at: datetime, earlier: Sequence[datetime], asked: Examples, known: Log, log: Log
) -> tuple[Examples, Any, Log]:
    """Who is asked at a cut-off, without truth; the places of those who are judged there; the log they are asked of.

    Judged is whose truth is known. Events are those of the span from the cut-off on; each is asked at its own time, and
    its past ends there. One that is in the span of an `earlier` cut-off too is judged there alone.
    """
    from intently.contract import Everyone
    from intently.log.pack import codes

    if isinstance(task.asks, Everyone):
        everyone, some = task.questions(known, at), asked.where((asked.at == at).to_numpy())
    else:
        span = task.asks.span
        known = log.before(at + span)
        everyone = task.questions(known, at)
        since = max((one + span for one in earlier), default=at)
        some = asked.where((asked.asked.is_in(everyone.asked.implode()) & (asked.at >= since)).to_numpy())
    place = codes(some.asked, everyone.asked)
    assert (place >= 0).all()
    return everyone, place, known


def written(content: dict[str, Any], out: Path, readings: Path) -> None:
    """Write metrics.json and report.html, and append the reading of test cut-offs to a file."""
    from intently.evaluate.report import write_report

    out.mkdir(parents=True, exist_ok=True)
    readings.parent.mkdir(parents=True, exist_ok=True)
    header, on = content["header"], {name: entry["cutoffs"] for name, entry in content["tasks"].items()}
    earlier = [json.loads(line) for line in readings.read_text("utf-8").splitlines()] if readings.is_file() else []
    header["reading"] = f"number {1 + readings_of(on, earlier)} of these cut-offs in {readings.name}"
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    (out / "metrics.json").write_text(text + "\n", encoding="utf-8")
    write_report(content, out / "report.html")
    sentences = {name: entry["sentence"] for name, entry in content["tasks"].items()}
    short = {"header": header, "cutoffs": on, "sentences": sentences}
    with readings.open("a", encoding="utf-8") as file:
        file.write(json.dumps(short | {"report": content["report"]["scores"]}, ensure_ascii=False) + "\n")


def readings_of(on: Mapping[str, Sequence[str]], earlier: Sequence[Mapping[str, Any]]) -> int:
    """How often that of some cut-offs which was judged on most often was so in earlier readings.

    A reading of other cut-offs beside it is one of it too. What an older version wrote names days: of any time of them.
    """

    def holds(reading: Mapping[str, Any], cutoff: str) -> bool:
        if "cutoffs" in reading:
            return any(cutoff in some for some in reading["cutoffs"].values())
        return cutoff[:10] in reading["header"].get("cut-offs", "").split(", ")

    mine = {cutoff for some in on.values() for cutoff in some}
    return max((sum(holds(reading, cutoff) for reading in earlier) for cutoff in mine), default=0)


def told(content: dict[str, Any]) -> None:
    """Print the leaderboard and one sentence per task."""
    from intently.evaluate.compare import Report
    from intently.evaluate.report import leaderboard

    console.show(leaderboard(Report.from_json(content["report"])))
    for entry in content["tasks"].values():
        console.say("- " + entry["sentence"])
    if "left out" in content["header"]:
        console.say(f"Left out: {content['header']['left out']}")
    console.say(f"This is reading {content['header']['reading']}.")


def _joined(parts: Sequence[Any]) -> Any:
    """Scores of several cut-offs as one table."""
    import numpy as np

    from intently.contract import Scores

    width = min(part.values.shape[1] for part in parts)
    ids = None if parts[0].ids is None else np.concatenate([part.ids[:, :width] for part in parts])
    return Scores(parts[0].answer, np.concatenate([part.values[:, :width] for part in parts]), parts[0].labels, ids)


def _clock() -> datetime:
    """The time of day: the one place of the command line that reads it."""
    return datetime.fromtimestamp(__import__("time").time(), UTC)
