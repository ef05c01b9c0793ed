"""What a past tells of labels: by hand on the tiny log, and that looks help where looks tell."""

from datetime import timedelta

import numpy as np
import polars as pl

from intently.baselines.label_rows import Told, kinds_with_items
from intently.baselines.lightgbm_shares import LightGBMShares
from intently.baselines.own_shares import OwnShares
from intently.contract import Past, ShareLabels, weekly
from intently.log.log import Log
from intently.metrics.shares import jensen_shannon
from intently.tasks import interest
from small_logs import START, day, tiny

LABELS = ("clothes", "drinks", "food", "other")


def test_purchases_and_looks_by_label() -> None:
    log = tiny()
    asked = interest.TASK.questions(log, day(26))
    past = Past(log, asked)
    assert kinds_with_items(past) == ("view",)
    told = Told.of(asked, past, LABELS, ("view", "cart"))
    assert asked.asked.to_list() == ["ann", "bo", "cy"]
    assert told.bought.decayed(None).tolist() == [[1, 2, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    # The umbrella has no category, so the last look of cy is left out.
    assert told.others["view"].decayed(None).tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert not told.others["cart"].decayed(7.0).any()
    np.testing.assert_allclose(told.decayed(None, 0.5)[0], [1, 2.5, 1, 0])
    np.testing.assert_allclose(told.bought.newest()[0], [17, 6, 25, np.nan])
    assert told.bought.places().tolist() == [4, 3, 2, 1, 2, 1]


def test_who_is_asked_beside_changes_nothing() -> None:
    log = tiny()
    asked = interest.TASK.questions(log, day(26))
    alone = asked.where(pl.col("user_id") == "bo")
    whole = Told.of(asked, Past(log, asked), LABELS, ("view",)).decayed(14.0, 0.3)
    np.testing.assert_array_equal(Told.of(alone, Past(log, alone), LABELS, ("view",)).decayed(14.0, 0.3)[0], whole[1])


def gazers() -> Log:
    """Sixty customers who look at one of four categories every day and now and then buy of it."""
    rng = np.random.default_rng(1)
    rows = []
    for user in range(60):
        moved = int(rng.integers(90, 154))
        before, after = rng.choice(4, 2, replace=False)
        for today in range(182):
            label = before if today < moved else after
            rows.append((f"u{user:02}", int(label), "view", day(today + rng.random() / 2), None))
            if rng.random() < 0.06:
                rows.append((f"u{user:02}", int(label), "buy", day(today + 0.6), 1.0))
    names = ["user_id", "item_id", "event_type", "timestamp", "quantity"]
    items = pl.DataFrame({"item_id": range(4), "title": list("abcd"), "category": list("abcd")})
    return Log.of(pl.DataFrame(rows, schema=names, orient="row"), items, observed_from=START, observed_until=day(182))


def test_interests_that_moved_show_in_looks_first() -> None:
    log = gazers()
    at = day(154)
    known = log.before(at)
    examples = interest.TASK.examples(known, weekly(day(42), at - timedelta(days=28)))
    asked = interest.TASK.examples(log, [at])
    bought = Log.of(
        log.events.filter(pl.col("event_type") == "buy"), log.items, observed_from=START, observed_until=day(182)
    )

    def error(seen: Log, model: OwnShares | LightGBMShares) -> float:
        fitted = model.fit(examples, Past(seen.before(at), examples))
        scores = fitted.predict(asked.hide(), Past(seen, asked.hide()))
        return float(jensen_shannon(ShareLabels(scores.labels).encode(asked), scores.values).mean())

    assert error(log, OwnShares()) < 0.8 * error(bought, OwnShares())
    trees = LightGBMShares(threads=1, trees=30, leaves=7)
    assert error(log, trees) < 0.5 * error(bought, trees)
    assert OwnShares().fit(examples, Past(known, examples)).looks > 0
