import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from intently.log.forget import forget
from intently.log.log import Log
from small_logs import day, tiny

IDS = st.sampled_from(["ann", "bo", None])
SESSIONS = st.sampled_from(["s1", "s2", None])
ROWS = st.lists(st.tuples(IDS, SESSIONS, st.none() | st.integers(0, 11)), min_size=2, max_size=12)


def log_of(rows: list[tuple[str | None, str | None, int | None]]) -> Log:
    events = pl.DataFrame(
        {
            "user_id": ["ann", "bo", *(user for user, _, _ in rows)],
            "session_id": [None, None, *(session for _, session, _ in rows)],
            "about": [None, None, *(about for _, _, about in rows)],
        },
        {"user_id": pl.String, "session_id": pl.String, "about": pl.Int64},
    ).with_row_index("event_id")
    events = events.with_columns(
        pl.col("event_id").cast(pl.Int64),
        event_type=pl.lit("view"),
        timestamp=pl.lit(day(1)) + pl.duration(microseconds="event_id"),
    )
    return Log.of(events, users=pl.DataFrame({"user_id": ["ann", "bo", "cy", "s1"]}))


@given(ROWS, st.sampled_from(["ann", "bo", "s1", "nobody"]))
def test_nothing_of_a_forgotten_customer_is_left(rows, user) -> None:
    log = log_of(rows)
    kept = forget(log, user)
    gone = log.events.join(kept.events, on="event_id", how="anti")
    assert user not in kept.events["user_id"].to_list()
    assert user not in kept.users["user_id"].to_list()
    assert not set(kept.events["about"].drop_nulls()) & set(gone["event_id"])
    sessions = set(log.events.filter(pl.col("user_id") == user)["session_id"].drop_nulls())
    nameless = kept.events.filter(pl.col("user_id") == pl.col("session_id"))
    assert not sessions & set(nameless["user_id"])
    # What stays is what was there, in its order; forgetting again changes nothing.
    assert kept.events.equals(log.events.filter(~pl.col("event_id").is_in(gone["event_id"].implode())))
    assert forget(kept, user).events.equals(kept.events)
    assert (kept.observed_from, kept.observed_until) == (log.observed_from, log.observed_until)


@given(ROWS)
def test_others_keep_what_does_not_speak_of_the_forgotten(rows) -> None:
    log = log_of(rows)
    kept = forget(log, "ann")
    others = log.events.filter(pl.col("user_id") == "bo", pl.col("about").is_null())
    assert others["event_id"].is_in(kept.events["event_id"].implode()).all()


def test_a_log_without_sessions_and_late_facts() -> None:
    kept = forget(tiny(), "ann")
    assert kept.events["user_id"].unique().sort().to_list() == ["bo", "cy"]
    assert kept.pack.user_ids.to_list() == ["bo", "cy"]
    assert forget(tiny(), "nobody").events.equals(tiny().events)
