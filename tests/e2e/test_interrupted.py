"""`intently train` killed in the middle and run again goes on and gives the same bundle. Run by `make test-slow`."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from planted_shop import START, planted

pytestmark = pytest.mark.slow

UNTIL = f"{START + timedelta(weeks=35):%Y-%m-%d}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    planted().write(folder / "data")
    return folder


def training(shop: Path, out: Path) -> subprocess.Popen[str]:
    words = ["train", "--data", shop / "data", "--until", UNTIL, "--out", out, "--threads", "1", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "INTENTLY_CACHE": str(shop / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "intently", *map(str, words), "--tasks", "purchase_intent"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def trained(shop: Path, out: Path) -> dict[str, bytes]:
    """The files of the bundle of a training that is left to end."""
    with training(shop, out) as process:
        _, told = process.communicate(timeout=600)
    assert process.returncode == 0, told[-2000:]
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def whole(shop: Path) -> dict[str, bytes]:
    return trained(shop, shop / "whole" / "bundle")


@pytest.mark.parametrize("kept", ["pretrain/checkpoint-*", "fine-tuning/checkpoint-*"])
def test_killed_and_run_again_it_gives_the_same_bundle(
    shop: Path, whole: dict[str, bytes], tmp_path: Path, kept: str
) -> None:
    out = tmp_path / "bundle"
    checkpoints = tmp_path / "bundle.checkpoints"
    with training(shop, out) as process:
        # Killed as soon as the folder of a checkpoint is there, so perhaps before the checkpoint is whole.
        while process.poll() is None and not list(checkpoints.glob(f"*/{kept}")):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    again = trained(shop, out)
    assert any(name.endswith(".safetensors") for name in again)
    assert {name for name in whole if again.get(name) != whole[name]} == set()
    assert again.keys() == whole.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
