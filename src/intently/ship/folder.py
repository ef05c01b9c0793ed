"""A bundle's folder: emptied with care, and taken as a whole."""

from __future__ import annotations

import shutil
from pathlib import Path

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
