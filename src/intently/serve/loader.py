"""Bundles opened for the catalogue of a state, and made ready to answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl

from intently.contract import Shares
from intently.errors import BundleError
from intently.learn.trained import Trained
from intently.log import schema
from intently.serve.bring import begin_catalogue, item_table
from intently.serve.models import Served, version_of
from intently.serve.pasts import nothing
from intently.serve.standing import Shelf
from intently.serve.store import Store
from intently.serve.worker import tell


class Loader:
    """Loads the bundles of one service; `read` reads a bundle's predictors, `now` is the service's time."""

    def __init__(self, store: Store, read: Callable[[Path], Trained], now: Callable[[], int]) -> None:
        self._store, self.read, self._now = store, read, now

    def first(self, folder: Path) -> Served:
        """The bundle that a service begins with. A state that has no item yet takes up the form it has learned.

        Raises BundleError where it does not fit the catalogue of the state.
        """
        trained = self.read(folder)
        if not self._store.items:
            begin_catalogue(self._store, _item_ids(trained), _item_columns(trained))
        return self._served(folder, trained, item_table(self._store))

    def open(self, folder: Path, items: pl.DataFrame) -> Served:
        """Another bundle, to serve a catalogue. Raises BundleError where it does not fit."""
        return self._served(folder, self.read(folder), items)

    def warm(self, served: Served, shelf: Shelf) -> None:
        """Make everything that does not depend on a customer; then the shelf is served.

        Of a model in service in the thread that answers, of another in any.
        """
        before = served.shelf
        served.shelf = shelf
        try:
            tell(served, [nothing(shelf.extras)], served.tasks, self._now())
        except BaseException:
            served.shelf = before
            raise

    def refresh(self, served: Served) -> None:
        """A kind of event never seen before needs a shelf that names it; the items on it stay."""
        old = served.shelf
        if len(self._store.types) != len(old.event_types) or len(self._store.extras) != len(old.extras):
            types, extras = tuple(self._store.types), tuple(self._store.extras)
            served.shelf = Shelf(old.items, types, extras, old.derived, old.edition)

    def _served(self, folder: Path, trained: Trained, items: pl.DataFrame) -> Served:
        known, told = _item_ids(trained), items.schema[schema.ITEM]
        if known is not None and known.is_integer() != told.is_integer():
            raise BundleError(
                f"The bundle's item ids are {known}, the state's are {told}.",
                mend="Bring the log that the bundle was trained on: intently serve BUNDLE --data LOG.",
            )
        contract = json.loads((folder / "contract.json").read_text(encoding="utf-8"))
        shelf = Shelf(items, tuple(self._store.types), tuple(self._store.extras))
        return Served(folder.name, version_of(folder), folder, trained, contract, shelf)


def _item_ids(trained: Trained) -> pl.DataType | None:
    """The type of the item ids that a model has learned, if it has learned any."""
    return None if trained.reader is None else trained.reader.newest.known[schema.ITEM].dtype


def _item_columns(trained: Trained) -> tuple[str, ...]:
    """The columns of items that a model's questions are about, such as the category."""
    asked = (task.answer for task in trained.tasks)
    return tuple(dict.fromkeys(answer.of for answer in asked if isinstance(answer, Shares)))
