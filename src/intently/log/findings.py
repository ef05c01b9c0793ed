"""What is worth knowing of a log whose rows are sound: nothing here is set aside, each finding says what to do.

`docs/check.md` is the table of all findings. Thresholds stand here, each with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from intently.log import schema
from intently.log.pack import Array, known

Severity = Literal["fault", "warning", "note"]

# A person who acts once every three minutes for fifteen hours; rows of one moment (a basket) count once.
BOT_MOMENTS = 300
# ... and twenty times the busiest day of the usual customer: a log of scroll events is busy for everybody.
BOT_TIMES_USUAL = 20
# Tukey's "far out": three interquartile ranges above the upper quartile, here of logarithms: about one
# line in a million where amounts are lognormal.
WHOLESALE_RANGES = 3.0
# Where most lines are one unit the quartiles meet: a fourfold is the least range, so that 64 units stand out.
WHOLESALE_LEAST = 1.386
# Summer time moves an hour; a fault of the zone moves more.
ZONE_HOURS = 2
ZONE_EVENTS = 500
ZONE_LIKE, ZONE_GAIN = 0.9, 0.3
MIDNIGHT_SHARE = 0.05
# A stop is a run of empty days three times as long as all but one in a hundred are, and three at least.
GAP_DAYS, GAP_TIMES_USUAL = 3, 3
ANONYMOUS_SHARE = 0.5

PLACEHOLDERS = (
    *("", "-", "0", "-1", "?", "none", "null", "nil", "nan", "n/a", "na", "undefined", "unknown", "(not set)"),
    *("guest", "anonymous", "anon", "test", "匿名", "游客", "未知"),
)
_BUYING = ("purchas", "order", "transaction", "checkout", "sale", "paid", "bought", "购买", "下单", "支付", "成交")

_HOUR = 3_600_000_000
_DAY = 24 * _HOUR


@dataclass(frozen=True)
class Finding:
    """One thing found in one table.

    `severity`: "fault" where rows or values were set aside, "warning" where all are kept but somebody
    should look, "note" where nothing need be done. `count` counts what `problem` names (rows, ids,
    days). `first_row` counts from 0 as the table was read; None where no single row is meant.
    """

    code: str
    severity: Severity
    table: str
    column: str | None
    count: int
    first_row: int | None
    problem: str
    mend: str


def of_events(events: pl.DataFrame, until: datetime | None = None) -> Iterator[Finding]:
    """Findings on the sound rows of `events`; `until` is the stated end of observation, if there is one."""
    if events.is_empty():
        return
    yield from _order(events)
    yield from _arrivals(events)
    hour, count = _hours(events)
    yield from _clock(events, hour, count)
    yield from _zone(events, hour, count)
    yield from _gaps(events, hour, until)
    yield from _types(events)
    yield from _who(events)
    yield from _bots(events)
    yield from _wholesale(events)
    for column in (schema.USER, schema.ITEM):
        yield from _alike("events", events, column)


def of_items(items: pl.DataFrame, events: pl.DataFrame) -> Iterator[Finding]:
    """Findings on the catalogue: items without words, listed twice, sold but not listed."""
    if schema.TITLE in items.columns:
        untitled = items[schema.TITLE].cast(pl.String).fill_null("").str.strip_chars() == ""
        if untitled.any():
            yield Finding(
                *("untitled", "warning", "items", schema.TITLE, int(untitled.sum()), untitled.arg_max()),
                f"{untitled.sum():,} items have no title.",
                "Bring their titles: without words the language model has nothing to read of them.",
            )
    yield from _twice("items", items, schema.ITEM)
    yield from _alike("items", items, schema.ITEM)
    if schema.ITEM in events.columns:
        listed = items[schema.ITEM].cast(pl.String)
        sold = events[schema.ITEM].drop_nulls().unique().cast(pl.String)
        missing = len(sold) - int(sold.is_in(listed.implode()).sum())
        if missing:
            yield Finding(
                *("unlisted", "warning", "events", schema.ITEM, missing, None),
                f"{missing:,} of {len(sold):,} items that events name are not listed in items.",
                "Bring the whole catalogue, old items too: what is not listed has no words.",
            )


def of_users(users: pl.DataFrame) -> Iterator[Finding]:
    """Findings on the table of customers."""
    yield from _twice("users", users, schema.USER)


def _order(events: pl.DataFrame) -> Iterator[Finding]:
    when = events.select(known()).to_series()
    earlier = (when < when.cum_max().shift(1)).fill_null(value=False)
    if earlier.any():
        yield Finding(
            *("out_of_order", "note", "events", schema.TIME, int(earlier.sum()), earlier.arg_max()),
            f"{earlier.sum():,} rows stand after a later one.",
            "Nothing to do: a log is sorted when it is read.",
        )


def _arrivals(events: pl.DataFrame) -> Iterator[Finding]:
    if schema.ARRIVED not in events.columns:
        return
    lag = (events[schema.ARRIVED] - events[schema.TIME]).dt.total_microseconds()
    late, early = (lag > 0).fill_null(value=False), (lag < 0).fill_null(value=False)
    if late.any():
        lags = lag.filter(late)
        half, most, longest = (timedelta(microseconds=int(lags.quantile(q) or 0)) for q in (0.5, 0.95, 1.0))
        yield Finding(
            *("late", "note", "events", schema.ARRIVED, int(late.sum()), late.arg_max()),
            f"{int(late.sum()) / len(events):.1%} of the events arrived late: half of these within {_span(half)}, "
            f"95 % within {_span(most)}, the last after {_span(longest)}.",
            "Nothing to do: an event counts as known from arrived_at. Give --until later than the newest window "
            "by the longest usual delay, so that its truth is whole.",
        )
    if early.any():
        yield Finding(
            *("arrived_early", "note", "events", schema.ARRIVED, int(early.sum()), early.arg_max()),
            f"{early.sum():,} events arrived before they happened, by less than a day.",
            "Synchronise the clocks of the devices that send events; the later time counts.",
        )


def _clock(events: pl.DataFrame, hour: Array, count: Array) -> Iterator[Finding]:
    time = events[schema.TIME].dt.epoch("us")
    # Midnight in a zone with summer time is two hours of the day in UTC.
    hours = np.unique(hour % 24)
    midnight = int((time % _DAY == 0).sum())
    if len(events) > 1 and len(hours) <= 2 and (time % _HOUR == 0).all():
        yield Finding(
            *("dates_only", "warning", "events", schema.TIME, len(events), 0),
            "The times are dates: all fall on midnight.",
            "Bring the time of day if there is one. Without it, all that a customer does in one day is one basket.",
        )
    elif len(hours) == 1 and len(np.unique(hour)) > 1:
        yield Finding(
            *("single_hour", "warning", "events", schema.TIME, len(events), 0),
            f"All events fall in one hour of the day, {hours[0]:02}:00 UTC.",
            "This is the hour of an export rather than of the customers: bring the time when each thing happened.",
        )
    elif midnight > MIDNIGHT_SHARE * len(events):
        yield Finding(
            *("some_midnight", "warning", "events", schema.TIME, midnight, (time % _DAY == 0).arg_max()),
            f"{midnight / len(events):.0%} of the events happen at midnight to the microsecond.",
            "Some source writes dates without a time: bring its times, or leave that source out.",
        )


def _zone(events: pl.DataFrame, hour: Array, count: Array) -> Iterator[Finding]:
    """Where the hours of the day move by whole hours from one period to one of the two before it."""
    span = 7 if len(events) >= 2 * ZONE_EVENTS * (1 + (hour[-1] - hour[0]) // 168) else 28
    period = (hour // 24 - hour[0] // 24) // span
    numbers, place = np.unique(period, return_inverse=True)
    profiles = np.zeros((len(numbers), 24))
    np.add.at(profiles, (place, hour % 24), count)
    enough = profiles.sum(axis=1) >= ZONE_EVENTS
    numbers, profiles = numbers[enough], profiles[enough]
    moved: list[tuple[int, int]] = []
    for i in range(1, len(numbers)):
        for before in range(max(0, i - 2), i):
            shift = _shift(profiles[before], profiles[i])
            # A change inside a period shows twice: against the one before, and the one before that.
            if shift and not (moved and i - moved[-1][0] <= 2):
                moved.append((i, shift))
    if moved:
        start = int(hour[period == numbers[moved[0][0]]].min())
        day = datetime.fromtimestamp(start * 3600, UTC)
        yield Finding(
            *("zone", "warning", "events", schema.TIME, len(moved)),
            int((events[schema.TIME].dt.epoch("us") >= start * _HOUR).arg_max() or 0),
            f"The hours of the day move by {moved[0][1]:+} in the {span} days from {day:%Y-%m-%d} on"
            + (f", and {len(moved) - 1} times more." if len(moved) > 1 else "."),
            "Times of one part are in another zone: write them with their zone, or read it apart with its timezone.",
        )


def _shift(before: Array, after: Array) -> int:
    """By how many hours `after` lies later in the day than `before`; 0 where that is not plain."""
    if before.std() == 0 or after.std() == 0:
        return 0
    like = [float(np.corrcoef(before, np.roll(after, -shift))[0, 1]) for shift in range(24)]
    best = int(np.argmax(like))
    far = min(best, 24 - best) >= ZONE_HOURS
    plain = like[best] >= ZONE_LIKE and like[best] - like[0] >= ZONE_GAIN
    return (best if best <= 12 else best - 24) if far and plain else 0


def _gaps(events: pl.DataFrame, hour: Array, until: datetime | None) -> Iterator[Finding]:
    days = np.unique(hour // 24)
    empty = np.diff(days) - 1
    if len(empty):
        usual = float(np.quantile(empty, 0.99, method="lower"))
        long = np.flatnonzero((empty >= GAP_DAYS) & (empty > GAP_TIMES_USUAL * usual))
        if len(long):
            begin = datetime.fromtimestamp(int(days[long[0]] + 1) * 86_400, UTC)
            yield Finding(
                *("gap", "warning", "events", schema.TIME, int(empty[long].sum()), None),
                f"{len(long)} stretches without any event, {empty[long].sum():,} days in all, the first of "
                f"{empty[long[0]]} days from {begin:%Y-%m-%d} on.",
                "If the shop was open, bring what is missing: a model takes a gap for customers who stayed away.",
            )
    if until is not None:
        last = datetime.fromtimestamp(int(days[-1] + 1) * 86_400, UTC)
        quiet = (until - last) // timedelta(days=1)
        if quiet >= GAP_DAYS and quiet > GAP_TIMES_USUAL * (float(empty.max()) if len(empty) else 0.0):
            yield Finding(
                *("silent_end", "warning", "events", schema.TIME, quiet, None),
                f"observed_until is {until:%Y-%m-%d}, but nothing happens in the {quiet} days before it.",
                "Set observed_until to when the log really ends: the days after count as days without a purchase.",
            )


def _types(events: pl.DataFrame) -> Iterator[Finding]:
    counts = (
        events[schema.TYPE].cast(pl.String).value_counts(sort=True).sort("count", schema.TYPE, descending=[True, False])
    )
    names, rows = counts[schema.TYPE].to_list(), counts["count"].to_list()
    if schema.BUY not in names:
        like = [name for name in names if name.strip().lower() == schema.BUY or any(w in name.lower() for w in _BUYING)]
        yield Finding(
            *("no_buy", "warning", "events", schema.TYPE, len(events), 0),
            f"No event is a {schema.BUY!r}; there are {', '.join(map(repr, names[:8]))}.",
            f'Name your purchases so: [data.event_types] "{(like or names)[0]}" = "buy". The tasks look for them.',
        )
    if len(names) == 1:
        yield Finding(
            *("single_type", "warning", "events", schema.TYPE, len(events), 0),
            f"All events are of one type, {names[0]!r}.",
            "Bring views, searches and carts too if the shop keeps them: they say most of what comes next.",
        )
    new = [(name, n) for name, n in zip(names, rows, strict=True) if name not in schema.TYPES]
    if new:
        told = ", ".join(f"{name!r} ({n:,})" for name, n in new[:5]) + (", ..." if len(new) > 5 else "")
        first = events[schema.TYPE].cast(pl.String).is_in([name for name, _ in new]).arg_max()
        yield Finding(
            *("unknown_types", "note", "events", schema.TYPE, sum(n for _, n in new), first),
            f"{len(new)} event types are not among the usual ones and are kept as they are: {told}.",
            "Nothing to do if they are meant; otherwise give their usual names under [data.event_types].",
        )


def _who(events: pl.DataFrame) -> Iterator[Finding]:
    if schema.USER not in events.columns:
        return
    users = events[schema.USER]
    nameless = users.null_count()
    if nameless:
        share = nameless / len(events)
        severity: Severity = "warning" if share > ANONYMOUS_SHARE else "note"
        yield Finding(
            *("anonymous", severity, "events", schema.USER, nameless, users.is_null().arg_max()),
            f"{share:.0%} of the events have no user_id; the session stands for the customer.",
            "Join sessions with customers after they log in, if you can: each session is a stranger now.",
        )
    ids = users.drop_nulls().unique()
    odd = ids.filter(ids.cast(pl.String).str.strip_chars().str.to_lowercase().is_in(PLACEHOLDERS)).sort()
    if len(odd):
        rows = users.is_in(odd.implode()).fill_null(value=False)
        yield Finding(
            *("placeholder_ids", "warning", "events", schema.USER, int(rows.sum()), rows.arg_max()),
            f"{rows.sum():,} events are of customers called {', '.join(map(repr, odd.to_list()[:5]))}.",
            "Leave user_id empty where the customer is not known, or all of them are taken for one person.",
        )


def _bots(events: pl.DataFrame) -> Iterator[Finding]:
    who = schema.USER if schema.USER in events.columns else schema.SESSION
    day = (pl.col(schema.TIME).dt.epoch("us") // _DAY).alias("day")
    busy = events.group_by(who, day).len().filter(pl.col("len") > BOT_MOMENTS, pl.col(who).is_not_null())
    if busy.is_empty():
        return
    moments = events.select(who, schema.TIME, day).unique().group_by(who, "day").len()
    busiest = moments.filter(pl.col(who).is_not_null()).group_by(who).agg(pl.col("len").max())
    usual = float(busiest["len"].median() or 0)  # type: ignore[arg-type]
    bots = busiest.filter(pl.col("len") > max(BOT_MOMENTS, BOT_TIMES_USUAL * usual))
    if len(bots):
        rows = events[who].is_in(bots[who].implode()).fill_null(value=False)
        yield Finding(
            *("bots", "warning", "events", who, len(bots), rows.arg_max()),
            f"{len(bots)} customers act like machines: up to {max(bots['len'].to_list()):,} different moments in one "
            f"day where half of the customers have at most {usual:.0f}; "
            f"{int(rows.sum()) / len(events):.1%} of the events are theirs.",
            "Leave out crawlers, monitors and test accounts before training; a shared till is better split by session.",
        )


def _wholesale(events: pl.DataFrame) -> Iterator[Finding]:
    for column in (schema.AMOUNT, schema.QUANTITY):
        if column not in events.columns:
            continue
        value = pl.col(column).cast(pl.Float64)
        bought = pl.col(schema.TYPE).cast(pl.String) == schema.BUY
        lines = events.select(schema.TYPE, column, row=pl.int_range(pl.len())).filter(bought, value > 0)
        if len(lines) < 100:
            continue
        logs = lines.select(value.log())[column]
        low, high = (float(logs.quantile(q) or 0.0) for q in (0.25, 0.75))
        fence = high + WHOLESALE_RANGES * max(high - low, WHOLESALE_LEAST)
        far = lines.filter(logs > fence)
        if len(far):
            share = float(far[column].sum()) / float(lines[column].sum())
            yield Finding(
                *("wholesale", "warning", "events", column, len(far), int(far["row"][0])),
                f"{len(far):,} purchases have {column} above {np.exp(fence):,.4g}, far beyond the others: "
                f"{share:.1%} of the whole.",
                "If these are wholesale orders, leave their customers out or model them apart; if slips, mend them.",
            )


def _alike(table: str, frame: pl.DataFrame, column: str) -> Iterator[Finding]:
    if column not in frame.columns or frame.schema[column] not in (pl.String, pl.Categorical):
        return
    ids = frame[column].cast(pl.String).drop_nulls().unique()
    plain = pl.DataFrame({"id": ids}).with_columns(same=pl.col("id").str.strip_chars().str.to_lowercase())
    if plain["same"].n_unique() == len(ids):
        return
    groups = plain.group_by("same").agg(pl.col("id").sort()).filter(pl.col("id").list.len() > 1).sort("same")
    pair, count = groups["id"][0].to_list()[:2], int(groups["id"].list.len().sum())
    yield Finding(
        *("alike_ids", "warning", table, column, count, None),
        f"{count:,} ids of {column} differ only by case or space, such as {pair[0]!r} and {pair[1]!r}.",
        f'If they mean the same, write them alike, for instance by [data.columns] {column} = "LOWER(TRIM({column}))".',
    )


def _twice(table: str, frame: pl.DataFrame, key: str) -> Iterator[Finding]:
    if key not in frame.columns:
        return
    again = ~frame[key].is_first_distinct()
    if again.any():
        yield Finding(
            *("listed_twice", "warning", table, key, int(again.sum()), again.arg_max()),
            f"{again.sum():,} rows of {table} say a {key} again.",
            "Keep one row an id: the first one counts, the others are not read.",
        )


def _hours(events: pl.DataFrame) -> tuple[Array, Array]:
    """Hours since 1970 with events, ascending, and how many each has."""
    hours = events.group_by((pl.col(schema.TIME).dt.epoch("us") // _HOUR).alias("hour")).len().sort("hour")
    return hours["hour"].to_numpy(), hours["len"].to_numpy()


def _span(span: timedelta) -> str:
    """A time span in its natural unit."""
    seconds = span.total_seconds()
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.3g} seconds"
