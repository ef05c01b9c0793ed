"""Whose clock a shop's times are on, and whether the day or the month stands first: guessed from the data."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from intently.log.draft import Guess
from intently.log.names import COUNTRY_COLUMNS, ZONES, plain
from intently.log.times import days_come_first, name_dates, utc

_ZONED = r"(?i)(Z|UTC|GMT|[+-]\d{2}:?\d{2})\s*$"
_SLASHED = r"^\s*(\d{1,2})[-/](\d{1,2})[-/]\d{2,4}"
# A shop sleeps in these hours of its own clock: the middle of its quietest six hours.
_NIGHT = (0.0, 7.0)
_SLEEP = 6


def zone(events: pl.DataFrame, column: str) -> Guess:
    """The time zone of a column of times."""
    times = events[column]
    dtype = times.dtype
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return Guess("timezone", "UTC", f"{column!r} carries its zone ({dtype.time_zone})")
    if dtype.is_numeric() and not name_dates(times):
        return Guess("timezone", "UTC", f"{column!r} counts from 1970, which is UTC")
    if dtype == pl.String and times.drop_nulls().head(1000).str.contains(_ZONED).all():
        return Guess("timezone", "UTC", f"every time in {column!r} says its zone")
    country, alone, why = _country(events)
    hour = _quiet(times)
    if hour is None:
        if country is None:
            return Guess(
                "timezone", "UTC", "days without hours, and no country: nothing tells the zone", "", sure=False
            )
        return Guess("timezone", country, f"{why}; days without hours tell no more", "UTC", alone)
    asleep = f"the shop is quietest around {int(hour):02}:{int(hour % 1 * 60):02} as written"
    local = _NIGHT[0] <= hour <= _NIGHT[1] or hour >= 23
    if country is None:
        told = (
            "a night, so it is the shop's own clock, but no country tells which" if local else "which is no night: UTC?"
        )
        return Guess("timezone", "UTC", f"{asleep}, {told}", "the zone of the shop", sure=False)
    if local:
        return Guess("timezone", country, f"{why}, and {asleep}: a clock of that place", "UTC", alone)
    there = (hour + _ahead(country, events, column)) % 24
    if _NIGHT[0] <= there <= _NIGHT[1]:
        return Guess("timezone", "UTC", f"{asleep}, which is {int(there):02} o'clock in {country} ({why})", country)
    return Guess("timezone", country, f"{why}; {asleep}, which is no night there", "UTC", sure=False)


def day_first(times: pl.Series) -> Guess | None:
    """Whether 3/4/2024 is in April, where times are so written."""
    if times.dtype != pl.String:
        return None
    parts = times.drop_nulls().str.extract_groups(_SLASHED).struct.unnest().drop_nulls()
    if not len(parts):
        return None
    one, two = (parts[name].cast(pl.Int32) for name in ("1", "2"))
    told = days_come_first(one, two)
    if told is not None:
        return Guess("day_first", str(told).lower(), f"a number above 12 stands {'first' if told else 'second'}")
    # A log is mostly in the order of time, and without months of silence: the right reading turns back less often, and
    # spans less.
    found = {}
    for first in (True, False):
        read = utc(times, day_first=first).drop_nulls()
        span = np.ptp(read.dt.epoch("d").to_numpy()) if len(read) else 0
        found[first] = (int((read.diff().dt.total_seconds() < 0).sum()), int(span))
    first = min(found, key=lambda one: found[one])
    (turns, days), (others, more) = found[first], found[not first]
    why = (
        f"no number is above 12; so, times turn back {turns:,} times over {days:,} days, else {others:,} over {more:,}"
    )
    return Guess("day_first", str(first).lower(), why, str(not first).lower(), sure=False)


def _quiet(times: pl.Series) -> float | None:
    """The middle of the quietest six hours of the day as written, 0 to 24; None where times have no hours."""
    first = day_first(times)
    hours = utc(times, day_first=None if first is None else first.theirs == "true").drop_nulls().dt.hour()
    if not len(hours) or hours.n_unique() < 3:
        return None
    counts = np.bincount(hours.to_numpy(), minlength=24)
    windows = np.array([counts[np.arange(start, start + _SLEEP) % 24].sum() for start in range(24)])
    # Of several windows as quiet (a shop of office hours), the one in the middle: hours turn round, so by angle.
    quiet = np.flatnonzero(windows <= windows.min() + 0.002 * len(hours)) + _SLEEP / 2
    angle = np.angle(np.exp(2j * np.pi * quiet / 24).sum())
    return float(angle * 24 / (2 * np.pi) % 24)


def _country(events: pl.DataFrame) -> tuple[str | None, bool, str]:
    """The zone of the commonest country or currency, whether it is the country's only one, and why."""
    for column in (one for name in COUNTRY_COLUMNS for one in events.columns if plain(one) == name):
        if events[column].dtype == pl.String and len(events[column].drop_nulls()):
            name, count = events[column].drop_nulls().value_counts(sort=True).row(0)
            if plain(name) in ZONES and count > 0.5 * len(events):
                found, alone = ZONES[plain(name)]
                return found, alone, f"{count / len(events):.0%} of rows have {column} {name!r}"
    chinese = [column for column in events.columns if re.search(r"[\u4e00-\u9fff]", column)]
    if chinese:
        return "Asia/Shanghai", False, f"columns are named in Chinese ({chinese[0]})"
    return None, False, ""


def _ahead(place: str, events: pl.DataFrame, column: str) -> float:
    """How many hours a place is ahead of UTC in the middle of the log."""
    times = utc(events[column], day_first=False).drop_nulls().sort()
    middle = times.dt.convert_time_zone(place)[len(times) // 2]
    return middle.utcoffset().total_seconds() / 3600
