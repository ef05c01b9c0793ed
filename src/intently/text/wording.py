"""The words by which a past is told, one table per language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intently.errors import ConfigError
from intently.log import schema


@dataclass(frozen=True)
class Wording:
    """How one language tells of events.

    `event` has a phrase for each usual event type with `{what}` in it, `other` the phrase for any other type. `ago`
    has a phrase per unit of time with `{n}`, in the order of UNITS. `quote` puts marks around what was written.
    `rate` tells of all events of a type: the `{phrase}`, how `{often}` a month, how often `{lately}`, and how long
    `{ago}` the last was.
    """

    event: Mapping[str, str]
    other: str
    something: str
    ago: tuple[tuple[str, str], ...]
    now: str
    amount: str
    units: str
    times: str
    quote: str
    comma: str
    stop: str
    colon: str
    nothing: str
    silent: str
    so_far: str
    rate: str
    often: str
    lately: str


# Days in each unit that ages are told in, the largest first.
UNITS = (365.25, 30.4375, 7.0, 1.0, 1 / 24)

EN = Wording(
    event={
        "view": "viewed {what}",
        "search": "searched {what}",
        "cart": "put {what} in the cart",
        "remove": "took {what} out of the cart",
        schema.BUY: "bought {what}",
        schema.RETURN: "returned {what}",
        "review": "reviewed {what}",
        "rating": "rated {what}",
        "impression": "was shown {what}",
        "click": "clicked on {what}",
        "mailing": "was sent {what}",
        "coupon": "used a coupon for {what}",
        "message": "wrote {what}",
        "support": "asked support {what}",
        "leave": "left {what}",
    },
    other="{kind} {what}",
    something="something",
    ago=(
        ("1 year ago", "{n} years ago"),
        ("1 month ago", "{n} months ago"),
        ("1 week ago", "{n} weeks ago"),
        ("1 day ago", "{n} days ago"),
        ("1 hour ago", "{n} hours ago"),
    ),
    now="just now",
    amount=" for {amount}",
    units="{n} x {what}",
    times=" {n} times",
    quote='"{text}"',
    comma="; ",
    stop=". ",
    colon=": ",
    nothing="no events yet",
    silent="(empty)",
    so_far="so far: {counts}. ",
    rate="{phrase}: {often} a month{lately}, last {ago}",
    often="{n}",
    lately=", lately {often}",
)

ZH = Wording(
    event={
        "view": "看了{what}",
        "search": "搜索{what}",
        "cart": "把{what}加入购物车",
        "remove": "从购物车移出{what}",
        schema.BUY: "买了{what}",
        schema.RETURN: "退了{what}",
        "review": "评价{what}",
        "rating": "打分{what}",
        "impression": "看到广告{what}",
        "click": "点击{what}",
        "mailing": "收到邮件{what}",
        "coupon": "用券买{what}",
        "message": "留言{what}",
        "support": "咨询客服{what}",
        "leave": "离开{what}",
    },
    other="{kind}{what}",
    something="某物",
    ago=(
        ("1年前", "{n}年前"),
        ("1个月前", "{n}个月前"),
        ("1周前", "{n}周前"),
        ("1天前", "{n}天前"),
        ("1小时前", "{n}小时前"),
    ),
    now="刚刚",
    amount=",{amount}元",
    units="{n}件{what}",
    times="{n}次",
    quote="“{text}”",
    comma=";",
    stop="。",
    colon=":",
    nothing="尚无事件",
    silent="(空)",
    so_far="此前:{counts}。",
    rate="{phrase}每月{often}{lately},最近{ago}",
    often="{n}次",
    lately=",近一月{often}",
)

WORDINGS: Mapping[str, Wording] = {"en": EN, "zh": ZH}


def wording_of(language: str) -> Wording:
    """The wording of a language. Raises ConfigError where there is none."""
    if language not in WORDINGS:
        raise ConfigError(f"There is no wording for {language!r}.", mend=f"Choose one of {', '.join(WORDINGS)}.")
    return WORDINGS[language]
