"""Rows put down in parts of their key range, block by block, and taken up again part by part."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from intently.log.pack import Array


@dataclass(frozen=True)
class Runs:
    """A folder of one file a block, whose rows stand by part and within a part as in the block.

    A file is the offsets of its parts (int64), then column after column. `layout` is the type of each.
    """

    folder: Path
    parts: int
    layout: Mapping[str, np.dtype[Any]]

    def has(self, block: int) -> bool:
        """Whether the block has been put down whole."""
        return self._file(block).exists()

    def put(self, block: int, columns: Mapping[str, Array], part: Array) -> None:
        """Put down a block's rows by their part (uint16); rows of the part `parts` are left out."""
        counts = np.bincount(part, minlength=self.parts + 1)[: self.parts]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        # 16-bit keys are sorted by radix: linear, and stable.
        rows = np.argsort(part, kind="stable")[: offsets[-1]]
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(block)
        begun = file.with_name(file.name + ".part")
        with begun.open("wb") as out:
            out.write(offsets.data)
            for name, dtype in self.layout.items():
                out.write(columns[name][rows].astype(dtype, copy=False).data)
            out.flush()
            os.fsync(out.fileno())
        begun.replace(file)

    def offsets(self, blocks: int) -> Array:
        """Where each part begins in each block's file, shape (blocks, parts + 1)."""
        files = [self._file(block) for block in range(blocks)]
        return np.stack([np.fromfile(file, np.int64, self.parts + 1) for file in files])

    def pieces(self, part: int, name: str, offsets: Array) -> Iterator[Array]:
        """One column of a part's rows, block after block."""
        width = 0
        for column, dtype in self.layout.items():
            if column == name:
                break
            width += dtype.itemsize
        dtype = self.layout[name]
        for block, starts in enumerate(offsets):
            begin, end, rows = int(starts[part]), int(starts[part + 1]), int(starts[-1])
            if end > begin:
                where = 8 * (self.parts + 1) + rows * width + begin * dtype.itemsize
                yield np.fromfile(self._file(block), dtype, end - begin, offset=where)

    def column(self, part: int, name: str, offsets: Array) -> Array:
        """One column of a part's rows, in the order in which they were put down."""
        pieces = list(self.pieces(part, name, offsets))
        return np.concatenate(pieces) if pieces else np.zeros(0, dtype=self.layout[name])

    def _file(self, block: int) -> Path:
        return self.folder / f"{block:06}.run"


class Notes:
    """Steps that have reached the disk, a line each."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        # A line that was cut off says nothing, and nothing may be added to it.
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        self._lines = [line.strip() for line in lines if line.endswith("\n")]
        if len(self._lines) < len(lines):
            file.write_text("".join(line + "\n" for line in self._lines))

    def add(self, line: str) -> None:
        """Note a step, and wait until the note is on the disk."""
        with self._lock, self._file.open("a") as out:
            out.write(line + "\n")
            out.flush()
            os.fsync(out.fileno())
            self._lines.append(line)

    def has(self, step: str) -> bool:
        """Whether a step was noted."""
        return any(line.split()[0] == step for line in self._lines)

    def said(self, step: str) -> str:
        """What was noted with a step."""
        return next(line.partition(" ")[2] for line in self._lines if line.split()[0] == step)


def part_bounds(rows: Array, most: int) -> Array:
    """Where to divide keys, given the rows of each: parts of at most 65,536 keys and `most` rows, or of one key."""
    bounds, before = [0], np.concatenate([[0], np.cumsum(rows)])
    while bounds[-1] < len(rows):
        start = bounds[-1]
        end = int(np.searchsorted(before, before[start] + most, side="right")) - 1
        bounds.append(min(max(end, start + 1), start + 65_536, len(rows)))
    return np.array(bounds, dtype=np.int64)


def synced(path: Path) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
