from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.log.check import checked
from small_logs import day


def shop(times, **columns):
    """Events of twenty customers at these times."""
    count = len(times)
    base = {
        "user_id": [f"c{n % 20}" for n in range(count)],
        "event_type": ["view" if n % 3 else "buy" for n in range(count)],
        "timestamp": times,
        "row": list(range(count)),
    }
    return pl.DataFrame({**base, **columns})


def found(events, items=None, users=None, until=None):
    checking = checked(events, items, users, until)
    return {one.code: one for one in checking.findings}


def opening_hours(days, per_day=100, shift=0, start=0, until=17):
    """Times from nine to five (or `until`) with a peak at noon, moved by some hours."""
    rng = np.random.default_rng(3)
    hours = rng.triangular(9, 12, until, (days, per_day))
    return sorted(day(start + d) + timedelta(hours=float(h) + shift) for d in range(days) for h in hours[d])


def test_a_usual_shop_gives_no_finding():
    assert found(shop(opening_hours(60))) == {}


def test_order_is_counted_and_fine():
    times = opening_hours(2)
    one = found(shop(sorted(times)))
    assert "out_of_order" not in one
    swapped = sorted(times)
    swapped[3], swapped[4] = swapped[4], swapped[3]
    assert (found(shop(swapped))["out_of_order"].count, found(shop(swapped))["out_of_order"].first_row) == (1, 4)


def test_rows_are_numbered_as_they_were_read():
    times = sorted(opening_hours(2))
    times[4], times[5] = times[5], times[4]
    rows = shop(times)
    none = rows.with_columns(pl.when(pl.col("row") != 0).then("user_id").alias("user_id"))
    assert found(none)["out_of_order"].first_row == 5


def test_late_events_are_told_with_their_delays():
    times = sorted(opening_hours(10))
    arrived = [time + timedelta(hours=3) if n % 4 == 0 else None for n, time in enumerate(times)]
    one = found(shop(times, arrived_at=arrived))["late"]
    assert one.count == 250
    assert "25.0% of the events arrived late: half of these within 3 hours" in one.problem


def test_times_in_two_zones_show_in_the_hours_of_the_day():
    busy = [*opening_hours(31, 200), *opening_hours(30, 200, shift=8, start=31)]
    one = found(shop(busy))["zone"]
    assert one.problem == "The hours of the day move by +8 in the 7 days from 2024-02-05 on."
    assert one.count == 1
    quiet = [*opening_hours(60, 30), *opening_hours(60, 30, shift=-3, start=60)]
    assert "by -3 in the 28 days from 2024-0" in found(shop(quiet))["zone"].problem


@pytest.mark.parametrize("shift", [0, 1, -1])
def test_summer_time_is_no_fault_of_the_zone(shift):
    # Two busy hours: moved by one, the hours of the day look nothing like before.
    lunch = [*opening_hours(60, 60, until=12.01), *opening_hours(60, 60, shift, 60, until=12.01)]
    assert "zone" not in found(shop(lunch))


def test_times_that_are_dates():
    assert "dates_only" in found(shop([day(n) for n in range(50)]))
    # Midnight in London is two hours of the day in UTC.
    assert "dates_only" in found(shop([day(n) - timedelta(hours=n % 2) for n in range(50)]))


def test_all_in_one_hour_and_some_at_midnight():
    assert "single_hour" in found(shop([day(n) + timedelta(hours=6, minutes=n) for n in range(50)]))
    some = [day(d) for d in range(9)] + sorted(opening_hours(1, per_day=90))
    assert found(shop(some))["some_midnight"].count == 9


def test_days_without_events():
    times = [time for time in opening_hours(60) if not day(20) <= time < day(30)]
    one = found(shop(times))["gap"]
    assert one.count == 10
    assert "from 2024-01-21 on" in one.problem
    # Closed every weekend is how this shop works.
    weekdays = [time for time in opening_hours(120) if time.weekday() < 5]
    assert "gap" not in found(shop(weekdays))


def test_an_end_of_observation_long_after_the_last_event():
    assert found(shop(opening_hours(30)), until=day(60))["silent_end"].count == 30
    assert "silent_end" not in found(shop(opening_hours(30)), until=day(31))


def test_event_types():
    times = opening_hours(2)
    single = found(shop(times, event_type=["Order Completed"] * len(times)))
    assert '"Order Completed" = "buy"' in single["no_buy"].mend
    assert "single_type" in single
    assert single["unknown_types"].count == len(times)
    assert "'Order Completed'" in single["unknown_types"].problem


def test_nobody_and_everybody():
    times = opening_hours(2)
    some = found(shop(times, user_id=[None if n % 10 else f"c{n}" for n in range(200)], session_id=["s"] * 200))
    assert (some["anonymous"].count, some["anonymous"].severity) == (180, "warning")
    guests = found(shop(times, user_id=["Guest" if n % 10 == 0 else f"c{n}" for n in range(200)]))
    assert guests["placeholder_ids"].count == 20


def test_a_machine_among_customers():
    people = sorted(opening_hours(30))
    machine = [day(3) + timedelta(seconds=20 * n) for n in range(1000)]
    users = [f"c{n % 20}" for n in range(len(people))] + ["spider"] * 1000
    one = found(shop([*people, *machine], user_id=users))["bots"]
    assert one.count == 1
    assert one.first_row == len(people)
    # A basket of a thousand lines is one moment.
    basket = [*people, *[day(3)] * 1000]
    assert "bots" not in found(shop(basket, user_id=users))
    # Where everybody is that busy, nobody is a machine.
    busy = [day(3) + timedelta(seconds=20 * n) for n in range(1000) for _ in range(5)]
    assert "bots" not in found(shop(busy, user_id=[f"c{n % 5}" for n in range(5000)]))


def test_wholesale_lines_stand_out():
    rng = np.random.default_rng(1)
    amount = rng.lognormal(2, 0.5, 600)
    usual = shop(opening_hours(6), amount=amount)
    assert "wholesale" not in found(usual)
    amount[300] = 50_000
    one = found(usual.with_columns(amount=amount))["wholesale"]
    assert (one.count, one.first_row, one.column) == (1, 300, "amount")


def test_ids_that_differ_by_case_or_space():
    times = opening_hours(2)
    one = found(shop(times, item_id=["A1", "a1", "b2", "b2 "] * 50))["alike_ids"]
    assert one.count == 4
    assert "'A1' and 'a1'" in one.problem


def test_items_and_users():
    items = pl.DataFrame({"item_id": ["1", "1", "2"], "title": ["tea", "tea", " "]})
    users = pl.DataFrame({"user_id": ["c1", "c1"]})
    told = checked(shop(sorted(opening_hours(1)), item_id=[1, 9] * 50), items, users).findings
    assert {(one.code, one.table): one.count for one in told} == {
        ("untitled", "items"): 1,
        ("listed_twice", "items"): 1,
        ("unlisted", "events"): 1,
        ("listed_twice", "users"): 1,
    }
