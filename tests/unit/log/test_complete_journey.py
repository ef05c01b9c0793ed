"""What the adapter promises of the data; the reasons are in docs/decisions/002-complete-journey.md."""

from datetime import UTC, datetime

import polars as pl

from intently.log import complete_journey


def test_counts(complete_journey_log):
    log = complete_journey_log
    assert len(log.events) == 1_469_307
    assert len(log.users) == log.events["user_id"].n_unique() == 2_469
    assert len(log.items) == 92_331
    assert log.events.select("user_id", "timestamp").unique().height == 155_764
    assert log.events["session_id"].n_unique() == 155_848


def test_the_year_lies_inside_the_span(complete_journey_log):
    log = complete_journey_log
    assert log.observed_from == datetime(2017, 1, 1, 5, tzinfo=UTC)
    assert log.observed_until == datetime(2018, 1, 1, 5, tzinfo=UTC)
    assert len(log.between(log.observed_from, log.observed_until)) == len(log.events)


def test_the_stored_weeks_turn_over_at_midnight_in_new_york(complete_journey_log):
    stored = pl.read_parquet(complete_journey._folder() / "transactions.parquet")
    utc = stored["transaction_timestamp"].dt.replace_time_zone("UTC")
    weeks = stored.select("week", utc=utc.dt.truncate("1w"), local=utc.dt.convert_time_zone("America/New_York"))
    spread = weeks.group_by("week").agg(pl.col("utc").n_unique(), pl.col("local").dt.truncate("1w").n_unique())
    assert spread["local"].to_list() == [1] * 53
    assert spread["utc"].max() == 2


def test_items_have_words_and_seventeen_sold_ones_are_not_in_the_catalogue(complete_journey_log):
    log = complete_journey_log
    assert log.items["title"].str.len_chars().min() > 0
    assert log.items["category"].null_count() == 0
    unlisted = log.events.join(log.items, on="item_id", how="anti")
    assert (unlisted["item_id"].n_unique(), len(unlisted)) == (17, 4_836)
    assert len(log.pack.item_ids) == len(log.items) + 17


def test_fuel_is_money_without_units(complete_journey_log):
    fuel = complete_journey_log.items.filter(pl.col("title").str.contains("GASOLINE"))
    lines = complete_journey_log.events.join(fuel.select("item_id"), on="item_id", how="semi")
    assert len(fuel) == 35
    assert len(lines) > 0
    assert lines["quantity"].null_count() == len(lines)
    assert lines["amount"].sum() > 0
    assert complete_journey_log.events["quantity"].null_count() == len(lines)


def test_a_line_of_nothing_for_nothing_is_a_coupon(complete_journey_log):
    kinds = complete_journey_log.events.partition_by("event_type", as_dict=True)
    assert set(kinds) == {("buy",), ("coupon",)}
    coupons = kinds["coupon",]
    assert len(coupons) == 8_820
    assert complete_journey_log.events.filter(quantity=0).height == 8_869
    assert coupons["amount"].sum() == 0
    assert kinds["buy",].filter((pl.col("quantity") == 0) & (pl.col("amount") == 0)).is_empty()


def test_discounts_are_context(complete_journey_log):
    assert complete_journey_log.events["retail_discount"].max() > 0
    assert complete_journey_log.events["coupon_discount"].max() > 0
