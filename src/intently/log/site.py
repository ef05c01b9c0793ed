"""The place where a pack is made: begun, gone on with, and put in place when it is whole."""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from intently.errors import ConfigError, DataError
from intently.log.pack import MANIFEST, manifest
from intently.log.runs import Notes, synced

Progress = Callable[[str, float], None]

WORK = "work"
_LOCK = "lock"
_IDENTITY = "begun.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Site:
    """Where a pack is made, and how: rows a block, rows a part, threads."""

    folder: Path
    notes: Notes
    threads: int
    progress: Progress
    block: int
    part: int

    @property
    def work(self) -> Path:
        """What is needed only until the pack is whole."""
        return self.folder / WORK

    def each(self, what: str, count: int, done: Callable[[int], bool], do: Callable[[int], None]) -> None:
        """Do what is not done yet, `threads` at a time."""
        left = [number for number in range(count) if not done(number)]
        pool = ThreadPoolExecutor(self.threads)
        self.progress(what, 1 - len(left) / max(count, 1))
        try:
            for number, _ in enumerate(pool.map(do, left), 1):
                self.progress(what, 1 - (len(left) - number) / count)
        finally:
            pool.shutdown(cancel_futures=True)


def whole(begun: Path, stamp: str) -> bool:
    """Whether a pack of the same log was finished and only not put in place."""
    try:
        return bool(manifest(begun).get("stamp") == stamp)
    except DataError:
        return False


def begin(begun: Path, identity: Mapping[str, Any]) -> None:
    """Make room for a pack, and keep what an interrupted run of the same log has done."""
    note = begun / _IDENTITY
    wanted = json.dumps(identity)
    if note.exists() and note.read_text() == wanted and not (begun / MANIFEST).exists():
        return
    there = [path for path in begun.iterdir() if path.name not in (_LOCK, _IDENTITY)]
    if there and not note.exists():
        raise ConfigError(f"{begun} holds something that is not a pack.", mend="Move it, or give --out another folder.")
    for path in there:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    note.write_text(wanted)
    synced(note)
    (begun / WORK).mkdir()


def room(gigabytes: float, begun: Path) -> None:
    """Refuse before the work what would not fit."""
    used = sum(path.stat().st_size for path in begun.rglob("*") if path.is_file())
    needed, free = gigabytes * 1e9 - used, shutil.disk_usage(begun).free
    if free < needed:
        raise ConfigError(
            f"Packing needs {needed / 1e9:.3g} GB where {begun} stands, and {free / 1e9:.3g} GB are free.",
            mend="Free some space, or give --out a folder on another disk.",
        )


def put_in_place(begun: Path, out: Path) -> None:
    """Let a whole pack take the place of what was there; files that are still open stay readable."""
    shutil.rmtree(begun / WORK, ignore_errors=True)
    old = out.with_name(out.name + ".old")
    _remove(old)
    if out.exists():
        out.rename(old)
    for name in (_LOCK, _IDENTITY):
        (begun / name).unlink(missing_ok=True)
    begun.rename(out)
    synced(out.parent)
    _remove(old)


def _remove(pack: Path) -> None:
    """Remove a pack and nothing else; what says that it is one goes last, so that a kill leaves no stranger."""
    if not (pack / MANIFEST).exists():
        return
    for path in pack.iterdir():
        if path.name != MANIFEST:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(pack)


@contextmanager
def alone(begun: Path) -> Iterator[None]:
    """One run at a time; the lock goes with the process, however it ends."""
    begun.mkdir(parents=True, exist_ok=True)
    with (begun / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another run writes {begun}.", mend="Wait for it, or give --out another folder."
            ) from None
        yield


@contextmanager
def told(out: Path) -> Iterator[None]:
    """Say in one sentence what a full disk or a broken file is."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        full = any(said in str(error) for said in ("No space left", "File too large"))
        if full or getattr(error, "errno", None) in _FULL:
            raise ConfigError(
                f"There is no room left to pack into {out}.",
                mend="Free some space and run the same command again: it goes on where it stopped.",
            ) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"The log cannot be read: {str(error).splitlines()[0]}.", mend="Write the file again as Parquet or CSV."
        ) from error
