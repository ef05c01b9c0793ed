"""Times as shops write them, turned into UTC microseconds row by row.

A time that names its zone is taken at its word. One that names none is read on the shop's clock (`zone`): an hour
that comes twice when the clocks go back is its first coming, and an hour that is skipped when they go forward is
read with the offset from before.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import datetime

import polars as pl

from intently.errors import ConfigError, DataError
from intently.log import schema
from intently.log.nearest import hint

# Tried on whole columns first: an order of magnitude quicker than the pattern below.
_PLAIN = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M")
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f %#z")

# The first hour (of twelve) that is one of an evening.
_EVENING = 5
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CLOCK = (
    r"(?:[T,\s]*(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:[.,](?P<fraction>\d{1,9}))?)?:?"
    r"\s*(?P<half>[AaPp晚])?(?:\.?[Mm]\.?)?)?"
    r"\s*(?P<zone>[Zz]|UTC|GMT|(?:UTC|GMT)?(?P<sign>[+-])(?P<ahead>\d{1,2}):?(?P<ahead_minutes>\d{2})?)?$"
)
_YEAR_FIRST = r"^(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})" + _CLOCK
_YEAR_LAST = r"^(?P<one>\d{1,2})(?P<mark>[-/.])(?P<two>\d{1,2})[-/.](?P<year>\d{4}|\d{2})" + _CLOCK
_DAY_NAMED = r"^(?:[A-Za-z]{3,9},?\s+)?(?P<day>\d{1,2})[-\s](?P<name>[A-Za-z]{3})[a-z]*[-,\s]+(?P<year>\d{4})" + _CLOCK
_MONTH_NAMED = r"^(?P<name>[A-Za-z]{3})[a-z]*\.?\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})" + _CLOCK
_DIGITS = (
    r"^(?P<year>(?:19|20)\d{2})(?P<month>[01]\d)(?P<day>[0-3]\d)"
    r"[T\s]?(?:(?P<hour>[0-2]\d)(?P<minute>[0-5]\d)(?P<second>[0-5]\d)?)?$"
)

# A larger count since 1970 would lie past the year 5000 in its unit: it is of the next finer one.
_LARGEST_SECONDS, _LARGEST_MILLISECONDS, _LARGEST_MICROSECONDS = 1e11, 1e14, 1e17


def utc(times: pl.Series, zone: str = "UTC", day_first: bool | None = None) -> pl.Series:
    """Times as UTC microseconds; null where a value is not a time.

    Takes dates, date-times with or without a zone, counts since 1970 (s, ms, us or ns by their size) and text in the
    usual forms. `day_first` says whether 3/4/2024 is in April; without it the column's other values must tell, or
    DataError is raised.
    """
    dtype = times.dtype
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is not None:
            return times.cast(schema.CLOCK)
        return _on_clock(times.dt.cast_time_unit("us"), zone)
    if dtype == pl.Date:
        return _on_clock(times.cast(pl.Datetime("us")), zone)
    if dtype.is_numeric():
        return _dated(times, zone)
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _written(times.cast(pl.String), zone, day_first)
    return pl.Series(times.name, [None] * len(times), dtype=schema.CLOCK)


def known_zone(zone: str) -> str:
    """The zone's name, if there is such a zone; ConfigError with the nearest one otherwise."""
    from zoneinfo import ZoneInfo, available_timezones

    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        near = hint(zone, sorted(available_timezones()))
        raise ConfigError(
            f"timezone {zone!r} is not a time zone{near}.", mend="Write it like Europe/London or UTC."
        ) from None
    return zone


def span_end(value: object, zone: str, day_first: bool | None = None) -> datetime:
    """A date or time of a config file (text or a TOML date) as a UTC datetime, read as `utc` reads a column."""
    found = utc(pl.Series([value], strict=False), zone, day_first)[0]
    if not isinstance(found, datetime):
        raise ConfigError(f"{value!r} is not a date.", mend="Write it as 2017-11-05 or 2017-11-05T08:00.")
    return found


def _on_clock(times: pl.Series, zone: str) -> pl.Series:
    local = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    skipped = local.is_null() & times.is_not_null()
    if skipped.any():
        # A day earlier the old offset still holds; a day of 24 hours later is the same time by that offset.
        before = times.dt.offset_by("-24h").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        local = local.zip_with(~skipped, before.dt.offset_by("24h"))
    return local.cast(schema.CLOCK)


def _counted(numbers: pl.Series) -> pl.Series:
    """Counts since 1970 in the unit that their size tells."""
    size, whole = pl.col("n").abs(), pl.col("n").cast(pl.Int64, strict=False)
    exact = pl.col("n") if numbers.dtype.is_float() else whole
    scaled = (
        pl.when(size < _LARGEST_SECONDS)
        .then(exact * 1_000_000)
        .when(size < _LARGEST_MILLISECONDS)
        .then(exact * 1_000)
        .when(size < _LARGEST_MICROSECONDS)
        .then(exact)
        .when(size.is_not_nan())
        .then(whole // 1_000)
    )
    times = pl.DataFrame({"n": numbers}).select(scaled.cast(pl.Int64, strict=False).cast(schema.CLOCK))
    return times.to_series().alias(numbers.name)


def _dated(numbers: pl.Series, zone: str) -> pl.Series:
    """As counts, but 20240131, 202401311015 and 20240131101500 are dates: as counts they lie in the seventies or past
    2600. So is 2024013110 where every value is a date and an hour.
    """
    whole = numbers.cast(pl.Int64, strict=False) * (100 if _are_hours(numbers) else 1)
    named = _named(whole)
    if not named.any():
        return _counted(numbers)
    dates = _by_pattern(whole.set(~named, None).cast(pl.String), zone, None)
    return dates.zip_with(named.fill_null(value=False), _counted(numbers)).alias(numbers.name)


def name_dates(numbers: pl.Series) -> bool:
    """Whether whole numbers are dates as digits, on the shop's clock, and not counts since 1970."""
    return _are_hours(numbers) or _named(numbers.cast(pl.Int64, strict=False)).any()


def _named(whole: pl.Series) -> pl.Series:
    days, minutes, seconds = (
        whole.is_between(19_000_101 * shift, 21_001_232 * shift, closed="left") for shift in (1, 10**4, 10**6)
    )
    return days | minutes | seconds


def _are_hours(numbers: pl.Series) -> bool:
    """Whether all numbers are a date and an hour, 2024013110. As counts of seconds they would lie after 2032."""
    there = numbers.drop_nulls()
    if not len(there) or not there.is_between(1_990_010_100, 2_099_123_123).all():
        return False
    whole = there.cast(pl.Int64)
    dates = (whole.cast(pl.String) + "00").str.to_datetime("%Y%m%d%H%M", strict=False)
    return bool((whole == there).all()) and not dates.null_count()


def _written(texts: pl.Series, zone: str, day_first: bool | None) -> pl.Series:
    """Text in any of the usual forms, several in one column if need be."""
    found = pl.Series(texts.name, [None], dtype=schema.CLOCK).new_from_index(0, len(texts))
    for form in (*_PLAIN, *_ZONED):
        if _fits(texts, found, form):
            parsed = _parsed(texts, form)
            found = _filled(found, parsed.cast(schema.CLOCK) if form in _ZONED else _on_clock(parsed, zone))
    left = (found.is_null() & texts.is_not_null()).arg_true()
    if len(left):
        rest = _tidy(texts.gather(left))
        parsed = _by_pattern(rest, zone, day_first)
        # Whole numbers first: a double would round counts of nanoseconds.
        whole = rest.cast(pl.Int64, strict=False)
        parsed = _filled(parsed, _dated(whole, zone) if _are_hours(whole) else _counted(whole))
        parsed = _filled(parsed, _counted(rest.cast(pl.Float64, strict=False)))
        found = found.scatter(left, parsed)
    return found


def _fits(texts: pl.Series, found: pl.Series, form: str) -> bool:
    """Whether a form reads one of the first values that no other form has read."""
    sample = texts.filter(found.is_null() & texts.is_not_null()).head(20)
    return bool(len(sample)) and _parsed(sample, form).is_not_null().any()


def _parsed(texts: pl.Series, form: str) -> pl.Series:
    times = texts.str.to_datetime(form, time_unit="us", strict=False)
    # 31-1-24 is no day in the year 31.
    return times.set(times.dt.year() < 1000, None)


def _filled(found: pl.Series, more: pl.Series) -> pl.Series:
    return found.zip_with(found.is_not_null(), more)


def _tidy(texts: pl.Series) -> pl.Series:
    """Chinese dates and clocks in the form of the others."""
    tidy = texts.str.strip_chars().str.replace(r"(上午|下午|凌晨|晚上)\s*([\d:：时分秒]+)", "$2 $1")
    for theirs, ours in (("[年月]", "-"), ("日", " "), ("[时点：]", ":"), ("分(\\d)", ":$1"), ("[分秒]", "")):
        tidy = tidy.str.replace_all(theirs, ours)
    return tidy.str.replace(r"(上午|凌晨)", "AM").str.replace("下午", "PM").str.replace("晚上", "晚").str.strip_chars()


def _by_pattern(texts: pl.Series, zone: str, day_first: bool | None) -> pl.Series:
    frame = pl.DataFrame({"text": texts})
    found = pl.Series([None], dtype=schema.CLOCK).new_from_index(0, len(texts))
    for pattern in (_YEAR_FIRST, _DIGITS, _YEAR_LAST, _DAY_NAMED, _MONTH_NAMED):
        parts = frame.select(pl.col("text").str.extract_groups(pattern)).unnest("text")
        if "mark" in parts.columns:
            if parts["one"].null_count() == len(parts):
                continue
            parts = _days_and_months(parts, texts, day_first)
        if "name" in parts.columns:
            month = (
                pl.col("name")
                .str.to_lowercase()
                .replace_strict(_MONTHS, range(1, 13), default=None, return_dtype=pl.Int32)
            )
            parts = parts.with_columns(month.cast(pl.String).alias("month"))
        if parts["year"].null_count() < len(parts):
            found = _filled(found, _assembled(parts, zone))
    return found


def _days_and_months(parts: pl.DataFrame, texts: pl.Series, day_first: bool | None) -> pl.DataFrame:
    """3/4/2024 is in March or in April: by `day_first`, or by what the column's other values allow."""
    slashed = parts.filter(pl.col("mark") != ".")
    one, two = (slashed[name].cast(pl.Int32) for name in ("one", "two"))
    if day_first is None and len(slashed):
        day_first = days_come_first(one, two)
        if day_first is None:
            raise DataError(
                f"Times such as {texts.gather(parts['one'].is_not_null().arg_true())[0]!r} may be read day first or "
                "month first, and no value tells which.",
                mend="Say day_first = true or false under [data].",
            )
    # With dots it is always the day that comes first.
    first = pl.lit(bool(day_first)) | (pl.col("mark") == ".")
    year = pl.col("year")
    return parts.with_columns(
        pl.when(first).then("one").otherwise("two").alias("day"),
        pl.when(first).then("two").otherwise("one").alias("month"),
        pl.when(year.str.len_bytes() == 2).then(pl.lit("20") + year).otherwise(year).alias("year"),
    )


def days_come_first(one: pl.Series, two: pl.Series) -> bool | None:
    """Whether the first of two numbers is the day: by values above 12; None if they do not tell."""
    if (one > 12).any() and not (two > 12).any():
        return True
    if (two > 12).any() and not (one > 12).any():
        return False
    return None


def told_day_first(columns: Iterable[pl.Series]) -> bool | None:
    """Whether the day comes first in columns of times of one table, by those that tell; None if they do not agree."""
    told: set[bool | None] = set()
    for column in columns:
        parts = column.cast(pl.String).str.extract_groups(_YEAR_LAST).struct.unnest().filter(pl.col("mark") != ".")
        one, two = (parts[name].cast(pl.Int32) for name in ("one", "two"))
        if (one > 12).any() or (two > 12).any():
            told.add(days_come_first(one, two))
    return told.pop() if len(told) == 1 else None


def _assembled(parts: pl.DataFrame, zone: str) -> pl.Series:
    number = functools.partial(_part, parts)
    hour, next_day = number("hour"), pl.lit(value=False)
    if "half" in parts.columns:
        half = pl.col("half").str.to_lowercase()
        twelve = hour % 12
        night = half == "晚"
        # Twelve at night ends the evening. Which night one o'clock is of, nothing says.
        late, unsaid = night & hour.is_in([12, 24]), night & (hour < _EVENING)
        next_day = late.fill_null(value=False)
        hour = (
            pl.when(late | (half == "a"))
            .then(twelve)
            .when(unsaid)
            .then(None)
            .when(night | (half == "p"))
            .then(twelve + 12)
            .otherwise(hour)
        )
    micros = pl.lit(0, dtype=pl.Int32)
    if "fraction" in parts.columns:
        micros = pl.col("fraction").fill_null("").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int32, strict=False)
    date = pl.concat_str(
        "year",
        pl.col("month").str.zfill(2),
        pl.col("day").str.zfill(2),
        hour.cast(pl.String).str.zfill(2),
        number("minute").cast(pl.String).str.zfill(2),
        number("second").cast(pl.String).str.zfill(2),
    )
    # Through text: an impossible date (30 February) becomes null instead of an error.
    frame = parts.with_columns(
        date.str.to_datetime("%Y%m%d%H%M%S", time_unit="us", strict=False).alias("local")
        + pl.duration(days=next_day.cast(pl.Int32), microseconds=micros)
    )
    local = frame["local"]
    if "zone" not in parts.columns:
        return _on_clock(local, zone)
    sign = pl.when(pl.col("sign") == "-").then(-1).otherwise(1)
    ahead = sign * (number("ahead") * 60 + number("ahead_minutes"))
    there = frame.select(pl.col("local") - pl.duration(minutes=ahead)).to_series().dt.replace_time_zone("UTC")
    return there.zip_with(frame["zone"].is_not_null(), _on_clock(local, zone))


def _part(parts: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int32, strict=False).fill_null(0) if name in parts.columns else pl.lit(0, pl.Int32)
