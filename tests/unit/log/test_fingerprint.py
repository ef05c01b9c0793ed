"""How a log is known again."""

from dataclasses import replace
from datetime import timedelta

from planted_shop import START, planted


def test_a_fingerprint_is_of_what_happened_not_of_its_order() -> None:
    log = planted()
    assert log.fingerprint() == replace(log, events=log.events.sample(fraction=1, shuffle=True, seed=1)).fingerprint()
    assert log.fingerprint() != log.before(START + timedelta(weeks=39)).fingerprint()
