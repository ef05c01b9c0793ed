"""Arrays of a bundle's predictors as safetensors, texts among them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from intently.log.pack import Array


def save_arrays(file: Path, arrays: Mapping[str, Array]) -> None:
    """Arrays as safetensors; texts as padded UTF-32, which safetensors does not know, as code points."""
    from safetensors.numpy import save_file

    plain: dict[str, Array] = {}
    for name, array in arrays.items():
        if array.dtype.kind in "UO":
            wide = array.astype(np.str_)
            width = max(wide.dtype.itemsize // 4, 1)
            plain[f"text:{name}"] = np.ascontiguousarray(wide).view(np.uint32).reshape(len(wide), width)
        else:
            plain[name] = np.ascontiguousarray(array)
    save_file(plain, file)


def load_arrays(file: Path) -> dict[str, Array]:
    """The arrays that `save_arrays` wrote."""
    from safetensors.numpy import load_file

    arrays = {}
    for name, array in load_file(file).items():
        if name.startswith("text:"):
            wide = np.ascontiguousarray(array)
            arrays[name.removeprefix("text:")] = wide.view(f"<U{wide.shape[1]}").reshape(-1)
        else:
            arrays[name] = array
    return arrays
