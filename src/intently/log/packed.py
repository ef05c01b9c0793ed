"""A log opened from its pack: what a `Past` reads, for logs that do not fit in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import polars as pl

from intently.errors import DataError
from intently.log.log import Log
from intently.log.pack import Derived, Pack, manifest

ITEMS = "catalogue.parquet"
USERS = "customers.parquet"


@dataclass(frozen=True)
class PackedLog:
    """A log whose rows stay on disk, as `intently pack` wrote them.

    `Past(PackedLog.open(folder), examples)` reads slices of memory-mapped files. Only `before`, which
    predictors that learn over the whole shop need, reads the log itself: into memory, once.
    """

    pack: Pack
    items: pl.DataFrame
    users: pl.DataFrame
    observed_from: datetime
    observed_until: datetime
    events: int
    source: str

    @classmethod
    def open(cls, folder: str | Path) -> PackedLog:
        """Open what `intently pack` wrote. Raises DataError where it is not a whole pack."""
        folder = Path(folder)
        about = manifest(folder)
        if "source" not in about:
            raise DataError(f"{folder} holds no catalogue.", mend="Write the pack again with `intently pack`.")
        return cls(
            Pack.load(folder),
            pl.read_parquet(folder / ITEMS),
            pl.read_parquet(folder / USERS),
            datetime.fromisoformat(about["observed_from"]),
            datetime.fromisoformat(about["observed_until"]),
            about["events"],
            about["source"],
        )

    def before(self, at: datetime) -> Log:
        """The log as it stood at `at`, read from where it was packed from."""
        return self.log.before(at)

    @property
    def written(self) -> None:
        """A pack keeps no texts."""
        return None

    @cached_property
    def catalogue(self) -> pl.DataFrame:
        """The items in the order of item codes."""
        return self.pack.in_order(self.items)

    @cached_property
    def derived(self) -> Derived:
        """What was made of the catalogue alone."""
        return Derived()

    @cached_property
    def log(self) -> Log:
        """The whole log in memory. Raises DataError where it has changed since it was packed."""
        log = Log.read(self.source)
        then = (self.events, self.observed_from, self.observed_until)
        if (len(log.events), log.observed_from, log.observed_until) != then:
            raise DataError(f"{self.source} has changed since it was packed.", mend="Run `intently pack` again.")
        return log
