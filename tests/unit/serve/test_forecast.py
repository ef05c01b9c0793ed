"""Forecasts made in the background: no fault ends the making, the service's end does."""

from __future__ import annotations

import subprocess
import sys
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
    assert set(part.predictors["demand"]) == {"lightgbm", "stack"}
    for name in whole.predictors["demand"]:
        found, wanted = (one.predict("demand", log, served_shop.UNTIL, name)[1].values for one in (part, whole))
        assert (found == wanted).all()


def test_a_forecast_imports_no_torch(shop) -> None:
    code = """
import sys
from intently.cli import console
from intently.log.log import Log
from intently.log.log import moment
from intently.serve.forecast import is_of_items
from intently.ship.bundle import load
trained = load(sys.argv[2], console.every_task(), threads=1, only=is_of_items)
trained.predict("demand", Log.read(sys.argv[1]), moment(sys.argv[3]), "stack")
print(sorted({"torch", "transformers"} & set(sys.modules)))
"""
    words = [sys.executable, "-c", code, *map(str, shop), f"{served_shop.UNTIL:%Y-%m-%d}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
