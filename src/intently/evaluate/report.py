"""The report: `metrics.json` (a dict), the page made of it, and the table for a terminal.

The shape of `metrics.json`:

    format   1
    title    text
    header   label -> value, shown in order: when, what data and span, which language model, ...
    report   Report.to_json(): primary, scores, differences
    tasks    name -> kind, question (language -> text), served, before, baseline, opponent (names or null),
             sentence, cutoffs (those it was judged on), reliability (YesNo) or coverage (Amount): predictor -> rows as
             in `calibration`
    costs    rows of predictor, step, wall_seconds, cpu_seconds, peak_megabytes, ms_per_customer
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from rich.table import Table

from intently import metrics
from intently.contract import TRUTH, Amount, Examples, Scores, Task, YesNo
from intently.evaluate import calibration, compare
from intently.evaluate.compare import ALL, Report
from intently.evaluate.intervals import Interval
from intently.metrics import Metric

FORMAT = 1
_WIDTH = 720
_LEFT = 190
_ROW = 26
_SIDE = 240
_VERDICTS = {"better": "better", "worse": "worse", "undecided": "not told apart from chance"}


def task_entry(
    report: Report,
    task: Task,
    examples: Examples,
    predictions: Mapping[str, Scores],
    *,
    served: str,
    before: str | None = None,
    baseline: str,
    opponent: str | None = None,
) -> dict[str, Any]:
    """What `metrics.json` says of one task beside its numbers. The roles are as in `compare.sentence`."""
    entry: dict[str, Any] = {
        "kind": type(task.answer).__name__,
        "question": dict(task.wording),
        "served": served,
        "before": before,
        "baseline": baseline,
        "opponent": opponent,
        "sentence": compare.sentence(
            report, task.name, served=served, before=before, baseline=baseline, opponent=opponent
        ),
    }
    if isinstance(task.answer, YesNo | Amount):
        truth = examples.frame[TRUTH].cast(float).to_numpy()
        yes_no = isinstance(task.answer, YesNo)
        tables = calibration.reliability if yes_no else calibration.interval_coverage
        found = {name: tables(truth, scores.values) for name, scores in predictions.items()}
        entry["reliability" if yes_no else "coverage"] = found
    return entry


def document(
    title: str,
    header: Mapping[str, Any],
    report: Report,
    tasks: Mapping[str, Mapping[str, Any]],
    costs: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The whole of `metrics.json`."""
    return {
        "format": FORMAT,
        "title": title,
        "header": dict(header),
        "report": report.to_json(),
        "tasks": {name: dict(entry) for name, entry in tasks.items()},
        "costs": [dict(row) for row in costs],
    }


def write_report(metrics: Mapping[str, Any], path: str | Path) -> None:
    """Write `metrics.json` as one HTML page that needs no network. Texts are escaped."""
    report = Report.from_json(metrics["report"])
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((files("intently.evaluate") / "report.html").read_text(encoding="utf-8"))
    pages = [_task_page(report, name, metrics["tasks"].get(name, {})) for name in report.tasks]
    page = template.render(
        title=metrics["title"], header=metrics["header"], tasks=pages, costs=[_cost(row) for row in metrics["costs"]]
    )
    Path(path).write_text(page, encoding="utf-8")


def leaderboard(report: Report) -> Table:
    """Every task's predictors, the best first, by the primary metric with its interval and the other metrics."""
    table = Table(title="Leaderboard", caption="95 % intervals; households resampled whole")
    for column in ("task", "predictor", "primary metric", "95 % interval", "other metrics"):
        table.add_column(column, overflow="fold")
    for task in report.tasks:
        names = _names(report, task)
        for place, predictor in enumerate(report.predictors(task)):
            found = report.score(predictor, task)
            rest = (f"{name} {_number(report.score(predictor, task, name).value)}" for name in names[1:])
            table.add_row(
                task if place == 0 else "",
                predictor,
                f"{names[0]} {_number(found.value)}",
                f"{_number(found.low)} to {_number(found.high)}",
                ", ".join(rest),
                style="bold" if place == 0 else None,
            )
        table.add_section()
    return table


def _task_page(report: Report, task: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    names, predictors = _names(report, task), report.predictors(task)
    served = entry.get("served")
    roles: dict[str, str] = {}
    for role, word in _ROLES.items():
        if name := entry.get(role):
            roles[name] = f"{roles[name]}, {word}" if name in roles else word
    rows = report.frame.filter(task=task, slice=ALL)
    return {
        "name": task,
        "question": entry.get("question", {}),
        "sentence": entry.get("sentence", ""),
        "n": rows["n"][0],
        "households": rows["households"][0],
        "cutoffs": ", ".join(entry.get("cutoffs", ())),
        "metrics": [(name, _direction(_known(name, entry))) for name in names],
        "board": [
            {
                "name": predictor,
                "role": roles.get(predictor, ""),
                "served": predictor == served,
                "cells": [_cell(report.score(predictor, task, name)) for name in names],
            }
            for predictor in predictors
        ],
        "points": _points([(name, report.score(name, task), name == served) for name in predictors]),
        "duels": _duels(report, task, names, served, roles),
        "slices": _slices(report, task, predictors),
        "reliability": _square(entry.get("reliability", {}), roles, "given", "happened"),
        "coverage": _square(entry.get("coverage", {}), roles, "nominal", "observed"),
    }


_ROLES = {
    "served": "served",
    "before": "before fine-tuning",
    "baseline": "best baseline",
    "opponent": "without the reader",
}


def _names(report: Report, task: str) -> list[str]:
    """The task's metrics, the primary first."""
    found = report.frame.filter(task=task, slice=ALL)["metric"].unique(maintain_order=True).to_list()
    return sorted(found, key=lambda name: name != report.primary[task])


def _known(name: str, entry: Mapping[str, Any]) -> Metric:
    return next(m for m in metrics.ALL if m.name == name and entry.get("kind", m.kind) == m.kind)


def _direction(metric: Metric) -> str:
    if metric.target is not None:
        return f"nearest {metric.target:g} is best"
    return "higher is better" if metric.higher_is_better else "lower is better"


def _cell(found: Interval) -> dict[str, str]:
    return {"value": _number(found.value), "interval": f"{_number(found.low)} – {_number(found.high)}"}


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _duels(
    report: Report, task: str, names: Sequence[str], served: str | None, roles: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What is served against each rival with a role, by every metric; positive is in its favour."""
    judged = set(report.predictors(task))
    rivals = [name for name in roles if name != served and name in judged]
    return [
        {
            "rival": rival,
            "role": roles[rival],
            "cells": [
                {
                    **_cell(report.difference(served, rival, task, name)),
                    "verdict": (verdict := report.beats(served, rival, task, name)),
                    "word": _VERDICTS[verdict],
                }
                for name in names
            ],
        }
        for rival in rivals
        if served in judged and served is not None
    ]


def _slices(report: Report, task: str, predictors: Sequence[str]) -> list[dict[str, Any]]:
    """The primary metric in every slice, a column a predictor."""
    rows = report.frame.filter(task=task, metric=report.primary[task])
    found = []
    for name in rows["slice"].unique(maintain_order=True):
        part = rows.filter(slice=name)
        cells = [_cell(report.score(predictor, task, within=name)) for predictor in predictors]
        found.append({"name": name, "n": part["n"][0], "households": part["households"][0], "cells": cells})
    return found if len(found) > 1 else []


def _points(rows: Sequence[tuple[str, Interval, bool]]) -> dict[str, Any]:
    """Where the points, their intervals and the ticks of the primary plot stand, in SVG units."""
    ends = [x for _, found, _ in rows for x in (found.low, found.value, found.high) if math.isfinite(x)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room

    def place(x: float) -> float:
        return round(_LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - 20), 1) if math.isfinite(x) else _LEFT

    height = _ROW * len(rows)
    return {
        "width": _WIDTH,
        "height": height,
        "left": _LEFT,
        "rows": [
            {
                "name": name if len(name) <= 26 else name[:25] + "…",
                "served": served,
                "y": _ROW * i + _ROW // 2,
                "x": place(found.value),
                "low": place(found.low),
                "high": place(found.high),
                "title": f"{name}: {_number(found.value)} ({_number(found.low)} – {_number(found.high)})",
            }
            for i, (name, found, served) in enumerate(rows)
            if math.isfinite(found.value)
        ],
        "ticks": [{"x": place(tick), "text": f"{tick:.4g}"} for tick in _ticks(low, high)],
    }


def _ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers between two ends, about `wanted` of them."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    return [round(float(tick), 12) for tick in np.arange(math.ceil(low / step) * step, high + step * 1e-9, step)]


def _square(
    tables: Mapping[str, Sequence[Mapping[str, float]]], roles: Mapping[str, str], across: str, up: str
) -> dict[str, Any] | None:
    """Lines of a plot from 0 to 1 both ways, for predictors with a role (the first few without roles)."""
    chosen = [name for name in roles if name in tables] or list(tables)[:4]
    lines = []
    for colour, name in enumerate(chosen):
        points = [
            {
                "x": round(_SIDE * row[across], 1),
                "y": round(_SIDE * (1 - row[up]), 1),
                "title": f"{name}: {across} {row[across]:.3f}, {up} {row[up]:.3f}"
                + (f", {row['n']:,} rows" if "n" in row else ""),
            }
            for row in tables[name]
        ]
        path = " ".join(f"{point['x']},{point['y']}" for point in points)
        lines.append({"name": name, "role": roles.get(name, ""), "points": points, "path": path, "colour": colour})
    return {"side": _SIDE, "lines": lines, "across": across, "up": up} if lines else None


def _cost(row: Mapping[str, Any]) -> dict[str, str]:
    numbers = ("wall_seconds", "cpu_seconds", "peak_megabytes", "ms_per_customer")
    return {
        "predictor": str(row["predictor"]),
        "step": str(row["step"]),
        **{name: _number(row.get(name)) for name in numbers},
    }
