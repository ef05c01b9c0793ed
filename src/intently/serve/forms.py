"""Bodies of requests and answers, as the OpenAPI document shows them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from intently.serve.arrivals import EventIn, Id, OneAd

MOST_EVENTS = 1000
MOST_USERS = 200
MOST_ITEMS = 1000
MOST_ADS = 100
MOST_HISTORY = 2000


class Strict(BaseModel):
    """A body in which an unknown key is a fault."""

    model_config = ConfigDict(extra="forbid")


class EventBatch(Strict):
    """Up to 1,000 events; all are taken or none."""

    events: Annotated[list[EventIn], Field(min_length=1, max_length=MOST_EVENTS)]


class PostedHistory(Strict):
    """A history that is not kept: up to 2,000 events of one customer or visitor, in any order.

    An event without `arrived_at` became known when it happened.
    """

    events: Annotated[list[EventIn], Field(max_length=MOST_HISTORY)] = []
    tasks: Annotated[list[str], Field(max_length=50)] | None = None
    most: Annotated[int, Field(ge=1, le=100)] = 20


class ManyUsers(Strict):
    """Up to 200 customers."""

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_USERS)]
    tasks: Annotated[list[str], Field(max_length=50)] | None = None
    most: Annotated[int, Field(ge=1, le=100)] = 20
    max_age: Annotated[float, Field(ge=0, le=3600)] | None = None


class Wanted(Strict):
    """How many items, and the rules on what may be shown (docs/rules.md); the shop's own rules, without them."""

    most: Annotated[int, Field(ge=1, le=100)] = 10
    rules: dict[str, Any] | None = None


class Ads(Strict):
    """Up to 100 ads to be ranked, by the one question about showings that there is or by the one that is named."""

    ads: Annotated[list[OneAd], Field(min_length=1, max_length=MOST_ADS)]
    task: Annotated[str, Field(max_length=64)] | None = None


class ItemIn(BaseModel):
    """What is said of an item: its title, category, brand, price, and further texts, numbers or flags."""

    model_config = ConfigDict(extra="allow")
    item_id: Id
    title: Annotated[str, Field(min_length=1, max_length=2000)]


class ItemBatch(Strict):
    """Up to 1,000 items."""

    items: Annotated[list[ItemIn], Field(min_length=1, max_length=MOST_ITEMS)]


class Share(Strict):
    """The share of customers that a challenger answers; 0 is a shadow that nobody sees."""

    share: Annotated[float, Field(ge=0, le=1)]


class Meta(BaseModel):
    """What every answer says of itself."""

    model_version: str
    as_of: Annotated[str, Field(description="The answer is of this time (UTC): events known before it were seen.")]
    lag_seconds: Annotated[float | None, Field(description="From the newest event seen to the answer.")] = None


class Accepted(Meta):
    """What became of events: taken now, or known already by their event_id. They are on disk."""

    accepted: int
    duplicates: int
    event_ids: list[str]


class Streamed(Meta):
    """What became of a stream of events; `faults` names lines that were not taken (the first hundred)."""

    accepted: int
    duplicates: int
    rejected: int
    faults: list[dict[str, Any]]


class Scored(Meta):
    """Answers about one customer. `unread_items`: events of items whose text the model has not read yet."""

    user_id: str | None = None
    known: Annotated[bool, Field(description="Whether anything is known of the customer.")] = False
    events: int = 0
    unread_items: int = 0
    complete: Annotated[bool, Field(description="False until all items of the past have been read.")] = True
    answers: dict[str, Any] = {}


class ScoredMany(BaseModel):
    """Answers about several customers, in the order in which they were asked for."""

    results: list[Scored]


class ProblemBody(BaseModel):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    faults: list[Any] = []


class RankedAd(BaseModel):
    """One ad: the likeliest to be responded to has rank 1."""

    ad_id: str
    probability: float
    rank: int


class RankedAds(BaseModel):
    """Ads, the likeliest first; `tells_apart` says whether the model reads the ads at all."""

    user_id: str
    task: str
    known: bool
    events: int
    model_version: str
    as_of: str
    lag_seconds: float | None
    tells_apart: bool
    ads: list[RankedAd]
