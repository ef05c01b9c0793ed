from itertools import pairwise

import numpy as np
import pytest

from intently.log.runs import Notes, Runs, part_bounds

LAYOUT = {"key": np.dtype("i4"), "value": np.dtype("f4"), "time": np.dtype("i8")}


def block(keys: list[int], first: int) -> dict[str, np.ndarray]:
    rows = np.arange(first, first + len(keys))
    return {"key": np.array(keys), "value": rows / 2, "time": rows * 10}


def test_a_part_comes_back_block_after_block_in_the_order_it_was_put_down(tmp_path):
    runs = Runs(tmp_path / "runs", 2, LAYOUT)
    for number, keys in enumerate(([3, 0, -1, 1], [1, 2], [])):
        columns = block(keys, 10 * number)
        runs.put(number, columns, np.array([2 if key < 0 else key // 2 for key in keys], dtype=np.uint16))
    offsets = runs.offsets(3)
    assert offsets.tolist() == [[0, 2, 3], [0, 1, 2], [0, 0, 0]]
    assert runs.column(0, "key", offsets).tolist() == [0, 1, 1]
    assert runs.column(0, "time", offsets).tolist() == [10, 30, 100]
    assert runs.column(1, "value", offsets).tolist() == [0.0, 5.5]


def test_a_block_is_there_whole_or_not_at_all(tmp_path):
    runs = Runs(tmp_path / "runs", 1, LAYOUT)
    with pytest.raises(KeyError):
        runs.put(0, {"key": np.array([1])}, np.zeros(1, dtype=np.uint16))
    assert not runs.has(0)
    runs.put(0, block([1], 0), np.zeros(1, dtype=np.uint16))
    assert runs.has(0)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["000000.run"]


@pytest.mark.parametrize("most", [1, 4, 10, 10**6])
def test_parts_hold_whole_keys_and_no_more_rows_than_asked(most):
    rows = np.random.default_rng(0).integers(0, 9, 300)
    bounds = part_bounds(rows, most)
    assert bounds[0] == 0
    assert bounds[-1] == len(rows)
    for low, high in pairwise(bounds):
        assert high == low + 1 or rows[low:high].sum() <= most


def test_parts_have_no_more_keys_than_a_short_number_holds():
    assert np.diff(part_bounds(np.zeros(200_000, dtype=np.int64), 10)).max() == 65_536
    assert part_bounds(np.zeros(0, dtype=np.int64), 10).tolist() == [0]


def test_a_note_that_was_cut_off_says_nothing(tmp_path):
    file = tmp_path / "notes"
    Notes(file).add("encoded 12")
    file.write_text(file.read_text() + "by_us")
    notes = Notes(file)
    assert notes.said("encoded") == "12"
    assert not notes.has("by_us")
    notes.add("by_user")
    assert file.read_text() == "encoded 12\nby_user\n"
