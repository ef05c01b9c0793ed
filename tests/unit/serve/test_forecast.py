"""Forecasts made in the background: no fault ends the making, the service's end does."""

from __future__ import annotations

import time
from types import SimpleNamespace

import polars as pl
import pytest

import served_shop
from intently.errors import StateError
from intently.log.log import Log
from intently.serve.forecast import Forecast, Forecasts, is_of_items
from intently.ship.bundle import load
from intently.tasks import BUILT_IN


def test_what_is_made_in_the_services_own_process_is_given_up_with_it(service) -> None:
    assert service.forecasts.tasks
    service.forecasts.close()
    with pytest.raises(StateError, match="given up"):
        service.forecasts.make()
    assert service.forecasts.of("demand") is None


def test_a_panic_of_polars_ends_no_making() -> None:
    asked: list[int] = []

    def make(_served, at, _stop) -> list[Forecast]:
        asked.append(at)
        if len(asked) == 1:
            raise pl.exceptions.PanicException("index out of bounds")
        return [Forecast("demand", "m", at, "units", {})]

    served = SimpleNamespace(trained=SimpleNamespace(tasks=BUILT_IN))
    forecasts = Forecasts(make, lambda: served, lambda: 7, 1e-6)
    forecasts.start()
    end = time.monotonic() + 10
    while forecasts.of("demand") is None and time.monotonic() < end:
        time.sleep(0.01)
    forecasts.close()
    forecasts.join()
    assert forecasts.of("demand") == Forecast("demand", "m", 7, "units", {})


def test_a_bundle_read_for_its_forecasts_alone_foresees_the_same_without_a_network(shop) -> None:
    data, bundle = shop
    part, whole = load(bundle, BUILT_IN, threads=1, only=is_of_items), load(bundle, BUILT_IN, threads=1)
    assert [task.name for task in part.tasks] == ["demand"]
    assert part.reader.newest.fitted is None
    assert whole.reader.newest.fitted is not None
    log = Log.read(data)
    for name in whole.predictors["demand"]:
        found, wanted = (one.predict("demand", log, served_shop.UNTIL, name)[1].values for one in (part, whole))
        assert (found == wanted).all()
