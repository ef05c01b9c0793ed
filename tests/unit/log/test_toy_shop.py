"""The toy shop is a proper log, the same for the same seed, and never passes for a real one."""

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from intently.errors import ConfigError
from intently.log import toy_shop
from intently.log.log import Log
from intently.log.toy_planted import Planted
from intently.log.toy_process import Constants

DAYS = 120


@pytest.fixture(scope="module")
def shop() -> tuple[Log, Planted]:
    return toy_shop.plant(200, DAYS, seed=3)


def rows(log: Log, kind: str) -> pl.DataFrame:
    return log.events.filter(pl.col("event_type") == kind)


def test_the_same_arguments_make_the_same_shop(shop):
    again, _ = toy_shop.plant(200, DAYS, seed=3)
    assert again.events.equals(shop[0].events)
    assert again.items.equals(shop[0].items)
    assert again.fingerprint() != toy_shop.read(200, DAYS, seed=4).fingerprint()


def test_it_says_that_it_is_synthetic(shop, tmp_path):
    log, planted = shop
    assert log.items["brand"].str.starts_with("Toy ").all()
    assert log.users["user_id"].str.starts_with("toy-").all()
    assert log.items["description"].str.contains("synthetic").all()
    toy_shop.write(log, planted, tmp_path)
    for name in ("log.json", "planted.json"):
        assert json.loads((tmp_path / name).read_text())["note"].startswith("Synthetic")


def test_what_is_written_is_read_again(shop, tmp_path):
    log, planted = shop
    toy_shop.write(log, planted, tmp_path)
    again = Log.read(tmp_path)
    assert again.events.equals(log.events)
    assert (again.observed_from, again.observed_until) == (log.observed_from, log.observed_until)
    content = json.loads((tmp_path / "planted.json").read_text())
    assert toy_shop.plant(**content["made_with"])[0].fingerprint() == log.fingerprint()
    latent = pl.read_parquet(tmp_path / "planted.parquet")
    assert np.array_equal(latent["busy"].to_numpy(), planted.states.T)


def test_every_event_has_its_own_id_and_facts_speak_of_earlier_events(shop):
    log, _ = shop
    assert log.events["event_id"].is_unique().all()
    facts = log.events.filter(pl.col("about").is_not_null())
    spoken = log.events.select(pl.col("event_id").alias("about"), pl.col("timestamp").alias("before"), "user_id")
    joined = facts.join(spoken, on="about", how="left", suffix="_of")
    assert set(facts["event_type"].unique()) == {"click", "rating", "tag"}
    assert (joined["timestamp"] > joined["before"]).all()
    assert (joined["user_id"] == joined["user_id_of"]).all()


def test_only_what_is_known_by_the_end_is_there(shop):
    log, _ = shop
    late = log.events.filter(pl.col("arrived_at").is_not_null())
    assert len(late) > 100
    assert (late["arrived_at"] > late["timestamp"]).all()
    assert (late["arrived_at"] < log.observed_until).all()
    assert not late["event_type"].is_in(["buy", "cart"]).any()


def test_no_visit_runs_over_midnight_and_buys_follow_carts(shop):
    log, _ = shop
    visits = log.events.filter(pl.col("session_id").is_not_null())
    assert (visits.group_by("session_id").agg(pl.col("timestamp").dt.date().n_unique())["timestamp"] == 1).all()
    # An event's id is its look's number x 4 + the step of the funnel.
    look = {kind: set((rows(log, kind)["event_id"] // 4).to_list()) for kind in ("view", "cart", "buy")}
    assert look["buy"] < look["cart"]
    assert len(look["cart"] - look["view"]) < 0.01 * len(look["view"])  # views that arrive after the end


def test_nothing_is_seen_before_its_launch(shop):
    log, planted = shop
    launched = pl.DataFrame({"item_id": log.items["item_id"], "day": planted.process.catalogue.launched})
    seen = log.events.filter(pl.col("item_id").is_not_null()).join(launched, on="item_id")
    opened = pl.lit(toy_shop.START) + pl.duration(days=pl.col("day"))
    assert seen.select((pl.col("timestamp") >= opened).all()).item()
    assert seen.filter(pl.col("day") > 0).height > 0


def test_texts_are_in_both_languages_and_mixed(shop):
    log, _ = shop
    for kind in ("search", "review", "support"):
        text = rows(log, kind)["text"]
        chinese = text.str.contains(r"\p{Han}")
        assert 0.2 < chinese.mean() < 0.8
        assert text.n_unique() > 40
    both = rows(log, "review")["text"].str.contains(r"\p{Han}.*[a-z]{3}|[a-z]{3}.*\p{Han}")
    assert 0.02 < both.mean() < 0.2


def test_with_wording_the_words_of_a_search_go_with_taste_and_nothing_else_changes(shop):
    log, planted = toy_shop.plant(200, DAYS, seed=3, constants=Constants(wording=2.0))
    assert log.events.drop("text").equals(shop[0].events.drop("text"))
    others = pl.col("event_type") != "search"
    assert log.events.filter(others).equals(shop[0].events.filter(others))
    taste = pl.DataFrame({"user_id": planted.user_ids, "dear": planted.process.customers.taste > 1})
    said = rows(log, "search").join(taste, on="user_id")
    share = {
        word: dict(said.group_by("dear").agg(pl.col("text").str.contains(word).mean()).rows())
        for word in ("cheap|便宜", "best|好用|gift|送礼")
    }
    assert share["cheap|便宜"][False] > 2 * share["cheap|便宜"][True]
    assert share["best|好用|gift|送礼"][True] > 1.5 * share["best|好用|gift|送礼"][False]


def test_interests_move_to_what_was_second(shop):
    _, planted = shop
    before, after = planted.pairs[:-1], planted.pairs[1:]
    moved = before != after
    assert (after[moved] // 12 == before[moved] % 12).all()
    rate = moved.mean()
    assert abs(rate - 1 / 150) < 4 * np.sqrt(rate / moved.size)


def test_the_sale_week_is_busier():
    log, planted = toy_shop.plant(300, 112, seed=1)
    # The whole law of visits: expected and drawn visits of every day agree.
    process = planted.process
    expected = process.lift[planted.states] * process.season(np.arange(112))[:, None] * process.customers.rate
    day = (rows(log, "view")["timestamp"].dt.truncate("1d") - toy_shop.START).dt.total_days()
    views = np.bincount(day.to_numpy(), minlength=112)
    ratio = views[98:105].sum() / views[84:98].sum() * 2
    assert ratio == pytest.approx(expected[98:105].sum() / expected[84:98].sum() * 2, rel=0.1)
    assert ratio > 1.4


def test_times_inside_a_day_and_empty_shops_are_refused(shop):
    with pytest.raises(ConfigError, match="No day of the toy shop"):
        shop[1].day(toy_shop.START + timedelta(hours=5))
    with pytest.raises(ConfigError, match="No day of the toy shop"):
        shop[1].day(toy_shop.START + timedelta(days=DAYS))
    with pytest.raises(ConfigError, match="is empty"):
        toy_shop.read(0, 10)
    with pytest.raises(ConfigError, match="not of this toy shop"):
        shop[1].customers_of(pl.Series(["toy-99999"]))


# --- The chances planted for questions about events agree with what came of them. ---


def calibrated(chance: np.ndarray, happened: np.ndarray) -> None:
    """In total and in each tenth by chance, as many as foreseen, within four standard errors."""
    order = np.argsort(chance, kind="stable")
    for part in (order, *np.array_split(order, 10)):
        error = np.sqrt((chance[part] * (1 - chance[part])).sum() + 1e-3)
        assert abs((happened[part] - chance[part]).sum()) < 4 * error + 1e-3


def facts_of(log: Log, fact: str, column: str) -> pl.DataFrame:
    return rows(log, fact).select(pl.col("about").alias("event_id"), column)


def test_clicks_on_ads_come_as_planted(shop):
    log, planted = shop
    asked = planted.chances["ad_response"].join(facts_of(log, "click", "timestamp"), on="event_id", how="left")
    calibrated(asked["yes"].to_numpy().astype(float), asked["timestamp"].is_not_null().to_numpy().astype(float))


def test_ratings_come_as_planted(shop):
    log, planted = shop
    asked = planted.chances["sentiment"].join(facts_of(log, "rating", "rating"), on="event_id")
    rating = asked["rating"].to_numpy()
    assert set(rating) <= {1, 2, 3, 4, 5}
    for label, given in (("negative", rating < 3), ("neutral", rating == 3), ("positive", rating > 3)):
        calibrated(asked[label].to_numpy().astype(float), given.astype(float))


def test_tags_come_as_planted(shop):
    log, planted = shop
    asked = planted.chances["support"].join(facts_of(log, "tag", "tag"), on="event_id")
    for label in toy_shop.LABELS["support"]:
        calibrated(asked[label].to_numpy().astype(float), (asked["tag"] == label).to_numpy().astype(float))


def test_next_events_come_as_planted(shop):
    log, planted = shop
    visits = log.events.filter(pl.col("session_id").is_not_null()).sort("session_id", "timestamp")
    follows = visits.select(
        "event_id", pl.col("event_type").shift(-1).over("session_id").fill_null("leave").alias("next")
    )
    asked = planted.chances["next_event"].join(follows, on="event_id")
    # Late views that the end cut off make gaps in their visits.
    whole = visits.filter(pl.col("timestamp") < log.observed_until - timedelta(days=2))["event_id"]
    asked = asked.filter(pl.col("event_id").is_in(whole.implode()))
    assert len(asked) > 10_000
    for label in toy_shop.LABELS["next_event"]:
        calibrated(asked[label].to_numpy().astype(float), (asked["next"] == label).to_numpy().astype(float))


def test_a_shop_in_which_nothing_happens_is_one_sentence():
    with pytest.raises(ConfigError, match=r"as small as this has no events \(customers: 1, days: 1\)"):
        toy_shop.plant(1, 1)
