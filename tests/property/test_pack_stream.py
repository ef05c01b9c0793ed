"""A log packed from disk, block by block, is the log packed in memory."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from intently.log.blocks import Unpacked
from intently.log.log import Log
from intently.log.pack import Pack
from intently.log.pack_stream import pack
from small_logs import START, STEP

TIMES = st.integers(0, 12).map(lambda step: START + step * STEP)
WORDS = st.sampled_from(["ann", "bo", "7", "安"])
NUMBERS = st.integers(0, 9)
AMOUNTS = st.none() | st.floats(0, 50, width=32)


@st.composite
def events(draw) -> pl.DataFrame:
    """Events with any of the columns that a log may have, in any order of time."""
    size = draw(st.integers(1, 30))

    def column(values, dtype):
        return pl.Series(draw(st.lists(values, min_size=size, max_size=size)), dtype=dtype)

    late = draw(st.booleans())
    table = {
        "timestamp": column(TIMES, pl.Datetime("us", "UTC")),
        "event_type": column(st.sampled_from("ab"), pl.String),
    }
    whole = draw(st.booleans())
    ids, dtype = (NUMBERS, pl.Int32) if whole else (WORDS, pl.String)
    visits = draw(st.booleans())
    if draw(st.booleans()) or not visits:
        table["user_id"] = column(ids | st.none() if draw(st.booleans()) else ids, dtype)
    if visits:
        table["session_id"] = column(WORDS | st.none(), pl.String)
    if draw(st.booleans()):
        table["item_id"] = column(NUMBERS | st.none() if whole else WORDS | st.none(), dtype)
    for name, values in (("quantity", AMOUNTS), ("amount", AMOUNTS), ("discount/%", AMOUNTS), ("user", AMOUNTS)):
        if draw(st.booleans()):
            table[name] = column(values, pl.Float64)
    if late:
        table["arrived_at"] = column(TIMES | st.none(), pl.Datetime("us", "UTC"))
    frame = pl.DataFrame(table)
    return frame if late or draw(st.booleans()) else frame.sort("timestamp")


ITEMS = st.none() | st.lists(NUMBERS, max_size=4).map(
    lambda ids: pl.DataFrame(
        {"item_id": ids, "title": [f"thing {n}" for n in ids]}, schema_overrides={"item_id": pl.Int64}
    )
)
USERS = st.none() | st.lists(WORDS, max_size=4).map(
    lambda ids: pl.DataFrame({"user_id": ids}, schema={"user_id": pl.String})
)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=30)
@given(events(), ITEMS, USERS, st.integers(1, 3), st.sampled_from([1, 3, 7, 100]), st.sampled_from([1, 5, 100]))
def test_the_files_are_those_of_a_pack_made_in_memory(table, items, users, count, block, part):
    with tempfile.TemporaryDirectory() as name:
        folder, out, expected = Path(name) / "shop", Path(name) / "pack", Path(name) / "expected"
        (folder / "events").mkdir(parents=True)
        size = -(-len(table) // count)
        for number in range(count):
            table.slice(number * size, size).write_parquet(folder / "events" / f"{number}.parquet")
        for what, rows in (("items", items), ("users", users)):
            if rows is not None:
                rows.write_parquet(folder / f"{what}.parquet")
        log = Log.of(table, items, users)
        log.pack.save(expected)
        pack(Unpacked.of(folder, whole=0), out, block=block, part=part)
        made, wanted = files_of(out), files_of(expected)
        assert log.items.equals(pl.read_parquet(out / "catalogue.parquet"))
        assert log.users.equals(pl.read_parquet(out / "customers.parquet"))
        assert {name for name in made if name.endswith(".npy")} == {name for name in wanted if name.endswith(".npy")}
        for name, content in wanted.items():
            if name.endswith(".npy"):
                assert made[name] == content, name
        one, other = Pack.load(out), Pack.load(expected)
        assert one.user_ids.equals(other.user_ids, check_dtypes=True)
        assert one.item_ids.equals(other.item_ids, check_dtypes=True)
        assert one.event_types == other.event_types
        assert set(one.by_user.extra) == set(log.pack.by_user.extra)
        np.testing.assert_array_equal(one.by_user.row, log.pack.by_user.row)
