"""What `intently serve` refuses before it writes anything."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from intently.cli.serve import clock_from, command
from intently.errors import BundleError
from intently.serve.clock import micros


def test_a_folder_that_is_no_bundle_is_refused_and_no_state_is_begun(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        command(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_time_begins_at_now_or_at_the_end_of_what_is_known_and_runs_on() -> None:
    clock, end = clock_from("2017-11-05"), micros(datetime(2018, 1, 1, tzinfo=UTC))
    assert clock.not_before(end)
    first = clock.now()
    time.sleep(0.02)
    assert first > end
    assert clock.now() - first >= 20_000
    assert not clock_from("2019-01-01").not_before(end)
    assert not clock_from(None).not_before(end)
