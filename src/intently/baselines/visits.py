"""Features of a shop that also sees who looks: visits, their rhythm, and what of them ends in the cart and at the till.

Purchases are rare beside looks. How often somebody comes shows from few days, how often a visit ends in a purchase only
from many; the product of both, a short memory times a long one, is what trees hardly find by themselves.
"""

from __future__ import annotations

import numpy as np

from intently.baselines.windows import LABELS, WINDOWS, by_window, decayed, newest_age, ratio
from intently.contract import Rows
from intently.log.pack import Array
from intently.log.schema import BUY, CART, PASSIVE, RETURN

_HALF_LIVES = (3.0, 7.0, 14.0, 28.0, 56.0)
_NEWEST = (1, 2, 3, 5, 10, 20)
_LATELY = 4  # windows
# A visit ends with half an hour of nothing.
_PAUSE_DAYS = 1 / 48
_BLOCK_DAYS, _BLOCKS = 14, 26
# Days back at which the pace may have changed.
_TURNS = np.array([1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 28, 36, 48, 63, 84, 112, 140, 168, 196, 224], dtype=np.float64)
_FEWEST_DAYS_BEFORE = 3.0
# A log likelihood ratio from which a change is believed rather than not.
_EVIDENCE = 3.0
# So many visits, a tenth of them with what is counted, are believed before any is seen.
_BELIEVED = 5.0

Columns = dict[str, Array]


def is_browsed(event_types: tuple[str, ...]) -> bool:
    """Whether a log with these types of event knows more than what is bought, brought back and done to customers."""
    return bool(set(event_types) - {BUY, RETURN, *PASSIVE})


def visit_columns(rows: Rows, event_types: tuple[str, ...], baskets: Array, n: int) -> Columns:
    """Columns (n,) of the visits of n examples, `baskets` (n, windows) of which ended in a purchase."""
    passive = [code for code, kind in enumerate(event_types) if kind in PASSIVE]
    own = ~np.isin(rows.event_type, passive)
    example, age = rows.example[own], rows.age[own].astype(np.float64)
    new = np.ones(len(age), dtype=bool)
    new[1:] = (example[1:] != example[:-1]) | (age[:-1] - age[1:] > _PAUSE_DAYS)
    example, age = example[new], age[new]
    visits = by_window(example, age, None, n)
    fading = {days: decayed(example, age, np.ones(len(age)), days, n) for days in _HALF_LIVES}
    columns = {f"visits_{label}": visits[:, i] for i, label in enumerate(LABELS)}
    columns |= {f"visits_half_{days:g}d": values for days, values in fading.items()}
    columns |= _pauses(example, age, visits[:, -1], n)
    columns |= _liveliness(example, age, visits, n)
    pace = _turn(example, age, n)
    columns |= pace
    columns |= _expected(BUY, baskets, visits, fading, pace)
    if CART in event_types:
        carted = rows.event_type == event_types.index(CART)
        columns |= _expected(CART, by_window(rows.example[carted], rows.age[carted], None, n), visits, fading, pace)
    return columns


def _pauses(example: Array, age: Array, count: Array, n: int) -> Columns:
    """Ages of the newest visits, and how long the silence is beside the usual one."""
    columns: Columns = {}
    place = np.cumsum(np.bincount(example, minlength=n))[example] - np.arange(len(example))
    for nth in _NEWEST:
        columns[f"recency_visit_{nth}"] = newest_age(example[place == nth], age[place == nth], n)
    first = newest_age(example[::-1], age[::-1], n)
    gap = ratio(np.nan_to_num(first - columns["recency_visit_1"]), count - 1)
    columns["visit_gap_mean"] = gap
    columns["recency_visit_by_gap"] = ratio(columns["recency_visit_1"], np.maximum(gap, 1e-3))
    return columns


def _liveliness(example: Array, age: Array, visits: Array, n: int) -> Columns:
    """The last fortnight beside one's own best and middle one of a year."""
    block = np.minimum((age / _BLOCK_DAYS).astype(np.int64), _BLOCKS)
    counts = np.bincount(example * (_BLOCKS + 1) + block, minlength=n * (_BLOCKS + 1)).reshape(n, -1)[:, :_BLOCKS]
    best, middle = counts.max(axis=1).astype(np.float64), np.median(counts[:, : _BLOCKS // 2], axis=1)
    return {"visits_best_14d": best, "visits_median_14d": middle, "visits_now_by_best": ratio(visits[:, 1], best)}


def _turn(example: Array, age: Array, n: int) -> Columns:
    """When the pace of visits has changed, if it has: the likeliest single change of a Poisson rate.

    The log likelihood ratio of two rates against one, at each of _TURNS days back (Worsley 1986); then the rates since
    and before the likeliest of them, and a rate a day that believes in the change as far as the ratio speaks for it.
    """
    slot = example * (len(_TURNS) + 1) + np.searchsorted(_TURNS, age)
    counts = np.bincount(slot, minlength=n * (len(_TURNS) + 1)).reshape(n, -1).cumsum(axis=1).astype(np.float64)
    known = np.maximum(np.nan_to_num(newest_age(example[::-1], age[::-1], n)), 1.0)[:, None]
    since, every = counts[:, :-1], counts[:, -1:]
    before, days_before = every - since, known - _TURNS
    ratios = _weight(since, _TURNS) + _weight(before, days_before) - _weight(every, known)
    ratios = np.where(days_before > _FEWEST_DAYS_BEFORE, ratios, 0.0)
    turn, one = ratios.argmax(axis=1), np.arange(n)
    evidence = ratios[one, turn]
    after = (since[one, turn] + 0.5) / (_TURNS[turn] + 1)
    earlier = (before[one, turn] + 0.5) / (np.maximum(days_before[one, turn], 0.0) + 1)
    belief = 1 / (1 + np.exp(_EVIDENCE - evidence))
    return {
        "visits_turn_days": _TURNS[turn],
        "visits_turn_evidence": np.sign(after - earlier) * evidence,
        "visits_a_day_since_turn": after,
        "visits_a_day_before_turn": earlier,
        "visits_a_day_now": belief * after + (1 - belief) * ((every + 0.5) / (known + 1))[:, 0],
    }


def _weight(count: Array, days: Array) -> Array:
    """The log likelihood, count * log(count / days), of a Poisson rate at its best, but for what all rates share."""
    return np.asarray(count * np.log(np.maximum(count, 1e-9) / np.maximum(days, 1e-9)))


def _expected(kind: str, found: Array, visits: Array, fading: dict[float, Array], pace: Columns) -> Columns:
    """How much of `kind` a visit brings, over all and lately, and how much a day is to be expected of it.

    `found` and `visits` are (n, windows).
    """
    share = (found[:, -1] + _BELIEVED / 10) / (visits[:, -1] + _BELIEVED)
    lately = (found[:, _LATELY] + 2 * _BELIEVED * share) / (visits[:, _LATELY] + 2 * _BELIEVED)
    columns = {f"{kind}_a_visit": share, f"{kind}_a_visit_{LABELS[_LATELY]}": lately}
    columns |= {f"{kind}_expected_{LABELS[i]}": share * visits[:, i] / WINDOWS[i] for i in range(_LATELY)}
    # A sum that halves every `days` weighs days / log(2) days in all.
    columns |= {f"{kind}_expected_half_{days:g}d": share * values * np.log(2) / days for days, values in fading.items()}
    columns[f"{kind}_expected_since_turn"] = share * pace["visits_a_day_since_turn"]
    columns[f"{kind}_expected_now"] = share * pace["visits_a_day_now"]
    return columns
