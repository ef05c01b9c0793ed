"""A bundle's folder: emptied with care, taken as a whole; and its files of settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from intently.errors import BundleError

CONTRACT = "contract.json"


def empty(folder: Path) -> None:
    """An empty folder in this place. Refuses to empty one that is not a bundle."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / CONTRACT).is_file() and not folder.name.endswith(".part"):
            raise BundleError(f"{folder} holds something that is not a bundle.", mend="Give --out another folder.")
        # The folder itself stays: somebody may stand in it.
        for one in folder.iterdir():
            shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
    folder.mkdir(parents=True, exist_ok=True)


def settle(part: Path, folder: Path) -> None:
    """Put what is written whole in its place, instead of a bundle that is there."""
    if not folder.exists():
        part.rename(folder)
        return
    empty(folder)
    if folder != Path.cwd():
        folder.rmdir()
        part.rename(folder)
        return
    # Who stands in a folder that is taken away stands in none.
    for one in part.iterdir():
        one.rename(folder / one.name)
    part.rmdir()


def write_json(file: Path, content: Any) -> None:
    """Write it as a person can read it, in a folder that is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
