"""Alerts over time: which rules have held long enough, and telling of it once."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from intently.watch.rules import RULES, WINDOW, Rule
from intently.watch.samples import Sample


@dataclass(frozen=True)
class Alert:
    """A rule that began to fire or ceased to, at a time in seconds."""

    rule: Rule
    firing: bool
    value: float | None
    at: float

    def to_json(self) -> dict[str, Any]:
        """What a webhook is told."""
        return {
            "alert": self.rule.name,
            "status": "firing" if self.firing else "resolved",
            "severity": self.rule.severity,
            "summary": self.rule.says,
            "value": self.value,
            "limit": self.rule.limit,
            "at": self.at,
        }


@dataclass
class Alerts:
    """Judges samples as they come. A rule that holds without a break for its time fires, once until it ceases."""

    rules: Sequence[Rule] = RULES
    _samples: deque[Sample] = field(default_factory=deque)
    _since: dict[str, float] = field(default_factory=dict)
    _firing: set[str] = field(default_factory=set)

    def judge(self, sample: Sample) -> list[Alert]:
        """What began to fire or ceased to with this sample."""
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at <= sample.at - WINDOW:
            self._samples.popleft()
        # What did not answer has nothing to be compared with.
        before = next((one for one in self._samples if one.up), sample)
        changed = []
        for rule in self.rules:
            value = rule.value(before, sample)
            holds = value is not None and value > rule.limit
            since = self._since.setdefault(rule.name, sample.at) if holds else self._since.pop(rule.name, None)
            fires = holds and since is not None and sample.at - since >= rule.hold
            if fires != (rule.name in self._firing):
                (self._firing.add if fires else self._firing.discard)(rule.name)
                changed.append(Alert(rule, fires, value, sample.at))
        return changed
