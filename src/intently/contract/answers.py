"""The five kinds of answer: a closed union. The kind alone picks head, loss, calibration and metrics."""

from __future__ import annotations

from dataclasses import dataclass

# An amount is answered by its mean and these quantiles; `low` and `high` are the outer two.
QUANTILES = tuple(round(0.05 * step, 2) for step in range(1, 20))

OTHER = "other"


@dataclass(frozen=True)
class YesNo:
    """A probability that something happens."""


@dataclass(frozen=True)
class OneOf:
    """Exactly one of `labels`; `absent` is the label where nothing happens, if that is an answer."""

    labels: tuple[str, ...]
    absent: str | None = None


@dataclass(frozen=True)
class Amount:
    """A quantity that is never negative, in `unit`."""

    unit: str


@dataclass(frozen=True)
class Ranking:
    """Ids in order of likelihood. With `unseen`, only ids that nobody had bought before `at`."""

    of: str
    unseen: bool = False


@dataclass(frozen=True)
class Shares:
    """Shares over the values of `of` that sum to one; labels are fixed at fit, the rest is "other"."""

    of: str


Answer = YesNo | OneOf | Amount | Ranking | Shares
