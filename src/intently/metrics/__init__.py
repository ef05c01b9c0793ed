"""How answers are judged: pure functions of (truth, values), one file per kind of answer."""

from collections.abc import Sequence
from difflib import get_close_matches

from intently.errors import ConfigError
from intently.metrics import amount, one_of, ranking, shares, yes_no
from intently.metrics.metric import Metric as Metric

ALL: tuple[Metric, ...] = (
    *yes_no.METRICS,
    *one_of.METRICS,
    *amount.METRICS,
    *ranking.METRICS,
    *shares.METRICS,
)


def of(kind: str, names: Sequence[str] = ()) -> tuple[Metric, ...]:
    """The metrics of an answer kind (the name of its class) by name, in this order; all without names."""
    known = {metric.name: metric for metric in ALL if metric.kind == kind}
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.0)
            raise ConfigError(
                f"There is no metric {name!r} for a {kind} answer.",
                mend=f"Did you mean {near[0]!r}?" if near else f"Known kinds are {sorted({m.kind for m in ALL})}.",
            )
    return tuple(known[name] for name in names) if names else tuple(known.values())
