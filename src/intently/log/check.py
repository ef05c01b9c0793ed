"""A log's rows checked: what cannot be used is set aside with its reason and counted, never dropped in silence.

`docs/check.md` is the table of all faults. The rules read one row each, but for two: rows said twice,
and rows that stand alone, far in time from all others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from intently.errors import DataError
from intently.log import findings, schema, values
from intently.log.findings import Finding
from intently.log.pack import Array

# No web shop is older; 1970 and 1900 are the zeros of two clocks.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
# A client's clock may be a zone wrong and some hours more; a day ahead is no time at all.
CLOCK_FAULT = timedelta(days=1)
# Rows that are cut off by a year without any event, and are at most one in a hundred.
ALONE_DAYS, ALONE_SHARE = 366, 0.01

_DAY = 86_400_000_000
_REJECTS = {"table": pl.String, "row": pl.Int64, "column": pl.String, "value": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Checked:
    """The rows that can be used, and all that was found.

    `rejects` has a line per row set aside: its table, its number as read (from 0), the column and value
    at fault, and the reason. `faults` count them by reason, with the values emptied; `findings` adds what
    is worth knowing of the rows that are sound, and is worked out when first asked for. `kept` has the numbers, as
    read, of each table's rows.
    """

    events: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    rejects: pl.DataFrame
    faults: tuple[Finding, ...]
    rows_read: int
    kept: Mapping[str, pl.Series]
    observed_until: datetime | None = None

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Faults first, then warnings, then notes."""
        found: list[Finding] = []
        if _is_log(self.events):
            found += findings.of_events(self.events, self.observed_until)
            if self.items is not None:
                found += findings.of_items(self.items, self.events)
            if self.users is not None:
                found += findings.of_users(self.users)
        # They are numbered among the rows that were kept.
        as_read = [
            one if one.first_row is None else replace(one, first_row=int(self.kept[one.table][one.first_row]))
            for one in found
        ]
        return self.faults + tuple(sorted(as_read, key=lambda one: one.severity == "note"))

    def sentence(self) -> str | None:
        """What was set aside, in one sentence; None where nothing was."""
        if not self.faults:
            return None
        told = "; ".join(f"{one.table}: {one.problem}" for one in self.faults)
        aside = len(self.rejects.filter(table="events"))
        return f"{aside:,} of {self.rows_read:,} events are set aside. {told}. `intently check` tells more."


def checked(
    events: pl.DataFrame,
    items: pl.DataFrame | None = None,
    users: pl.DataFrame | None = None,
    observed_until: datetime | None = None,
) -> Checked:
    """Set aside the rows that no log can hold.

    `observed_until` is the stated end of observation (UTC), if there is one. What a whole column gets wrong
    (its name, its type) is left for `Log.of` to refuse.
    """
    typed = values.typed(events)
    sound, rejects, faults = _judged("events", events, typed, _event_rules(events, typed, observed_until))
    sound, more = values.emptied("events", sound)
    faults += more
    for rule in (_repeated, _named_twice, _alone) if _is_log(sound) else ():
        sound, rejected, more = _apart(sound, events, rule)
        rejects += rejected
        faults += more
    kept = {"events": sound[values.ROW]}
    others: dict[str, pl.DataFrame | None] = {"items": items, "users": users}
    for name, key in (("items", schema.ITEM), ("users", schema.USER)):
        table = others[name]
        if table is None:
            continue
        typed = values.numbered(values.blanks_emptied(table, (key,)))
        good, rejected, more = _judged(name, table, typed, _key_rules(typed, key))
        good, emptied = values.emptied(name, good)
        kept[name], others[name] = good[values.ROW], good.drop(values.ROW)
        rejects += rejected
        faults += more + emptied
    return Checked(
        sound.drop(values.ROW),
        others["items"],
        others["users"],
        pl.concat([pl.DataFrame(schema=_REJECTS), *rejects]),
        tuple(faults),
        len(events),
        kept,
        observed_until,
    )


def tell(found: Checked) -> None:
    """One line to the log of the program where rows were set aside. Raises DataError where none is left."""
    said = found.sentence()
    if said is None:
        return
    if found.rows_read and found.events.is_empty():
        raise DataError(
            f"No event can be used: {said}",
            mend="Mend what is named first, and look at the rest with `intently check`.",
        )
    logging.getLogger(__name__).warning(said)


# --- Rules on single rows. ---


@dataclass(frozen=True)
class _Rule:
    """A fault of a row: where `bad` holds, the row is set aside for `reason`; the first rule that holds counts."""

    code: str
    column: str
    bad: pl.Expr
    reason: str
    mend: str


def _event_rules(raw: pl.DataFrame, typed: pl.DataFrame, until: datetime | None) -> list[_Rule]:
    rules: list[_Rule] = []
    usable = values.usable(typed)
    if schema.TYPE in usable:
        rules.append(
            _Rule("no_type", schema.TYPE, pl.col(schema.TYPE).is_null(), "event_type is empty", "Say what happened.")
        )
    if schema.TIME in usable:
        rules += _time_rules(raw, usable, until)
    who = [pl.col(name).is_null() for name in (schema.USER, schema.SESSION) if name in usable]
    if who:
        nobody = pl.all_horizontal(who)
        rules.append(
            _Rule(
                *("nobody", schema.USER if schema.USER in usable else schema.SESSION, nobody),
                *("neither user_id nor session_id", "Bring the visit as session_id where the customer is not known."),
            )
        )
    if schema.TYPE in usable:
        buy = pl.col(schema.TYPE).cast(pl.String) == schema.BUY
        for name in (schema.AMOUNT, schema.QUANTITY):
            if name in usable:
                finite, value = values.finite(name), pl.col(name)
                mend = f"Mend the {name}, or leave it empty where it is not known."
                rules.append(_Rule(f"bad_{name}", name, buy & ~finite, f"{name} of a purchase is no number", mend))
                mend = "Call a return another event_type, such as 'return'."
                rules.append(
                    _Rule(f"negative_{name}", name, buy & (value < 0), f"{name} of a purchase is negative", mend)
                )
    return rules


def _time_rules(raw: pl.DataFrame, usable: set[str], until: datetime | None) -> list[_Rule]:
    time = pl.col(schema.TIME)
    empty = raw[schema.TIME].is_null()
    rules = [
        _Rule("no_time", schema.TIME, pl.lit(empty), "the timestamp is empty", "Bring the time of each event."),
        _Rule(
            *("unread_time", schema.TIME, time.is_null(), "the timestamp is no time"),
            "Write times like 2024-05-01T08:30:00+02:00.",
        ),
        _Rule(
            *("too_early", schema.TIME, time < EARLIEST, f"the timestamp lies before {EARLIEST.year}"),
            "A clock at its zero, or seconds read as milliseconds: mend the time.",
        ),
    ]
    if until is not None:
        rules.append(
            _Rule(
                *(
                    "after_end",
                    schema.TIME,
                    time >= until,
                    f"the timestamp lies after observed_until, {until:%Y-%m-%d}",
                ),
                "Mend the time, or set observed_until later.",
            )
        )
    if schema.ARRIVED in usable:
        unread = pl.lit(raw[schema.ARRIVED].is_not_null()) & pl.col(schema.ARRIVED).is_null()
        rules.append(
            _Rule(
                *("unread_arrival", schema.ARRIVED, unread, "arrived_at is no time"),
                "Mend it: without it the event would count as known too early.",
            )
        )
        rules.append(
            _Rule(
                *("ahead", schema.TIME, pl.col(schema.ARRIVED) < time - CLOCK_FAULT),
                *("it arrived over a day before it happened", "The sender's clock is ahead: mend the time."),
            )
        )
    return rules


def _key_rules(table: pl.DataFrame, key: str) -> list[_Rule]:
    if key not in table.columns:
        return []
    return [_Rule(f"no_{key}", key, pl.col(key).is_null(), f"{key} is empty", "Bring the id, or leave the row out.")]


def _judged(
    name: str, raw: pl.DataFrame, typed: pl.DataFrame, rules: Sequence[_Rule]
) -> tuple[pl.DataFrame, list[pl.DataFrame], list[Finding]]:
    """The sound rows with their numbers, the rejects, and a count of each reason."""
    numbered = typed.with_columns(pl.int_range(len(typed), dtype=pl.Int64).alias(values.ROW))
    if not rules or numbered.is_empty():
        return numbered, [], []
    # A null (an empty amount) is no fault.
    chain = [pl.when(rule.bad).then(pl.lit(number, pl.Int8)) for number, rule in enumerate(rules)]
    fault = numbered.select(pl.coalesce(chain)).to_series()
    if fault.null_count() == len(fault):
        return numbered, [], []
    rejects, faults = [], []
    for number, rule in enumerate(rules):
        rows = numbered[values.ROW].filter(fault == number)
        if len(rows):
            rejects.append(_rejects(name, raw, rows, rule))
            faults.append(_fault(name, rows, rule))
    return numbered.filter(fault.is_null()), rejects, faults


def _rejects(name: str, raw: pl.DataFrame, rows: pl.Series, rule: _Rule) -> pl.DataFrame:
    value = raw[rule.column].gather(rows) if rule.column in raw.columns else pl.Series([None] * len(rows))
    return pl.DataFrame({"row": rows, "value": value.cast(pl.String, strict=False)}).select(
        pl.lit(name).alias("table"),
        "row",
        pl.lit(rule.column).alias("column"),
        "value",
        pl.lit(rule.reason).alias("reason"),
    )


def _fault(name: str, rows: pl.Series, rule: _Rule) -> Finding:
    first = rows.min()
    assert isinstance(first, int)
    count = len(rows)
    problem = f"{rule.reason} in {count:,} row{'s' if count > 1 else ''}, first in row {first}"
    return Finding(rule.code, "fault", name, rule.column, count, first, problem, rule.mend)


# --- Rules on rows among others. ---


def _apart(
    sound: pl.DataFrame, raw: pl.DataFrame, rule: Callable[[pl.DataFrame], tuple[_Rule, Array] | None]
) -> tuple[pl.DataFrame, list[pl.DataFrame], list[Finding]]:
    """Set aside what a rule names by row number."""
    found = rule(sound)
    if found is None:
        return sound, [], []
    named, aside = found
    mask = np.zeros(len(sound), dtype=bool)
    mask[aside] = True
    rows = sound[values.ROW].filter(mask)
    return sound.filter(~mask), [_rejects("events", raw, rows, named)], [_fault("events", rows, named)]


def _repeated(sound: pl.DataFrame) -> tuple[_Rule, Array] | None:
    """Rows that say in every column what an earlier row says."""
    columns = [name for name in sound.columns if name != values.ROW]
    # Equal rows have equal hashes; only rows whose hash comes again are compared in full.
    hashes = sound.select(columns).hash_rows(seed=0)
    if hashes.n_unique() == len(hashes):
        return None
    candidates = hashes.is_duplicated().arg_true()
    again = sound.select(columns)[candidates].select(~pl.struct(columns).is_first_distinct()).to_series()
    if not again.any():
        return None
    rule = _Rule(
        *("repeated", schema.TIME, pl.lit(value=True), "the whole row is said again"),
        "If both did happen, give each its own event_id.",
    )
    return rule, candidates.filter(again).to_numpy()


def _named_twice(sound: pl.DataFrame) -> tuple[_Rule, Array] | None:
    if schema.EVENT not in values.usable(sound):
        return None
    ids = sound[schema.EVENT]
    again = ids.is_not_null() & ~ids.is_first_distinct()
    if not again.any():
        return None
    rule = _Rule(
        *("repeated_id", schema.EVENT, pl.lit(value=True), "the event_id is that of an earlier row"),
        "Give each event its own event_id; a delivery that was repeated is rightly set aside.",
    )
    return rule, again.arg_true().to_numpy()


def _alone(sound: pl.DataFrame) -> tuple[_Rule, Array] | None:
    """Few rows at either end, cut off from the others by a year without any event."""
    if schema.TIME not in values.usable(sound) or sound.is_empty():
        return None
    day = (pl.col(schema.TIME).dt.epoch("us") // _DAY).alias("day")
    table = sound.group_by(day).len().sort("day")
    days, rows = table["day"].to_numpy(), table["len"].to_numpy().astype(np.int64)
    first, last = _span(days, rows)
    if (first, last) == (days[0], days[-1]):
        return None
    rule = _Rule(
        *("alone", schema.TIME, pl.lit(value=True), "the timestamp lies over a year from all others"),
        "A clock fault or a slip in the year: mend the time.",
    )
    return rule, sound.select(~day.is_between(first, last)).to_series().arg_true().to_numpy()


def _span(days: Array, rows: Array) -> tuple[int, int]:
    """The first and last day, without few rows that stand alone at either end."""
    # Again after each cut: checking what was checked finds nothing more.
    while True:
        gaps = np.flatnonzero(np.diff(days) > ALONE_DAYS)
        before = np.cumsum(rows)[gaps]
        few = ALONE_SHARE * rows.sum()
        behind, ahead = gaps[before <= few], gaps[rows.sum() - before <= few]
        if not len(behind) and not len(ahead):
            return int(days[0]), int(days[-1])
        keep = slice(behind[-1] + 1 if len(behind) else 0, ahead[0] + 1 if len(ahead) else len(days))
        days, rows = days[keep], rows[keep]


def _is_log(events: pl.DataFrame) -> bool:
    usable = values.usable(events)
    return {*schema.REQUIRED_EVENTS} <= usable and bool({schema.USER, schema.SESSION} & usable)
