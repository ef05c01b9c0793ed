"""What is known of the customers asked about, in the form a `Past` is read from.

So a score in the service is made by the same predictors from the same rows as `intently predict` makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from itertools import count

import numpy as np
import polars as pl

from intently.contract import AT, Examples, Past, Task
from intently.errors import ConfigError
from intently.log import schema
from intently.log.log import Log
from intently.log.lookup import Lookup
from intently.log.pack import UNKNOWN, Array, Derived, Order, Pack
from intently.serve.pasts import History

_EDITIONS = count()


@dataclass(frozen=True, eq=False)
class Shelf:
    """The catalogue as the model knows it at one time, in the order of item codes; it never changes.

    Items with later codes are not on it yet: their texts have not been read by the language model. `derived` holds
    what was made of the items alone. `edition` is a later number for every other catalogue, however many items it has.
    """

    items: pl.DataFrame
    event_types: tuple[str, ...]
    extras: tuple[str, ...]
    derived: Derived = field(default_factory=Derived)
    edition: int = field(default_factory=partial(next, _EDITIONS))

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def ids(self) -> pl.Series:
        """Item ids by code."""
        return self.items[schema.ITEM]

    @cached_property
    def codes(self) -> Lookup:
        """From items' ids to their codes."""
        return Lookup(self.ids)


@dataclass(frozen=True, eq=False)
class Standing:
    """A few customers' histories and the catalogue: all that is known of the customers asked about.

    `written` is what they wrote, by event; None where it was not read.
    """

    shelf: Shelf
    pack: Pack
    pending: Array
    written: pl.Series | None = None

    @property
    def users(self) -> pl.DataFrame:
        """Nothing is said of customers here but who they are."""
        return pl.DataFrame({schema.USER: self.pack.user_ids})

    @property
    def catalogue(self) -> pl.DataFrame:
        """The items in the order of item codes."""
        return self.shelf.items

    @property
    def derived(self) -> Derived:
        """What was made of the catalogue alone, for all requests."""
        return self.shelf.derived

    def before(self, at: datetime) -> Log:
        """Not known here: only some customers are."""
        raise ConfigError(
            f"The whole shop as of {at:%Y-%m-%d %H:%M} is not part of a request.",
            mend="Ask with `intently predict`; the service answers such questions from its forecasts.",
        )

    @classmethod
    def of(cls, shelf: Shelf, histories: Sequence[History], written: pl.Series | None = None) -> Standing:
        """Histories laid end to end, customers numbered as they come; `pending` counts each one's unread items."""
        lengths = np.array([len(one) for one in histories], dtype=np.int64)

        def laid(name: str, dtype: type) -> Array:
            return np.concatenate([np.zeros(0, dtype=dtype), *(getattr(one, name) for one in histories)])

        item = laid("item", np.int32)
        unread = item >= len(shelf)
        owner = np.repeat(np.arange(len(histories), dtype=np.int32), lengths)
        extra = {
            name: np.concatenate(
                [one.extra[name] if name in one.extra else np.zeros(len(one), np.float32) for one in histories]
            )
            for name in shelf.extras
        }
        order = Order(
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            known=laid("known", np.int64),
            time=laid("time", np.int64),
            user=owner,
            item=np.where(unread, UNKNOWN, item).astype(np.int32),
            event_type=laid("event_type", np.int32),
            quantity=laid("quantity", np.float32),
            amount=laid("amount", np.float32),
            row=np.arange(len(item), dtype=np.int32),
            extra=extra,
        )
        ids = pl.Series(schema.USER, np.arange(len(histories), dtype=np.int64))
        pack = Pack(ids, shelf.ids, shelf.event_types, order, _empty(shelf))
        return cls(shelf, pack, np.bincount(owner[unread], minlength=len(histories)), written)

    def asked(self, at: int) -> Callable[[Task], tuple[Examples, Past]]:
        """Questions about every customer here, at one time (microseconds): they share one past."""
        customers, when = len(self.pending), np.full(len(self.pending), at)
        frame = pl.DataFrame([self.pack.user_ids, pl.Series(AT, when.astype("datetime64[us]")).cast(schema.CLOCK)])
        found = np.arange(customers, dtype=np.int32), when
        past: Past | None = None

        def ask(task: Task) -> tuple[Examples, Past]:
            nonlocal past
            examples = Examples(task, frame)
            past = past or Past(self, examples, found)
            return examples, past

        return ask


def _empty(shelf: Shelf) -> Order:
    """No rows by item: questions about items are answered from the whole log."""
    none = np.zeros(0, dtype=np.int64)
    number = none.astype(np.float32)
    extra = dict.fromkeys(shelf.extras, number)
    return Order(np.zeros(len(shelf) + 1, dtype=np.int64), none, none, none, none, none, number, number, none, extra)
