from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from intently.baselines.constant import Constant
from intently.contract import Amount, Answer, Everyone, Examples, OneOf, Past, Task, YesNo, weekly
from intently.errors import TooFewExamples
from intently.log.log import Log
from intently.tasks import purchase_intent, purchasing_power

CUTOFFS = weekly(datetime(2024, 2, 26, tzinfo=UTC), datetime(2024, 4, 8, tzinfo=UTC))


def test_yes_no_is_the_base_rate(habits: Log) -> None:
    examples = purchase_intent.TASK.examples(habits, CUTOFFS)
    mixed = Examples(examples.task, examples.frame.with_columns((pl.int_range(pl.len()) % 4 == 0).alias("truth")))
    past = Past(habits, mixed)
    scores = Constant().fit(mixed, past).predict(mixed.hide(), past)
    assert scores.values.shape == (len(mixed), 1)
    np.testing.assert_allclose(scores.values, 0.25)


def test_amount_is_mean_and_quantiles(habits: Log) -> None:
    examples = purchasing_power.TASK.examples(habits, CUTOFFS)
    past = Past(habits, examples)
    scores = Constant().fit(examples, past).predict(examples.hide(), past)
    truth = examples.truth.to_numpy()
    assert scores.values[3, 0] == pytest.approx(truth.mean(), rel=1e-5)
    assert scores.quantile(0.5)[0] == pytest.approx(np.median(truth), rel=1e-5)
    assert (np.diff(scores.values[0, 1:]) >= 0).all()


def test_one_of_is_label_rates(habits: Log) -> None:
    answer: Answer = OneOf(("few", "many"))
    wide = pl.when(pl.len() > 1).then(pl.lit("many")).otherwise(pl.lit("few"))
    task = Task("size", Everyone("user_id"), answer, purchase_intent.TASK.horizon, wide, None, {})
    examples = task.examples(habits, CUTOFFS)
    past = Past(habits, examples)
    scores = Constant().fit(examples, past).predict(examples.hide(), past)
    assert scores.labels == ("few", "many")
    assert scores.values[0, 1] == pytest.approx((examples.truth == "many").mean())
    assert 0 < scores.values[0, 1] < 1


def test_answers_every_kind_and_refuses_nothing_to_learn(habits: Log) -> None:
    assert all(Constant().answers(task) for task in (purchase_intent.TASK, purchasing_power.TASK))
    assert isinstance(purchase_intent.TASK.answer, YesNo)
    assert isinstance(purchasing_power.TASK.answer, Amount)
    none = purchase_intent.TASK.examples(habits, CUTOFFS).where(pl.lit(value=False))
    with pytest.raises(TooFewExamples):
        Constant().fit(none, Past(habits, none))
