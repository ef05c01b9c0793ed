"""Checkpoints of an interrupted training: where those of one training are, and which of them is whole."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np


def folder_of(checkpoints: Path, *training: object) -> Path:
    """The folder of one training among all checkpoints, by a hash of everything that decides how it ends.

    Arrays count by their bytes, anything else by its repr. A training that differs in any part has another folder,
    and so begins anew.
    """
    digest = hashlib.sha256()
    for part in training:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return checkpoints / digest.hexdigest()[:16]


def last_whole(folder: Path) -> str | None:
    """The newest checkpoint in a folder; half-written ones, of a run that was killed while it saved, are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for path in found:
        try:
            # The Trainer writes its state last of all.
            json.loads((path / "trainer_state.json").read_text())
        except (OSError, json.JSONDecodeError):
            shutil.rmtree(path)
        else:
            return str(path)
    return None
