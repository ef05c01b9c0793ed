"""Forecasts made in the background: no fault ends the making, the service's end does."""

from __future__ import annotations

import time
from types import SimpleNamespace

import polars as pl
import pytest

from intently.errors import StateError
from intently.serve.forecast import Forecast, Forecasts
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
