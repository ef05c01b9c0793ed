"""What `intently serve` refuses before it writes anything."""

from pathlib import Path

import pytest

from intently.cli.serve import command
from intently.errors import BundleError


def test_a_folder_that_is_no_bundle_is_refused_and_no_state_is_begun(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        command(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
