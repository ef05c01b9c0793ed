"""An own question tried on a log before any work."""

import pytest

from intently import own
from intently.errors import ConfigError
from planted_shop import planted
from small_logs import Event, day, log_of

BASE = {"name": "q", "horizon": "2w", "answer": "yes_no", "wording": {"en": "Any?"}, "truth": "count(*) > 1"}


@pytest.fixture(scope="module")
def shop():
    return planted()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"truth": "bool_or(categry = 'kind 1')"}, f"\n      bool_or(categry = 'kind 1')\n{' ' * 14}^^^^^^^"),
        ({"among": "bool_or(pric > 3)"}, "did you mean 'price'?"),
        ({"truth": "category = 'kind 1'"}, "a value for every row"),
        ({"truth": "sum(amount)"}, "gives Float64 where yes or no is needed; write a comparison"),
        ({"among": "sum(amount)"}, "where yes or no is needed"),
        ({"truth": "sum(category) > 1"}, "^^^^^^^^^^^^^"),
        ({"answer": {"amount": "EUR"}, "truth": "max(category)"}, "gives String where a number is needed"),
        ({"answer": {"amount": "EUR"}, "truth": "sum(amount) - 1000"}, "negative"),
        ({"answer": {"one_of": ["a", "b"]}, "truth": "count(*)"}, "one of the labels"),
        ({"answer": {"shares": "colour"}, "truth": None}, "there is no column 'colour'"),
        ({"answer": {"ranking": "item_id"}, "truth": None, "where": "bool_or(amount > 1)"}, "it is an aggregate"),
        ({"asks": {"event": "revue"}}, "there is no event 'revue'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_log_is_refused(shop, changed, says):
    table = {key: value for key, value in (BASE | changed).items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        own.check(own.task(table), shop)
    assert says in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"truth": "bool_or(event_type = 'wave')"}, "the truth is False for all"),
        ({"among": "bool_or(event_type = 'wave')"}, "nobody is asked"),
        ({"answer": {"one_of": ["a", "b"]}, "truth": "max(category)"}, "have no truth"),
        ({"answer": {"one_of": ["kind 1", "b"], "absent": "none"}, "truth": "min(category)"}, "nobody is 'b'"),
        ({"horizon": "500w"}, "No window of 3500 days"),
    ],
)
def test_what_is_of_little_use_is_a_warning(shop, changed, says):
    warnings = own.check(own.task(BASE | changed), shop)
    assert any(says in warning for warning in warnings), warnings


@pytest.mark.parametrize(
    ("absent", "says"),
    [
        ({}, ["2 have no rows in the window", "1 have a truth that is empty or no label"]),
        ({"absent": "none"}, ["1 have a truth that is no label"]),
    ],
)
def test_who_is_left_out_is_told_by_its_cause(absent, says):
    seen = [Event(user, 1, "view", day(0), None, 1.0) for user in ("ann", "bo", "cy", "dee", "eve")]
    later = [
        Event(user, 1, kind, day(20), None, 1.0) for user, kind in (("ann", "buy"), ("bo", "view"), ("cy", "wave"))
    ]
    table = BASE | {"answer": {"one_of": ["buy", "view"], **absent}, "truth": "max(event_type)"}
    warnings = own.check(own.task(table), log_of(seen + later, until=day(30)))
    told = [one for one in warnings if "left out" in one]
    assert len(told) == len(says)
    assert all(part in one for part, one in zip(says, told, strict=True)), told


def test_a_good_question_passes_in_silence(shop):
    assert own.check(own.task(BASE), shop) == []


def test_a_log_of_one_row_is_enough_to_read_columns():
    log = log_of([Event("ann", 1, "buy", day(0), None, 1.0)])
    with pytest.raises(ConfigError, match="'pric'"):
        own.check(own.task(BASE | {"truth": "sum(pric) > 1"}), log)


def test_the_newest_examples_end_with_the_log(shop):
    examples = own.newest_examples(own.task(BASE), shop)
    assert examples.at.max() + examples.task.horizon == shop.observed_until
