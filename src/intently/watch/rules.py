"""The alert rules, each once: as Prometheus reads it, and as `intently watch` computes it without Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from intently.watch.samples import Sample, increase, quantile

WINDOW = 300.0
Compute = Callable[[Sample, Sample], float | None]


@dataclass(frozen=True)
class Rule:
    """An alert: it fires when `value` (of the samples five minutes ago and now) is over `limit` for `hold` seconds.

    `promql` is the same value in Prometheus' language. None is nothing to judge by.
    """

    name: str
    severity: str
    limit: float
    hold: float
    promql: str
    value: Compute
    says: str


def _down(_: Sample, now: Sample) -> float:
    return 0.0 if now.up else 1.0


def _errors(before: Sample, now: Sample) -> float | None:
    every = increase(before, now, "intently_request_seconds_count")
    return increase(before, now, "intently_request_seconds_count", status="5*") / every if every else None


def _slow(before: Sample, now: Sample) -> float | None:
    return quantile(before, now, "intently_request_seconds", 0.99, route="/v1/users/*")


def _state_away(_: Sample, now: Sample) -> float | None:
    up = now.largest("intently_state_up")
    return None if up is None else 1.0 - up


def _gauge(name: str) -> Compute:
    return lambda _, now: now.largest(name)


def _dead(before: Sample, now: Sample) -> float:
    return increase(before, now, "intently_dead_letters_total")


_COUNT = "intently_request_seconds_count"
_ERRORS = f'sum(rate({_COUNT}{{status=~"5.."}}[5m])) / sum(rate({_COUNT}[5m]))'
_SLOW = 'sum by (le) (rate(intently_request_seconds_bucket{route=~"/v1/users/.*"}[5m]))'

RULES = (
    Rule("IntentlyDown", "page", 0.5, 60, '1 - up{job="intently"}', _down, "The service does not answer."),
    Rule(
        "IntentlyErrors",
        "page",
        0.01,
        120,
        _ERRORS,
        _errors,
        "Over one request in a hundred fails by the service's fault.",
    ),
    Rule(
        "IntentlySlow",
        "ticket",
        0.1,
        300,
        f"histogram_quantile(0.99, {_SLOW})",
        _slow,
        "One answer about a customer in a hundred takes over 0.1 seconds.",
    ),
    Rule("IntentlyStateAway", "page", 0.5, 30, "1 - intently_state_up", _state_away, "The database does not answer."),
    Rule(
        "IntentlyNoEvents",
        "ticket",
        3600,
        0,
        "max(intently_lag_seconds)",
        _gauge("intently_lag_seconds"),
        "No event has arrived for an hour.",
    ),
    Rule(
        "IntentlyItemsBehind",
        "ticket",
        0.5,
        1800,
        "max(intently_items_behind)",
        _gauge("intently_items_behind"),
        "New items have not been read by the language model for half an hour.",
    ),
    Rule(
        "IntentlyDeadLetters",
        "ticket",
        10,
        0,
        "sum(increase(intently_dead_letters_total[5m]))",
        _dead,
        "Over ten messages of the stream were set aside in five minutes: see /v1/dead-letters.",
    ),
    Rule(
        "IntentlyInputsMoved",
        "ticket",
        1.0,
        3600,
        "max(intently_input_shift)",
        _gauge("intently_input_shift"),
        "Customers' features are a standard deviation from those of training, on average: train anew.",
    ),
)


def prometheus(rules: Iterable[Rule] = RULES) -> str:
    """The rules as a file for Prometheus."""
    lines = [
        "# Made by `intently watch --rules`; tests keep it as it is made.",
        "groups:",
        "  - name: intently",
        "    rules:",
    ]
    for rule in rules:
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {rule.promql} > {rule.limit:g}",
            f"        for: {rule.hold:g}s",
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f'          summary: "{rule.says}"',
        ]
    return "\n".join(lines) + "\n"
