"""What the adapter promises of the data; the reasons are in docs/decisions/002-complete-journey.md."""

from datetime import UTC, datetime, timedelta

import polars as pl

from intently.contract import weekly
from intently.log import complete_journey
from intently.tasks.ad_response import TASK as AD_RESPONSE


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


def test_mailings_are_asked_about_as_they_matured_by_an_own_cut_off(complete_journey_mailings):
    log, split = complete_journey_mailings, datetime(2017, 10, 30, tzinfo=UTC)
    every = weekly(log.observed_from, log.observed_until)
    earlier = AD_RESPONSE.examples(log.before(split), every)
    assert (len(earlier), earlier.truth.sum()) == (4_021, 400)
    later = AD_RESPONSE.examples(log, weekly(split, split + timedelta(weeks=9)))
    assert (len(later), later.truth.sum()) == (1_507, 185)
    assert later.at.min() >= split


def test_a_mailing_says_what_its_coupons_are_for(complete_journey_mailings):
    events = complete_journey_mailings.events
    mailings = events.filter(pl.col("event_type") == "impression")
    assert mailings["text"].null_count() == 0
    assert mailings["text"].n_unique() > 20
    assert mailings["text"].str.starts_with("type b coupons for frozen pizza, frzn meat").any()
    assert mailings["event_id"].n_unique() == len(mailings) == 6_589 - 147
    clicks = events.filter(pl.col("event_type") == "click")
    assert clicks["about"].is_in(mailings["event_id"].implode()).all()


def test_a_coupon_is_redeemed_in_a_basket_of_its_day(complete_journey_mailings):
    events = complete_journey_mailings.events
    clicks = events.filter(pl.col("event_type") == "click").select("user_id", "timestamp").unique()
    baskets = events.filter(pl.col("session_id").is_not_null()).select("user_id", "timestamp").unique()
    assert len(clicks) == len(clicks.join(baskets, on=["user_id", "timestamp"]))


def test_without_mailings_the_log_is_the_purchases(complete_journey_log, complete_journey_mailings):
    assert "about" not in complete_journey_log.events.columns
    assert len(complete_journey_mailings.events) - len(complete_journey_log.events) == 6_442 + 2_079
