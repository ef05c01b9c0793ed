"""What an operator watches, as Prometheus metrics of one service."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from intently.contract import Amount, YesNo
from intently.log.pack import Array
from intently.serve.told import Told

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# So many customers back, about, what was asked before has faded.
_REMEMBERED = 500
# Microseconds between two looks at inputs.
_LOOK = 1_000_000
_CHANCES = tuple(round(0.1 * step, 1) for step in range(1, 10))


class Monitor:
    """Counters and histograms; nothing in them names a customer or an item."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.latency = Histogram(
            "intently_request_seconds", "Time to answer", ["route", "status"], buckets=_SECONDS, registry=registry
        )
        # To look a child up by its labels takes longer than to count.
        self._latencies: dict[tuple[str, int], Histogram] = {}
        self.events = Counter("intently_events", "Events taken, by outcome", ["outcome"], registry=registry)
        self.refused = Counter("intently_refused", "Requests without a key that holds", registry=registry)
        self.batch = Histogram(
            "intently_batch_customers",
            "Customers answered together",
            buckets=(1, 2, 4, 8, 16, 64, 256),
            registry=registry,
        )
        self.reused = Counter(
            "intently_answers_reused", "Answers given again, nothing having happened", registry=registry
        )
        self.renewed = Counter("intently_answers_renewed", "Answers made anew unasked", registry=registry)
        self.answers = Counter("intently_answers", "Answers made because somebody asked", ["model"], registry=registry)
        self.chance = Histogram(
            "intently_score",
            "Probabilities told, asked for or beforehand",
            ["task", "model"],
            buckets=(*_CHANCES, 1.0),
            registry=registry,
        )
        self.amount = Histogram(
            "intently_amount",
            "Mean amounts told, asked for or beforehand",
            ["task", "model"],
            buckets=(1, 3, 10, 30, 100, 300, 1000, 3000),
            registry=registry,
        )
        self.unread = Counter(
            "intently_answers_with_unread_items", "Answers made before an item was read", registry=registry
        )
        self.lag = Gauge("intently_lag_seconds", "Age of the newest event that is known", registry=registry)
        self.cached = Gauge("intently_cached_events", "Events of pasts in memory", registry=registry)
        self.hits = Gauge("intently_cache_hit_ratio", "Pasts found in memory", registry=registry)
        self.queue = Gauge("intently_waiting", "What waits, by place", ["place"], registry=registry)
        self.behind = Gauge("intently_items_behind", "Items met that the model has not read", registry=registry)
        self.state_up = Gauge("intently_state_up", "Whether the database answers", registry=registry)
        self.differs = Histogram(
            "intently_shadow_difference",
            "Distance of a shadow's probability from the champion's",
            ["task"],
            buckets=(0.001, 0.01, 0.03, 0.1, 0.3, 1.0),
            registry=registry,
        )
        self.model = Gauge("intently_model", "The model in service", ["version", "role"], registry=registry)
        self.shift = Gauge(
            "intently_input_shift", "Mean distance of features from training, in standard deviations", registry=registry
        )
        self._inputs: Array | None = None
        self._looked = 0
        self.dead = Counter("intently_dead_letters", "Messages of a stream set aside", registry=registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        found = self._latencies.get((route, status))
        if found is None:
            found = self._latencies[route, status] = self.latency.labels(route, str(status))
        found.observe(seconds)

    def looks(self, at: int) -> bool:
        """Whether inputs should be looked at: once a second, for that is enough and costs something."""
        if at <= self._looked + _LOOK:
            return False
        self._looked = at
        return True

    def score(self, told: Told) -> None:
        """Count one customer's answers."""
        if told.unread:
            self.unread.inc()
        for name, scores in told.scores.items():
            match scores.answer:
                case YesNo():
                    self.chance.labels(name, told.model).observe(float(scores.values[0, 0]))
                case Amount():
                    self.amount.labels(name, told.model).observe(float(scores.values[0, 0]))
                case _:
                    pass

    def inputs(self, features: Array) -> None:
        """Features of customers asked about (n, columns), in standard deviations of training around its mean."""
        weight = min(1.0, len(features) / _REMEMBERED)
        mean = features.mean(axis=0)
        old = self._inputs
        self._inputs = mean if old is None or len(old) != len(mean) else old + weight * (mean - old)
        self.shift.set(float(np.abs(self._inputs).mean()))

    def compare(self, champion: Sequence[Told], shadow: Sequence[Told]) -> None:
        """Measure how far a shadow's answers are from the champion's."""
        for one, other in zip(champion, shadow, strict=True):
            for name, scores in one.scores.items():
                if isinstance(scores.answer, YesNo) and name in other.scores:
                    gap = np.abs(scores.values[0, 0] - other.scores[name].values[0, 0])
                    self.differs.labels(name).observe(float(gap))

    def text(self) -> bytes:
        """Everything in the format that Prometheus reads."""
        return bytes(generate_latest(self.registry))
