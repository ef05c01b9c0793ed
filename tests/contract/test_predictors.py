"""What every predictor must keep, on every task it answers: built in, or written by a shop as TOML."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load, save

from intently.baselines import ALL, BOOSTED
from intently.contract import AT as WHEN
from intently.contract import Amount, Examples, OneOf, Past, Ranking, Scores, Shares, Task, YesNo, weekly
from intently.evaluate.leakcheck import future_scrambled, late_scrambled
from intently.log.log import Log
from intently.tasks import BUILT_IN
from own_tables import OWN
from planted_shop import START, UNTIL, planted

AT = UNTIL - timedelta(weeks=8)
FIRST = AT - timedelta(weeks=18)
TASKS = {task.name: task for task in (*BUILT_IN, *OWN)}


@dataclass(frozen=True)
class Case:
    """A class of predictors and a task that it answers."""

    kind: Any
    name: str

    @property
    def task(self) -> Task:
        """The task of that name."""
        return TASKS[self.name]

    def make(self) -> Any:
        """A new one, on one thread and with few trees where it has a say."""
        wanted = {"threads": 1, "trees": 20, "leaves": 7}
        known = {field.name for field in fields(self.kind)}
        return self.kind(**{name: value for name, value in wanted.items() if name in known})


CASES = [Case(kind, task.name) for kind in ALL for task in TASKS.values() if kind().answers(task)]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind.__name__}-{case.name}")


@cache
def shop() -> Log:
    return planted()


def lessons(task: Task, log: Log) -> tuple[Examples, Log]:
    """Weekly examples of the months before AT, and what was known when their last window ended."""
    known = log.before(AT)
    return task.examples(known, weekly(FIRST, AT)), known


@cache
def fitted(case: Case) -> Any:
    examples, known = lessons(case.task, shop())
    return case.make().fit(examples, Past(known, examples))


def answers(model: Any, task: Task, log: Log) -> tuple[Examples, Scores]:
    examples = task.questions(log, AT)
    return examples, model.predict(examples, Past(log, examples))


@cache
def answered(case: Case) -> tuple[Examples, Scores]:
    return answers(fitted(case), case.task, shop())


def same(a: Scores, b: Scores) -> None:
    """Equal bit by bit."""
    assert a.labels == b.labels
    np.testing.assert_array_equal(a.values, b.values)
    if a.ids is not None and b.ids is not None:
        assert a.ids.tolist() == b.ids.tolist()


def close(a: Scores, b: Scores, tolerance: float) -> None:
    """Equal but for rounding; items whose scores are that close may change places."""
    assert a.labels == b.labels
    np.testing.assert_allclose(a.values, b.values, rtol=tolerance, atol=tolerance)
    if a.ids is not None and b.ids is not None:
        assert (a.ids == b.ids).mean() > 0.99


def well_formed(task: Task, scores: Scores, n: int, items: pl.Series) -> None:
    """The table that the docstring of Scores promises for the kind of answer."""
    values = scores.values
    assert len(scores) == n
    assert values.dtype == np.float32
    assert not np.isnan(values).any()
    match task.answer:
        case YesNo():
            assert values.shape == (n, 1)
            assert ((values >= 0) & (values <= 1)).all()
        case OneOf() | Shares():
            assert values.shape == (n, len(scores.labels))
            assert len(set(scores.labels)) == len(scores.labels)
            assert (values >= 0).all()
            np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)
        case Amount():
            assert values.shape == (n, 20)
            assert np.isfinite(values).all()
            assert (values >= 0).all()
            assert (np.diff(values[:, 1:], axis=1) >= 0).all()
        case Ranking():
            assert scores.ids is not None
            assert values.shape == scores.ids.shape
            assert values.shape[1] <= 100
            assert (np.diff(values, axis=1) <= 0).all()
            catalogue = set(items.to_list())
            for ids, row in zip(scores.ids, values, strict=True):
                real = ids[np.isfinite(row)].tolist()
                assert real
                assert len(set(real)) == len(real)
                assert set(real) <= catalogue


@every_case
def test_answers_have_the_promised_shape(case: Case) -> None:
    examples, scores = answered(case)
    assert len(examples) > 50
    well_formed(case.task, scores, len(examples), shop().items["item_id"])


@every_case
def test_the_future_changes_nothing(case: Case) -> None:
    for scramble in (future_scrambled, late_scrambled):
        scrambled = scramble(shop(), AT, np.random.default_rng(4))
        same(answered(case)[1], answers(fitted(case), case.task, scrambled)[1])
        examples, known = lessons(case.task, scrambled)
        again = case.make().fit(examples, Past(known, examples))
        same(answered(case)[1], answers(again, case.task, shop())[1])


@every_case
def test_what_is_learned_ends_with_the_last_window(case: Case) -> None:
    examples, _ = lessons(case.task, shop())
    # A log that goes on, uncut: learning may not read past the end of the windows.
    again = case.make().fit(examples, Past(shop(), examples))
    same(answered(case)[1], answers(again, case.task, shop())[1])


@every_case
def test_one_alone_gets_the_same_answer_as_in_a_crowd(case: Case) -> None:
    examples, scores = answered(case)
    for row in (0, 31, len(examples) - 1):
        alone = examples.take(np.array([row]))
        got = fitted(case).predict(alone, Past(shop(), alone))
        close(scores.take(np.array([row])), got, 1e-6)


def asks_a_customer_alone(task: Task) -> bool:
    """Whether nothing of the shop but its catalogue has to be known when it is asked."""
    return task.key == "user_id" and not (isinstance(task.answer, Ranking) and task.answer.unseen)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if asks_a_customer_alone(case.task)],
    ids=lambda case: f"{case.kind.__name__}-{case.name}",
)
def test_a_customer_is_answered_without_the_shop(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there(_past: Past, at: object) -> Log:
        raise AssertionError(f"the shop at {at} was read")

    model = fitted(case)
    monkeypatch.setattr(Past, "shop", not_there)
    answers(model, case.task, shop())


@every_case
def test_questions_may_come_in_any_order(case: Case) -> None:
    examples, scores = answered(case)
    order = np.random.default_rng(1).permutation(len(examples))
    mixed = examples.take(order)
    close(scores.take(order), fitted(case).predict(mixed, Past(shop(), mixed)), 1e-6)


@every_case
def test_an_unknown_one_gets_an_answer(case: Case) -> None:
    examples, _ = answered(case)
    nobody = "nobody" if case.task.key == "user_id" else 999_999
    row = pl.DataFrame({case.task.key: [nobody], WHEN: [AT]}, schema=examples.frame.schema)
    strange = Examples(case.task, row)
    well_formed(case.task, fitted(case).predict(strange, Past(shop(), strange)), 1, shop().items["item_id"])


@every_case
def test_a_log_of_strangers_in_another_shop_gets_answers(case: Case) -> None:
    if case.name == "back_for_kind_one":
        pytest.skip("a log of strangers has nobody among whom it asks")
    events = pl.DataFrame(
        {
            "session_id": ["s1", "s1", "s2"],
            "item_id": [1004, 5, 5],
            "event_type": ["view", "wave", "buy"],
            "timestamp": [AT - timedelta(hours=hours) for hours in (3, 2, 1)],
            "quantity": [None, None, 1.0],
            "amount": [None, None, 3.0],
        }
    )
    items = pl.concat([shop().items, pl.DataFrame({"item_id": [5], "title": ["late"]})], how="diagonal")
    log = Log.of(events, items, observed_until=AT)
    examples, scores = answers(fitted(case), case.task, log)
    assert len(examples) > 0
    well_formed(case.task, scores, len(examples), items["item_id"])


def through_bytes(arrays: dict[str, Any], settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """As a bundle would write and read them: safetensors and JSON, without pickle."""
    numbers = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array.dtype.kind in "iufb"}
    texts = {name: array.tolist() for name, array in arrays.items() if array.dtype.kind == "U"}
    assert {*numbers, *texts} == {*arrays}
    read = json.loads(json.dumps([texts, settings], allow_nan=False))
    return load(save(numbers)) | {name: np.array(array) for name, array in read[0].items()}, read[1]


@every_case
def test_saved_and_read_again_answers_alike(case: Case) -> None:
    again = case.kind.from_state(*through_bytes(*fitted(case).state()))
    assert again.name == fitted(case).name
    same(answered(case)[1], answers(again, case.task, shop())[1])


@every_case
def test_the_same_seed_learns_the_same_twice(case: Case) -> None:
    examples, known = lessons(case.task, shop())
    again = case.make().fit(examples, Past(known, examples))
    same(answered(case)[1], answers(again, case.task, shop())[1])


@every_case
def test_examples_may_come_in_any_order(case: Case) -> None:
    examples, known = lessons(case.task, shop())
    mixed = examples.take(np.random.default_rng(2).permutation(len(examples)))
    again = case.make().fit(mixed, Past(known, mixed))
    close(answered(case)[1], answers(again, case.task, shop())[1], 1e-5)


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_no_window_is_learned_from_before_it_is_over(task: Task) -> None:
    examples, known = lessons(task, shop())
    ends = examples.at + task.horizon
    assert (ends <= AT).all()
    assert ends.max() == AT
    assert Past(known, examples).learned_until == AT
    # One microsecond less, and the last window is not whole.
    short = task.examples(shop().before(AT - timedelta(microseconds=1)), weekly(FIRST, AT))
    assert short.cutoffs == examples.cutoffs[:-1]
    assert examples.cutoffs[0] >= FIRST > START


READ = tuple(task for task in TASKS.values() if task.key == "user_id")


@cache
def read_texts() -> Any:
    """A sequence reader of a few thousand weights, on item vectors drawn by lot: no language model is loaded."""
    return read(shop())


def read(log: Log) -> Any:
    from intently.learn.reader import SequenceReader
    from intently.learn.recipe import Recipe
    from intently.text.verbalise import item_texts

    made = {task.name: lessons(task, log) for task in READ}
    train = {name: (examples, Past(known, examples)) for name, (examples, known) in made.items()}
    texts, _ = item_texts(next(iter(train.values()))[1].items)
    vectors = np.random.default_rng(0).normal(size=(len(texts), 24)).astype(np.float32)
    recipe = Recipe(pretrain_epochs=1, epochs=1, negatives=32, threads=1)
    shape = {"width": 16, "item_width": 8, "blocks": 1, "attention_heads": 2}
    return SequenceReader(READ, recipe, shape=shape).fit(train, vectors=vectors)


@pytest.mark.slow
@pytest.mark.parametrize("task", READ, ids=lambda task: task.name)
def test_the_reader_answers_as_promised_and_never_from_the_future(task: Task) -> None:
    from intently.learn.memo import Memo

    # Without what was read for other tests: in larger batches the last digit may be another.
    reader = replace(read_texts(), _memo=Memo())
    examples, scores = answers(reader, task, shop())
    well_formed(task, scores, len(examples), shop().items["item_id"])
    for scramble in (future_scrambled, late_scrambled):
        same(scores, answers(reader, task, scramble(shop(), AT, np.random.default_rng(4)))[1])
    for row in (0, 31):
        alone = examples.take(np.array([row]))
        close(scores.take(np.array([row])), reader.predict(alone, Past(shop(), alone)), 1e-5)
    order = np.random.default_rng(1).permutation(len(examples))
    mixed = examples.take(order)
    close(scores.take(order), reader.predict(mixed, Past(shop(), mixed)), 1e-5)


@pytest.mark.slow
def test_the_reader_learns_the_same_twice_whatever_the_future() -> None:
    for log in (shop(), future_scrambled(shop(), AT, np.random.default_rng(4))):
        again = read(log)
        for task in READ:
            same(answers(read_texts(), task, shop())[1], answers(again, task, shop())[1])


STACKED = [case for case in CASES if case.kind in BOOSTED]


@pytest.mark.slow
@pytest.mark.parametrize("case", STACKED, ids=lambda case: f"{case.kind.__name__}-{case.name}")
def test_the_stack_sees_no_future_and_answers_one_as_many(case: Case) -> None:
    from intently.learn.item_columns import ItemColumns
    from intently.learn.rolling import Rolling
    from intently.learn.stack import ReaderColumns

    first = READ[0].questions(shop(), FIRST)
    of_customers = ReaderColumns.of(Rolling(((FIRST + timedelta(weeks=6), read_texts()),)), Past(shop(), first))
    reading = of_customers if case.task.key == "user_id" else ItemColumns(read_texts())
    examples, known = lessons(case.task, shop())
    model = replace(case.make(), reading=reading).fit(examples, Past(known, examples))
    asked, scores = answers(model, case.task, shop())
    well_formed(case.task, scores, len(asked), shop().items["item_id"])
    # Whether trees of so small a shop split by the reader's columns is for the processor's rounding to say.
    assert set(model.state()[1]["columns"]) > set(fitted(case).state()[1]["columns"])
    for scramble in (future_scrambled, late_scrambled):
        same(scores, answers(model, case.task, scramble(shop(), AT, np.random.default_rng(4)))[1])
    alone = asked.take(np.array([31]))
    close(scores.take(np.array([31])), model.predict(alone, Past(shop(), alone)), 1e-4)
