"""A shop's rules: what they leave out, lift and cap, and what is said of a rule that cannot be read."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intently.contract import AT, Examples, Past, Scores
from intently.errors import ConfigError
from intently.log import schema
from intently.ranking import Boost, Facts, Rules, ruled, table
from intently.ranking.rules import Bought, kept
from intently.tasks.next_item import TASK
from small_logs import day

NOBODY = Bought(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
ITEMS = pl.DataFrame(
    {
        "item_id": [10, 11, 12, 13, 14, 15],
        "category": ["tea", "tea", "tea", "food", "food", None],
        "stock": [1, 0, 5, 2, None, 3],
        "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
)
RANKED = np.array([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]])


def shown(rules: Rules, ranked=RANKED, bought=NOBODY, k=6):
    """The item codes shown, without the empty places."""
    places = kept(rules, Facts.of(rules, ITEMS), ranked, bought, k)
    return [[int(codes[place]) for place in row if place >= 0] for codes, row in zip(ranked, places, strict=True)]


def test_without_a_rule_nothing_changes():
    assert shown(Rules()) == RANKED.tolist()
    assert shown(Rules(), k=2) == [[0, 1], [5, 4]]


def test_only_what_is_in_stock():
    assert shown(Rules(only="stock > 0")) == [[0, 2, 3, 5], [5, 3, 2, 0]]


@pytest.mark.parametrize("only", ["sold / shown > 0.2", "ln(sold) > -1", "rating > 3"])
def test_what_has_no_value_does_not_hold(only):
    items = pl.DataFrame({"item_id": [1, 2], "sold": [0, 2], "shown": [0, 4], "rating": [float("nan"), 4.5]})
    assert Facts.of(Rules(only=only), items).allowed.tolist() == [False, True]
    boosts = (Boost(only, 2.0),)
    assert Facts.of(Rules(boosts=boosts), items).factor.tolist() == [1.0, 2.0]


def test_only_allowed_categories():
    assert shown(Rules(categories=("food",))) == [[3, 4], [4, 3]]


def test_not_what_was_bought_lately():
    bought = Bought(np.array([0, 0, 1]), np.array([0, 1, 5]), np.array([3.0, 40.0, 29.9]))
    assert shown(Rules(not_bought_days=30), bought=bought) == [[1, 2, 3, 4, 5], [4, 3, 2, 1, 0]]


def test_at_most_so_many_of_a_category_and_no_cap_on_items_without_one():
    ranked = np.array([[0, 1, 2, 3, 4, 5, -1]])
    assert shown(Rules(per_category=1), ranked) == [[0, 3, 5]]
    assert shown(Rules(per_category=2), ranked) == [[0, 1, 3, 4, 5]]


def test_a_boost_of_two_puts_the_third_place_level_with_the_first():
    lifted = Rules(boosts=(Boost("item_id = 12", 2.0),))
    assert shown(lifted)[0] == [0, 2, 1, 3, 4, 5]
    assert shown(Rules(boosts=(Boost("item_id = 12", 2.1),)))[0] == [2, 0, 1, 3, 4, 5]
    assert shown(Rules(boosts=(Boost("item_id = 10", 0.5),)))[0] == [1, 0, 2, 3, 4, 5]
    assert shown(Rules(boosts=(Boost("item_id = 10", 0.49),)))[0] == [1, 2, 0, 3, 4, 5]


def test_boosts_of_one_item_multiply_and_come_before_the_cap():
    rules = Rules(boosts=(Boost("price = 3", 2.0), Boost("category = 'tea' and price > 2", 2.0)), per_category=1)
    assert shown(rules)[0] == [2, 3, 5]


@given(
    ranked=st.lists(st.permutations(range(6)), min_size=1, max_size=4),
    cap=st.none() | st.integers(1, 3),
    days=st.none() | st.floats(1, 60),
    k=st.integers(1, 7),
    seed=st.integers(0, 99),
)
def test_rules_agree_with_the_plainest_implementation(ranked, cap, days, k, seed):
    rng = np.random.default_rng(seed)
    codes = np.array(ranked)
    bought = Bought(rng.integers(0, len(codes), 5), rng.integers(0, 6, 5), rng.uniform(0, 60, 5))
    rules = Rules(
        only="price < 6", per_category=cap, not_bought_days=days, boosts=(Boost("stock > 1", rng.uniform(0.3, 3)),)
    )
    wanted = []
    for row, order in enumerate(codes):
        lately = {
            i for r, i, d in zip(bought.row, bought.item, bought.days, strict=True) if days and r == row and d < days
        }
        left = [code for code in order if ITEMS["price"][int(code)] < 6 and code not in lately]
        factor = [rules.boosts[0].factor if (ITEMS["stock"][int(code)] or 0) > 1 else 1.0 for code in left]
        worth = [one / np.log2(place + 2) for place, one in enumerate(factor)]
        left = [left[place] for place in sorted(range(len(left)), key=lambda place: -worth[place])]
        said, counts = [], {}
        for code in left:
            category = ITEMS["category"][int(code)]
            if category is None or cap is None or counts.get(category, 0) < cap:
                counts[category] = counts.get(category, 0) + 1
                said.append(int(code))
        wanted.append(said[:k])
    assert shown(rules, codes, bought, k) == wanted


def test_a_ranking_of_a_log_is_held_to_the_rules(tiny_log):
    asked = pl.DataFrame({schema.USER: ["ann", "cy"]}).with_columns(pl.lit(day(25)).cast(schema.CLOCK).alias(AT))
    examples = Examples(TASK, asked)
    past = Past(tiny_log, examples)
    ids = np.array([[1, 2, 3, 4], [4, 3, 2, 1]])
    scores = Scores(TASK.answer, np.array([[4, 3, 2, 1], [4, 3, 2, 1]], dtype=np.float32), ids=ids)
    # Ann bought item 1 five days before and item 3 sixteen days before; cy never bought.
    frame = ruled(scores, past, Rules(not_bought_days=10, categories=("drinks", "clothes")), 3).frame(examples)
    assert frame.filter(pl.col(schema.USER) == "ann")["item_id"].to_list() == [3]
    assert frame.filter(pl.col(schema.USER) == "cy")["item_id"].to_list() == [3, 1]
    assert frame.filter(pl.col(schema.USER) == "cy")["score"].to_list() == [3, 1]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("per_category = 0", "greater than or equal to 1"),
        ("per_categroy = 1", "did you mean 'per_category'"),
        ("only = 'stock >'", "something is missing"),
        ("[[rules.boost]]\nwhere = 'price > 1'\nfactor = -1", "greater than 0"),
        ("[[rules.boost]]\nwhere = 'now() > 1'\nfactor = 2", "the clock is not allowed"),
    ],
)
def test_a_rule_that_cannot_be_read_is_said_with_its_line(tmp_path, written, said):
    file = tmp_path / "rules.toml"
    file.write_text(f"[rules]\n{written}\n")
    with pytest.raises(ConfigError, match=said) as caught:
        table.read_file(file)
    assert "line" in str(caught.value)


def test_a_file_of_rules_is_read_whole(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(
        "[rules]\nonly = 'stock > 0'\ncategories = ['tea']\nnot_bought_days = 30\nper_category = 3\n"
        '[[rules.boost]]\nwhere = "price < 2"\nfactor = 1.5\n'
    )
    assert table.read_file(file) == Rules("stock > 0", ("tea",), "category", 30.0, 3, (Boost("price < 2", 1.5),))


def test_a_column_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'stock'"):
        Facts.of(Rules(only="stok > 0"), ITEMS)
    with pytest.raises(ConfigError, match="no column 'group'"):
        Facts.of(Rules(per_category=1, category="group"), ITEMS)
    with pytest.raises(ConfigError, match="needs true or false"):
        Facts.of(Rules(only="price + 1"), ITEMS)


def test_a_service_loads_no_torch_for_it():
    code = (
        "import sys, intently.ranking, intently.ranking.index, intently.ranking.table; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_file_without_rules_is_refused(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text("[data]\n")
    with pytest.raises(ConfigError, match=r"no \[rules\] table"):
        table.read_file(file)
