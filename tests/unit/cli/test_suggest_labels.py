"""Which events are looked at when labels are to be given."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from intently.cli import suggest_labels
from intently.learn import active
from intently.learn.text_reader import TextReader
from intently.log import schema
from intently.log.log import Log
from intently.ship import bundle
from small_logs import day
from text_shop import TASK, shop


@pytest.mark.parametrize("days", [1, 7, 10])
def test_events_are_suggested_of_so_many_days_and_not_of_whole_spans(days, tmp_path, monkeypatch):
    whole = shop(300)
    log = replace(whole, events=whole.events.filter(pl.col(schema.TYPE) != "tag"))
    trained = SimpleNamespace(task=lambda _: TASK, predictors={TASK.name: {"text": TextReader()}}, labels={})
    asked = []

    def suggested(_reader, examples, _past, _count):
        asked.append(examples)
        return examples.frame

    monkeypatch.setattr(bundle, "load", lambda *_: trained)
    monkeypatch.setattr(Log, "read", lambda _: log)
    monkeypatch.setattr(active, "suggested", suggested)
    at = day(60)
    suggest_labels.command(tmp_path, tmp_path, TASK.name, f"{at:%Y-%m-%d}", tmp_path / "rows.csv", days=days)
    time = pl.col(schema.TIME)
    written = log.events.filter(pl.col(schema.TYPE) == "support", time >= at - timedelta(days=days), time < at)
    assert sorted(asked[0].asked) == sorted(written[schema.EVENT])
    assert len(written) > 0
