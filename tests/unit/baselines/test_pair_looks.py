"""What a customer looked at, pair by pair: by hand, and that rankings profit where looks come before purchases."""

from datetime import timedelta

import numpy as np
import polars as pl

from intently.baselines.lightgbm_ranking import LightGBMRanking
from intently.baselines.pair_looks import look_features, looked_table
from intently.contract import Past, weekly
from intently.evaluate.compare import encode
from intently.log.log import Log
from intently.metrics.ranking import ndcg_at_10
from intently.tasks import next_item
from small_logs import START, day, tiny


def test_looks_by_hand() -> None:
    log = tiny()
    asked = next_item.TASK.questions(log, day(26))
    past = Past(log, asked)
    looked = looked_table(past, len(past.items))
    # ann looked at the tea 25.5 days ago, bo at it 16, cy at the coat 23 and at the umbrella 1 day ago.
    assert list(zip(looked.example.tolist(), looked.item.tolist(), strict=True)) == [(0, 0), (1, 0), (2, 2), (2, 3)]
    example, item = np.array([0, 0, 2, 2]), np.array([0, 1, 3, 2])
    values, names = look_features(looked, past, example, item)
    column = {name: values[:, number] for number, name in enumerate(names)}
    np.testing.assert_allclose(column["looked_28"], [2 ** (-25.5 / 28), 0, 2 ** (-1 / 28), 2 ** (-23 / 28)], rtol=1e-5)
    share = 2 ** (-1 / 28) / (2 ** (-1 / 28) + 2 ** (-23 / 28))
    np.testing.assert_allclose(column["looked_share_28"], [1, 0, share, 1 - share], rtol=1e-5)
    np.testing.assert_allclose(column["looked_recency"], [25.5, np.nan, 1, 23])
    assert column["looked_count"].tolist() == [1, 0, 1, 1]
    # The umbrella has no category, the coat has.
    np.testing.assert_allclose(column["looked_category_share_14"][2:].sum(), 1, rtol=1e-5)
    assert "looked_brand_14" not in names


def fickle() -> Log:
    """Eighty customers and fifty items: each week one looks at three items, and buys one of them the week after."""
    rng = np.random.default_rng(2)
    rows = []
    for user in range(80):
        wanted: list[int] = []
        for week in range(20):
            when = 7 * week + user % 5 + 0.5
            if wanted:
                rows.append((f"u{user:02}", int(rng.choice(wanted)), "buy", day(when), 1.0))
            wanted = rng.choice(50, 3, replace=False).tolist()
            rows += [
                (f"u{user:02}", item, "view", day(when + 0.1 + 0.01 * place), None) for place, item in enumerate(wanted)
            ]
    names = ["user_id", "item_id", "event_type", "timestamp", "quantity"]
    items = pl.DataFrame({"item_id": range(50), "title": "thing", "category": [f"c{item % 3}" for item in range(50)]})
    return Log.of(pl.DataFrame(rows, schema=names, orient="row"), items, observed_from=START, observed_until=day(140))


def test_what_was_looked_at_is_bought_next_and_ranked_first() -> None:
    log, at = fickle(), day(126)
    bought = Log.of(
        log.events.filter(pl.col("event_type") == "buy"), log.items, observed_from=START, observed_until=day(140)
    )

    def quality(seen: Log) -> float:
        known = seen.before(at)
        examples = next_item.TASK.examples(known, weekly(day(70), at - timedelta(days=7)))
        asked = next_item.TASK.examples(seen, [at])
        model = LightGBMRanking(threads=1, trees=30).fit(examples, Past(known, examples))
        again = LightGBMRanking.from_state(*model.state())
        scores = model.predict(asked.hide(), Past(seen, asked.hide()))
        np.testing.assert_array_equal(again.predict(asked.hide(), Past(seen, asked.hide())).values, scores.values)
        return float(np.mean(ndcg_at_10(*encode(next_item.TASK, asked, scores))))

    # One of three is drawn: 1, 1/log2(3) or 1/2 on average.
    assert quality(log) > 0.6
    assert quality(bought) < 0.3
