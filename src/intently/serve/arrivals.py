"""Events as they come over the wire: checked, masked, and made into what the state keeps."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from intently.errors import DataError
from intently.log import schema
from intently.log.mask import mask
from intently.log.protect import Protect, named_personal
from intently.log.protect import keyed as keyed_hash
from intently.serve.ads import Ad
from intently.serve.clock import micros
from intently.serve.event import Event

LONGEST_ID = 256
_DAY = 86_400_000_000
_MOST_NUMBERS = 32
# Python's own reading of a number takes 10_20, +7, spaces and other alphabets' digits too: those name other items.
_WHOLE = re.compile(r"-?[0-9]+")


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def readable(value: str) -> str:
    """A text without control characters or halves of signs; ValueError for another."""
    if any(ord(sign) < 32 or ord(sign) == 127 or 0xD800 <= ord(sign) < 0xE000 for sign in value):
        raise ValueError("no control characters")
    return value


def _writable(value: str) -> str:
    value.encode("utf-8")
    return value.replace("\x00", "")


# Whole numbers are taken as their text: a shop's own ids are often numbers.
Id = Annotated[
    str,
    BeforeValidator(_as_text, json_schema_input_type=str | int),
    StringConstraints(min_length=1, max_length=LONGEST_ID),
    AfterValidator(readable),
]
Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e12, le=1e12)]


class EventIn(BaseModel):
    """One event: who (`user_id`, or `session_id` for a visitor without a name) did what, when.

    `timestamp` is when it happened (UTC where no zone is given), `arrived_at` when the shop learned of it (now,
    without it). With an `event_id` it may be sent again: it counts once. Further keys that hold numbers are context.
    """

    model_config = ConfigDict(extra="allow")

    event_type: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[\w.:-]+$")]
    timestamp: datetime
    user_id: Id | None = None
    session_id: Id | None = None
    item_id: Id | None = None
    event_id: Id | None = None
    about: Id | None = None
    quantity: Number | None = None
    amount: Number | None = None
    text: Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_writable)] | None = None
    arrived_at: datetime | None = None


class OneAd(BaseModel):
    """An ad or a mailing as it would be shown: its words, the item that it is for, or both.

    What else is known of the event, and further keys, are read where the shop's own question sees them: text, numbers
    and true or false, as the log has them.
    """

    model_config = ConfigDict(extra="allow")
    ad_id: Id
    item_id: Id | None = None
    text: Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_writable)] | None = None
    event_id: Id | None = None
    session_id: Id | None = None
    about: Id | None = None
    quantity: Number | None = None
    amount: Number | None = None


@dataclass(frozen=True)
class Door:
    """What is done to every event on its way in: ids as the shop's log has them, texts masked, numbers kept.

    `numbers` are the further number columns that the model reads; others are not kept. `whole_items` says that the
    shop's item ids are whole numbers.
    """

    now: Callable[[], int]
    protect: Protect = field(default_factory=Protect)
    numbers: Callable[[], frozenset[str]] = frozenset
    whole_items: Callable[[], bool] = lambda: False

    def user(self, asked: str) -> str:
        """The id under which a customer stands in the state."""
        return keyed_hash(asked, self.protect) if self.protect.hash_ids else asked

    def item(self, asked: str) -> str:
        """The id under which an item stands in the state. Raises DataError where it can be none."""
        if not self.whole_items():
            return asked
        number = int(asked) if _WHOLE.fullmatch(asked) else 2**63
        if not -(2**63) <= number < 2**63:
            raise DataError("item_id is not a whole number.", mend="This shop's item ids are whole numbers.")
        return str(number)

    def ad(self, given: OneAd) -> Ad:
        """An ad as it would stand in the log."""
        item = None if given.item_id is None else self.item(given.item_id)
        known = {
            schema.EVENT: given.event_id,
            schema.SESSION: None if given.session_id is None else self.user(given.session_id),
            schema.ABOUT: given.about,
            schema.QUANTITY: given.quantity,
            schema.AMOUNT: given.amount,
        }
        more = {name: self._words(name, value) for name, value in (given.model_extra or {}).items()}
        return Ad(item, self._words(schema.TEXT, given.text), more | known)

    def take(self, given: EventIn) -> Event:
        """The event as it is kept. Raises DataError for what cannot be."""
        if given.user_id is None and given.session_id is None:
            raise DataError("Neither user_id nor session_id is given.", mend="Say who it was: one of the two.")
        now = self.now()
        happened = self._time(given.timestamp, now, "timestamp")
        # Nothing is known before it is sent: a clock that runs ahead must not move ours.
        arrived = now if given.arrived_at is None else min(self._time(given.arrived_at, now, "arrived_at"), now)
        session = None if given.session_id is None else self.user(given.session_id)
        user = session if given.user_id is None else self.user(given.user_id)
        assert user is not None
        return Event(
            event_id=given.event_id or uuid.uuid4().hex,
            user=user,
            kind=given.event_type,
            timestamp=happened,
            arrived=arrived,
            item=None if given.item_id is None else self.item(given.item_id),
            quantity=given.quantity,
            amount=given.amount,
            session=session,
            about=given.about,
            text=self._words(schema.TEXT, given.text),
            extra=self._context(given.model_extra or {}),
        )

    def _words(self, column: str, given: Any) -> Any:
        """Words that can be written, without what is personal in them; anything else as it is."""
        if not isinstance(given, str):
            return given
        given = given.encode("utf-8", errors="replace").decode("utf-8")
        return mask(given) if self.protect.mask and column not in self.protect.allow else given

    def _context(self, more: dict[str, Any]) -> dict[str, float]:
        kept = {}
        wanted = self.numbers()
        for name, value in more.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or name not in wanted:
                continue
            # A whole number may be too long to be a float at all.
            if named_personal(name, self.protect) or abs(value) > 1e12 or not math.isfinite(value):
                continue
            kept[name] = float(value)
        return dict(list(kept.items())[:_MOST_NUMBERS])

    def _time(self, given: datetime, now: int, name: str) -> int:
        moment = micros(given.replace(tzinfo=UTC) if given.tzinfo is None else given)
        if moment < 0 or moment > now + _DAY:
            raise DataError(f"{name} is before 1970 or over a day ahead.", mend="Send the time in UTC, as ISO 8601.")
        return moment
