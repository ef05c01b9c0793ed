# ruff: noqa: DTZ001, E501 (times without a zone are what is tested)
"""Times as shops write them."""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.errors import ConfigError, DataError
from intently.log.times import known_zone, span_end, utc

TEN = datetime(2024, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31 10:00:00", "2024-01-31 10:00", "2024-01-31T10:00:00", "2024-01-31T10:00:00Z", "2024-01-31 10:00:00 UTC",
        "2024-01-31T18:00:00.000+08:00", "2024-01-31 05:00:00 -0500", "2024-01-31 18:00 GMT+8", "2024/1/31 10:00",
        "31.01.2024 10:00", "31/01/2024 10:00:00", "01/31/2024 10:00 AM", "31-1-24 10:00", "20240131T1000", "20240131100000",
        "1706695200", "1706695200000", "1706695200000000", "1706695200000000000", "1706695200.0",
        "2024年1月31日 10:00", "2024年01月31日10时00分", "2024/1/31 上午 10:00:00", "31 Jan 2024 10:00",
        "Wed, 31 Jan 2024 10:00:00 +0000", "January 31, 2024 10:00:00 am", "  2024-01-31 10:00:00  ",
    ],
)  # fmt: skip
def test_the_usual_forms(text):
    assert utc(pl.Series([text]))[0] == TEN


def test_forms_and_zones_may_change_from_row_to_row():
    mixed = pl.Series(["2024-01-31T10:00:00Z", "2024-01-31 10:00:00", "2024-01-31T18:00:00+08:00", None, "1706695200"])
    at = utc(mixed, "Europe/Berlin").to_list()
    assert at == [TEN, datetime(2024, 1, 31, 9, tzinfo=UTC), TEN, None, TEN]


def test_twelve_o_clock_in_halves():
    noon, midnight = (
        utc(pl.Series(["2024/1/31 12:30 PM", "2024/1/31 下午 12:30"])),
        utc(pl.Series(["2024/1/31 12:30 AM"])),
    )
    assert noon.dt.hour().to_list() == [12, 12]
    assert midnight.dt.hour().to_list() == [0]


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("晚上11:30", datetime(2024, 12, 31, 23, 30, tzinfo=UTC)),
        ("晚上5:00", datetime(2024, 12, 31, 17, tzinfo=UTC)),
        ("晚上23:30", datetime(2024, 12, 31, 23, 30, tzinfo=UTC)),
        ("晚上12:30", datetime(2025, 1, 1, 0, 30, tzinfo=UTC)),
        ("晚上12时05分", datetime(2025, 1, 1, 0, 5, tzinfo=UTC)),
        ("晚上24:00", datetime(2025, 1, 1, tzinfo=UTC)),
        ("凌晨12:30", datetime(2024, 12, 31, 0, 30, tzinfo=UTC)),
        # Of the night before or after: nothing says.
        ("晚上1:30", None),
        ("晚上0:30", None),
    ],
)
def test_twelve_at_night_ends_the_evening(text, at):
    column = pl.Series([f"2024年12月31日 {text}", "2024/12/31 上午 10:00", "2024-12-31 10:00:00"])
    morning = datetime(2024, 12, 31, 10, tzinfo=UTC)
    assert utc(column).to_list() == [at, morning, morning]


@pytest.mark.parametrize(
    "text", ["much", "2024-02-30", "2024-13-01 10:00", "", "12:30", "nan", "inf", "2024-01-31 25:00"]
)
def test_what_is_not_a_time_is_empty(text):
    assert utc(pl.Series([text, "2024-01-31 10:00:00"])).to_list() == [None, TEN]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1706695200], pl.Int64), ([1706695200000], pl.Int64), ([1706695200000000], pl.Int64), ([1706695200.0], pl.Float64),
        ([20240131100000], pl.Int64), ([datetime(2024, 1, 31, 10)], pl.Datetime("ms")), ([TEN], pl.Datetime("ns", "UTC")),
        (["2024-01-31 10:00:00"], pl.Categorical),
    ],
)  # fmt: skip
def test_columns_of_other_types(values, dtype):
    times = utc(pl.Series(values, dtype=dtype))
    assert times.dtype == pl.Datetime("us", "UTC")
    assert times[0] == TEN


def test_a_day_is_its_midnight_on_the_shops_clock():
    for day in (pl.Series([date(2024, 7, 1)]), pl.Series([20240701]), pl.Series(["2024-07-01"])):
        assert utc(day, "Europe/London")[0] == datetime(2024, 6, 30, 23, tzinfo=UTC)


def test_an_hour_that_comes_twice_is_its_first_coming_and_a_skipped_one_has_the_offset_from_before():
    local = ["2024-10-27 01:30:00", "2024-03-31 01:30:00", "2024-03-31 02:30:00"]
    at = [datetime(2024, 10, 27, 0, 30), datetime(2024, 3, 31, 1, 30), datetime(2024, 3, 31, 1, 30)]
    assert utc(pl.Series(local), "Europe/London").to_list() == [one.replace(tzinfo=UTC) for one in at]
    # Samoa had no 30 December 2011 at all.
    assert utc(pl.Series(["2011-12-30 12:00:00"]), "Pacific/Apia")[0] == datetime(2011, 12, 30, 22, tzinfo=UTC)


def test_day_or_month_first_is_told_by_the_other_rows_or_by_the_option():
    assert utc(pl.Series(["3/4/2024", "31/1/2024"]))[0].month == 4
    assert utc(pl.Series(["3/4/2024", "1/31/2024"]))[0].month == 3
    assert utc(pl.Series(["3/4/2024"]), day_first=True)[0].month == 4
    with pytest.raises(DataError, match="day_first"):
        utc(pl.Series(["3/4/2024", "5/6/2024"]))


def test_a_zone_that_is_none_names_the_nearest():
    assert known_zone("Asia/Shanghai") == "Asia/Shanghai"
    with pytest.raises(ConfigError, match="did you mean 'Europe/London'"):
        known_zone("Europe/Londn")


def test_the_end_of_a_span_is_on_the_shops_clock():
    assert span_end("2024-07-01", "Europe/London") == datetime(2024, 6, 30, 23, tzinfo=UTC)
    assert span_end(date(2024, 7, 1), "UTC") == datetime(2024, 7, 1, tzinfo=UTC)
    assert span_end("2024-07-01T00:00:00+02:00", "Asia/Tokyo") == datetime(2024, 6, 30, 22, tzinfo=UTC)
    with pytest.raises(ConfigError, match="'soon' is not a date"):
        span_end("soon", "UTC")


FORMS = ("%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y%m%d%H%M%S", "%d %b %Y %H:%M:%S",
         "%b %d, %Y %I:%M:%S %p", "%Y年%m月%d日 %H时%M分%S秒", "%Y-%m-%dT%H:%M:%SZ")  # fmt: skip


@given(
    st.lists(
        st.tuples(st.datetimes(datetime(1990, 1, 1), datetime(2099, 1, 1)), st.sampled_from(FORMS)),
        min_size=1,
        max_size=30,
    )
)
def test_what_is_written_in_any_mix_of_forms_is_read_back(written):
    texts = pl.Series([at.strftime(form) for at, form in written])
    assert utc(texts).to_list() == [at.replace(microsecond=0, tzinfo=UTC) for at, _ in written]


def test_the_end_of_a_span_has_its_day_where_the_other_times_do():
    assert span_end("01/03/2024", "UTC", True) == datetime(2024, 3, 1, tzinfo=UTC)
    assert span_end("01/03/2024", "UTC", False) == datetime(2024, 1, 3, tzinfo=UTC)
    with pytest.raises(DataError, match="no value tells which"):
        span_end("01/03/2024", "UTC")


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.String])
def test_digits_of_a_minute_and_of_an_hour_are_dates(kind):
    assert utc(pl.Series([202401311000, None, 202401311000]).cast(kind)).to_list() == [TEN, None, TEN]
    assert utc(pl.Series([2024013110, None, 2024013110]).cast(kind)).to_list() == [TEN, None, TEN]
    assert utc(pl.Series([2024013110]).cast(kind), "Asia/Tokyo")[0] == datetime(2024, 1, 31, 1, tzinfo=UTC)
    # One value that is no hour of a day: they are counts of seconds.
    assert utc(pl.Series([2024013110, 2024013199]).cast(kind))[0].year == 2034
    assert utc(pl.Series([1706695200, 1706695200]).cast(kind))[0] == TEN
