"""Fixtures of every room's tests."""

import gc
import os

import pytest
from hypothesis import settings

from intently.log import complete_journey
from intently.log.log import Log
from small_logs import tiny

os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("intently", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("intently")


@pytest.fixture(scope="module", autouse=True)
def _quick_to_collect() -> None:
    """What is there already, some million objects of imported packages, is not looked through for garbage again."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tiny_log() -> Log:
    """Thirty days, three customers, four items; see small_logs.tiny."""
    return tiny()


@pytest.fixture(scope="session")
def complete_journey_log() -> Log:
    """The whole of Complete Journey: about a second to read, once a test process."""
    return complete_journey.read()


@pytest.fixture(scope="session")
def complete_journey_mailings() -> Log:
    """Complete Journey with its mailings and the coupons redeemed of them."""
    return complete_journey.read(mailings=True)
