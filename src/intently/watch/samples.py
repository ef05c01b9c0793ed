"""What a service measures of itself, at one time, and what follows from two such times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Sample:
    """The metrics of a service at a time in seconds; `up` is False where it did not answer."""

    at: float
    up: bool = True
    values: Mapping[tuple[str, Labels], float] = field(default_factory=dict)

    @classmethod
    def read(cls, at: float, text: str) -> Sample:
        """From the text that /metrics gives."""
        from prometheus_client.parser import text_string_to_metric_families

        values = {
            (sample.name, frozenset(sample.labels.items())): float(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        return cls(at, True, values)

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all its series that have these labels; a label that ends in * begins so."""
        return sum(value for (mine, series), value in self.values.items() if mine == name and _fits(series, labels))

    def largest(self, name: str) -> float | None:
        """The largest value of a metric, None where it is not there."""
        found = [value for (mine, _), value in self.values.items() if mine == name]
        return max(found, default=None)


def increase(before: Sample, now: Sample, name: str, **labels: str) -> float:
    """How far a counter has come; from nothing, where the service began anew in between."""
    old, new = before.total(name, **labels), now.total(name, **labels)
    return new - old if new >= old else new


def quantile(before: Sample, now: Sample, name: str, level: float, **labels: str) -> float | None:
    """A quantile of what a histogram counted between two times, as Prometheus interpolates it; None for nothing."""
    edges: dict[float, float] = {}
    for (mine, series), value in now.values.items():
        if mine == f"{name}_bucket" and _fits(series, labels):
            edge = float(dict(series)["le"])
            old = before.values.get((mine, series), 0.0)
            edges[edge] = edges.get(edge, 0.0) + (value - old if value >= old else value)
    counts = sorted(edges.items())
    if not counts or counts[-1][1] <= 0:
        return None
    wanted, low, below = level * counts[-1][1], 0.0, 0.0
    for edge, count in counts:
        if count >= wanted:
            if math.isinf(edge):
                return low
            return low + (edge - low) * (wanted - below) / max(count - below, 1e-12)
        low, below = edge, count
    return low


def _fits(series: Labels, labels: Mapping[str, str]) -> bool:
    mine = dict(series)
    return all(
        mine.get(name, "").startswith(wanted[:-1]) if wanted.endswith("*") else mine.get(name) == wanted
        for name, wanted in labels.items()
    )
