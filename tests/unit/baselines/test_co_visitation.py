from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from intently.baselines.catalogue import ItemScores
from intently.baselines.co_visitation import CoVisitation, Neighbours
from intently.contract import Past
from intently.log.log import Log
from intently.tasks import next_item

AT = datetime(2024, 5, 6, tzinfo=UTC)


def shop() -> Log:
    """Bread goes with butter eight times, once with soap; u has bought bread alone."""
    baskets = [("bread", "butter")] * 8 + [("bread", "soap")] + [("soap", "brush")] * 3
    rows = [
        (f"v{number}", item, "buy", AT - timedelta(days=30 - number))
        for number, basket in enumerate(baskets)
        for item in basket
    ]
    rows.append(("u", "bread", "buy", AT - timedelta(days=2)))
    names = ["user_id", "item_id", "event_type", "timestamp"]
    return Log.of(pl.DataFrame(rows, schema=names, orient="row"), observed_until=AT)


def test_similarity_is_a_damped_cosine() -> None:
    near = Neighbours.learn(shop())
    ids = near.ids.to_list()
    pairs = {(ids[a], ids[b]): value for a, b, value in zip(near.seed, near.other, near.similarity, strict=True)}
    assert pairs["bread", "butter"] == pytest.approx(8 / np.sqrt(10 * 8) * 8 / 13, rel=1e-5)
    # A pair met once is chance.
    assert ("bread", "soap") not in pairs
    assert pairs["bread", "butter"] == pairs["butter", "bread"]


def test_who_bought_bread_may_want_butter() -> None:
    log = shop()
    counts = ItemScores(pl.Series(["soap", "brush"]), np.array([9.0, 8.0]))
    asked = next_item.TASK.questions(log, AT).where(pl.col("user_id") == "u")
    model = CoVisitation(own_weight=0.0, near=Neighbours.learn(log), shop=counts)
    ids = model.predict(asked, Past(log, asked)).ids
    assert ids is not None
    assert ids[0, :4].tolist() == ["butter", "soap", "brush", "bread"]
