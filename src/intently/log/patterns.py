"""What personal data looks like in free text, and what only resembles it: one rule after the other.

A rule is a pattern and a function that takes a match to the span to mask, or to None. Rules are tried in order and
what one has claimed is closed to those after it; a rule without a kind claims what must be left as it is.
All work on plain text: half-width digits and signs, as `mask.plain` gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from intently.log import checksums

Span = tuple[int, int]


@dataclass(frozen=True)
class Rule:
    """A kind of personal data (none for what must be left), its pattern, and which part of a match to take.

    `screen` is a pattern without look-around, as polars needs it, that holds wherever the rule could find something.
    `digits` says that what it finds has seven digits near each other.
    """

    kind: str | None
    pattern: re.Pattern[str]
    span: Callable[[re.Match[str]], Span | None]
    screen: str
    digits: bool


_LOOK_AROUND = re.compile(r"\(\?<?[!=](?:[^()\\\[]|\\.|\[[^\]]*\])*\)")


def _rule(
    kind: str | None,
    pattern: str,
    span: Callable[[re.Match[str]], Span | None],
    screen: str | None = None,
    *,
    digits: bool = True,
) -> Rule:
    # Without what it looks at around a match, a pattern holds in more places, never in fewer.
    loose = re.sub(r"\(\?P<\w+>", "(?:", _LOOK_AROUND.sub("", pattern))
    return Rule(kind, re.compile(pattern, re.IGNORECASE), span, f"(?i){screen or loose}", digits)


# --- What stands before a number says what it is. ---

_FILLER = (
    r"(?:号码?|编号|是|为|在|请|我|我的|no\.?|nr\.?|num(?:ber)?s?|id|code|is|was|me|us|him|her|at|on|back|to|or|the|my|and|"
    r"please|direct(?:ly)?|[\s:=#.,，。、*'\"()-])*$"
)
_PHONE_WORDS = (
    r"(?:电话|手机|我的号码?|联系方式|联系人?|致电|拨打|打给|打我|来电|热线|座机|固话|传真|短信|加我|微信|vx|v信|"
    r"(?<![a-z])(?:whats\s?app|we\s?chat|tel(?:ephone)?|phone|mobile|mob|cell|call|ring|text|sms|dial|fax|"
    r"reach|telefon|handy|tél(?:éphone)?|teléfono|móvil|numéro))"
)
_PHONE = re.compile(_PHONE_WORDS + _FILLER, re.IGNORECASE)
_ORDER = re.compile(
    r"(?:订单|单号|运单|快递|物流|流水|交易|发票|货号|型号|款号|条码|条形码|批号|序列号|商品|编码|编号|"
    r"(?<![a-z])(?:order|invoice|ref(?:erence)?|tracking|parcel|shipment|consignment|awb|waybill|serial|s/n|imei|part|"
    r"model|lot|batch|item|product|article|sku|ean|upc|gtin|isbn|asin|barcode|transaction|receipt|ticket|case|"
    r"account\sref|bestellung|bestellnr|commande|pedido))" + _FILLER,
    re.IGNORECASE,
)
_ORDER_AFTER = re.compile(r"\s?(?:是|为|is)(?:我的|my|the|\s)*(?:订单|单号|运单|order|tracking|invoice)", re.IGNORECASE)
_CARD = re.compile(
    r"(?:银行卡|信用卡|储蓄卡|借记卡|卡号|(?<![a-z])(?:card|visa|mastercard|amex|unionpay))" + _FILLER, re.IGNORECASE
)
_MAIL = re.compile(r"(?:邮箱|邮件|e-?mail|mail|contact|write|reach)" + _FILLER, re.IGNORECASE)
_LOOK_BACK = 40


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - _LOOK_BACK) : match.start()]


def _is_code(match: re.Match[str]) -> bool:
    """Part of a longer code (`ORD-415-555-2671`), or named as an order, an article, a parcel."""
    before, after = _before(match), match.string[match.end() : match.end() + _LOOK_BACK]
    if _ORDER_AFTER.match(after):
        return True
    if _PHONE.search(before):
        return False
    glued = re.search(r"[A-Za-z0-9_][-_#/.]?$", before) or re.match(r"[A-Za-z_]|[-_.,][0-9]", after)
    return glued is not None or _ORDER.search(before) is not None


def _digits(text: str) -> str:
    return "".join(sign for sign in text if sign.isdigit())


def _solid(text: str) -> str:
    return "".join(sign for sign in text if sign.isalnum()).upper()


# --- E-mail. ---

# Letters of any script that is written with spaces: Chinese, Japanese and Korean text may touch an address.
_LETTER = r"[^\W_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]"
_LOCAL = re.compile(rf"(?:{_LETTER}|[_+])(?:{_LETTER}|[._%+'-]){{0,63}}$")
_PROVIDER = (
    r"(?:gmail|googlemail|hotmail|outlook|live|yahoo|icloud|qq|foxmail|163|126|139|189|sina|sohu|aliyun|gmx|web|"
    r"proton(?:mail)?|aol|yeah)"
)
_ENDING = r"(?:com|net|org|cn|de|fr|uk|io|me|co|eu|info|edu|hk|tw)(?![A-Za-z])"
_NAMES = rf"(?:(?:{_LETTER}|-){{1,63}}\.){{1,6}}[A-Za-z]{{2,24}}"
_DOT = r"(?:\s?[(\[{<]\s?(?:dot|点|\.)\s?[)\]}>]\s?|\s+dot\s+|点|\s?[.,。]\s?)"
_LABEL = rf"(?:{_LETTER}|-){{1,63}}"
_LOOSE = rf"(?:{_PROVIDER}{_DOT}(?:{_ENDING}{_DOT})?{_ENDING}|{_LABEL}(?:{_DOT}{_LABEL}){{0,3}}{_DOT}{_ENDING})"
_FILE = re.compile(r"\.(?:png|jpe?g|gif|webp|svg|css|js|html?|pdf|py)$", re.IGNORECASE)
_SENTENCE = re.compile(r"^[^A-Z]+\.[^A-Z]+(?=\.[A-Z][a-z]+$)")


def _address(match: re.Match[str]) -> Span | None:
    """The local part is read backwards from the sign between it and the domain."""
    sign, domain = match.group("at"), match.group("domain")
    begin = match.start("at")
    local = _LOCAL.search(match.string[max(0, begin - 64) : begin])
    if local is None or _FILE.search(domain):
        return None
    start, end = begin - len(local.group()), match.end()
    if sign != "@" and not _GATED.fullmatch(sign):
        # "look at shop.com", "sale @ shop.com": an address only if something more says so.
        known = re.match(_PROVIDER + r"(?![A-Za-z0-9-])", domain, re.IGNORECASE)
        named = re.search(r"[0-9._]", local.group()) and sign.strip() == "@"
        mail = _MAIL.search(match.string[max(0, start - _LOOK_BACK) : start])
        if not (known and local.group().lower() not in _WORDS) and not named and not mail:
            return None
    sentence = _SENTENCE.match(domain)  # "write to me@shop.com.Thanks"
    return start, match.start("domain") + sentence.end() if sentence else end


_GATED = re.compile(r"\s?[(\[{<]\s?(?:at|@|a|艾特)\s?[)\]}>]\s?", re.IGNORECASE)
_WORDS = {
    "look",
    "bought",
    "order",
    "ordered",
    "shop",
    "available",
    "found",
    "search",
    "sold",
    "mail",
    "email",
    "is",
    "me",
}
_AT = r"\s?@\s?"
_AT_HIDDEN = rf"{_GATED.pattern}|\s+at\s+|\s?艾特\s?|#"


# --- Phones. ---

# Where a number without a country code may be from.
_REGIONS = ("GB", "FR", "DE", "NL", "IT", "BE", "CH", "AT", "IE", "SE", "AU", "NZ", "JP", "KR", "TW", "ZA")
_EXTENSION = r"(?:\s?(?:ext\.?|x|转|分机|-)\s?[0-9]{1,6})?"


def _parsed(number: str, region: str | None, *, strict: bool) -> bool:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_valid_number(parsed) if strict else phonenumbers.is_possible_number(parsed)


def _international(match: re.Match[str]) -> Span | None:
    """`+` or `00` and a country: the longest run of groups that is a number of that country."""
    text = match.group()
    plus = text.startswith("+")
    if not plus and _is_code(match):
        return None
    ends = [at for at in range(len(text), 7, -1) if text[at - 1].isdigit() and not text[at : at + 1].isdigit()]
    for strict in (True, False) if plus else (True,):
        for end in ends:
            digits = _digits(text[:end].replace("(0)", ""))
            number = "+" + (digits if plus else digits.removeprefix("00"))
            if len(number) >= 9 and _parsed(number, None, strict=strict):
                return match.start(), match.start() + end
    return None


def _phone(match: re.Match[str]) -> Span | None:
    return None if _is_code(match) else match.span()


def _chinese_landline(match: re.Match[str]) -> Span | None:
    return match.span() if not _is_code(match) and _parsed(match.group("number"), "CN", strict=True) else None


def _national(match: re.Match[str]) -> Span | None:
    """A leading 0 and the number of some country. Without spaces only a mobile, or where the text speaks of phones."""
    import phonenumbers
    from phonenumbers import PhoneNumberType

    if _is_code(match):
        return None
    text = match.group()
    for region in _REGIONS:
        if not _parsed(text, region, strict=True):
            continue
        kind = phonenumbers.number_type(phonenumbers.parse(text, region))
        if kind == PhoneNumberType.MOBILE or not text.isdigit():
            return match.span()
    return None


def _said_to_be_phone(match: re.Match[str]) -> Span | None:
    return match.span() if _PHONE.search(_before(match)) and not _is_code(match) else None


# --- Cards, accounts, identity. ---


def _card(match: re.Match[str]) -> Span | None:
    text = match.group()
    said = _CARD.search(_before(match)) is not None
    if not said and _is_code(match):
        return None
    ends = [at for at in range(len(text), 12, -1) if text[at - 1].isdigit() and not text[at : at + 1].isdigit()]
    for end in ends:
        digits = _digits(text[:end])
        groups = re.split(r"[ .-]+", text[:end])
        whole = len(groups) == 1 or len(groups[0]) in (4, 6)
        if 13 <= len(digits) <= 19 and whole and (checksums.card(digits) or (said and len(digits) >= 15)):
            return match.start(), match.start() + end
    return None


def _iban(match: re.Match[str]) -> Span | None:
    """The text may go on in capitals: as many signs are taken as the country's numbers have."""
    text = match.group()
    length = checksums.IBAN_LENGTHS.get(text[:2].upper(), 0)
    taken = 0
    for at, sign in enumerate(text):
        taken += sign.isalnum()
        if taken == length:
            return (match.start(), match.start() + at + 1) if checksums.iban(_solid(text[: at + 1])) else None
    return None


def _proved(proof: Callable[[str], bool], *, code: bool = True) -> Callable[[re.Match[str]], Span | None]:
    """The whole match, where a check digit holds and (with `code`) the text does not call it an order or an article."""

    def span(match: re.Match[str]) -> Span | None:
        return match.span() if proof(_solid(match.group())) and not (code and _is_code(match)) else None

    return span


def _insurance(match: re.Match[str]) -> Span | None:
    """A British number has no check digit: run together in small letters it is a code like any other."""
    text = match.group()
    if _is_code(match) or text[:2].upper() in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"):
        return None
    return match.span() if text.isupper() or " " in text else None


def _whole(match: re.Match[str]) -> Span | None:
    return match.span()


def _named(match: re.Match[str]) -> Span | None:
    """Only what follows the word that names it."""
    return match.span("named")


_NO_DIGIT_BEFORE = r"(?<![0-9])(?<![0-9][-.])"
_END = r"(?![0-9])"
_YEAR, _MONTH, _DAY = r"(?:19|20)[0-9]{2}", r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12][0-9]|3[01])"

RULES = (
    _rule(
        "email",
        rf"(?P<at>{_AT})(?P<domain>{_NAMES}|{_PROVIDER}(?:{_DOT}{_ENDING}|(?![A-Za-z0-9.-])))",
        _address,
        "@",
        digits=False,
    ),
    _rule(
        "email",
        rf"(?P<at>{_AT_HIDDEN}|@)(?P<domain>{_LOOSE})",
        _address,
        r"@|[(\[{<]\s?(?:at|a|艾特)\s?[)\]}>]|\sat\s+[\w-]+(?:\s?\.\s?[a-z]|\s+dot\s|点)|艾特|#[\w-]+\s?(?:[.,。点]|\s+dot\s)",
        digits=False,
    ),
    _rule("phone", r"(?:wa\.me/|tel:)(?P<named>\+?[0-9]{7,15})", _named),
    _rule("iban", r"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}", _iban, digits=False),
    _rule(
        "id",
        r"(?<![0-9A-Z])[1-9][0-9]{5}[ -]?(?:18|19|20)[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{3}[0-9X](?![0-9A-Z])",
        _proved(checksums.chinese_resident, code=False),
    ),
    _rule(
        "id",
        r"(?:身份证号?码?|证件号码?|护照号?码?|港澳通行证|驾驶?证号?码?|(?<![a-z])(?:id card|identity card|passport|"
        r"driv(?:er'?s?|ing) licen[cs]e|ssn|social security|national insurance|ni number))"
        r"(?:\s|[:：=#(]|号码?|是|为|no\.?|number|is|my)*"
        r"(?P<named>[A-Z]{0,2}[0-9](?:[ -]?[0-9]){5,17}(?:[ -]?[A-Z])?)(?![0-9A-Z])",
        _named,
        digits=False,
    ),
    # What is left as it is.
    _rule(None, r"(?:https?://|www\.)[!-~]+", _whole),
    _rule(
        None,
        rf"(?<![0-9]){_YEAR}[-/.年]{_MONTH}[-/.月]{_DAY}日?(?![0-9])(?:[T\s]+[0-9]{{1,2}}:[0-9]{{2}}(?::[0-9]{{2}})?)?",
        _whole,
    ),
    _rule(None, rf"(?<![0-9])(?:{_DAY}[-/.]{_MONTH}|{_MONTH}[-/.]{_DAY})[-/.]{_YEAR}(?![0-9])", _whole),
    _rule(None, rf"(?<![0-9]){_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[0-9]{{6}})?(?![0-9-])", _whole),
    _rule(None, rf"(?<![0-9-]){_YEAR}\s?[-–~/至到]\s?{_YEAR}(?![0-9-])", _whole),
    _rule(None, r"(?<![0-9A-Z])1Z[ 0-9A-Z]{16,22}(?![0-9])", _whole),
    _rule(
        None,
        r"(?<![0-9])(?<![0-9][-.\s])[0-9][0-9.]*\s?(?:mm|cm|m|in|\")?(?:\s?[x×*✕]\s?[0-9][0-9.]*\s?(?:mm|cm|m|in|\")?){1,3}(?![0-9])",
        _whole,
    ),
    _rule(None, r"[$€£¥￥₹][ ]?[0-9][0-9,.]*", _whole),
    _rule(
        None,
        r"(?<![0-9])(?<![0-9][-.\s])[0-9][0-9,.]*\s?(?:元|円|usd|eur|gbp|cny|rmb|jpy|dollars?|euros?|pounds?|mah|kg|ml|%)(?![A-Za-z])",
        _whole,
    ),
    # Cards before phones: the groups of a card hold phones.
    _rule("card", rf"{_NO_DIGIT_BEFORE}[1-9][0-9](?:[ .-]{{0,2}}[0-9]){{11,18}}{_END}", _card),
    # A parcel's number in groups of four.
    _rule(None, r"(?<![0-9])[0-9]{4}(?: [0-9]{4}){4}(?: [0-9]{2,4})?(?![0-9])", _whole),
    _rule("id", rf"{_NO_DIGIT_BEFORE}[1-9][0-9]{{14}}{_END}", _proved(checksums.chinese_resident)),
    _rule("id", rf"{_NO_DIGIT_BEFORE}[0-9]{{3}}-[0-9]{{2}}-[0-9]{{4}}{_END}", _proved(checksums.social_security)),
    _rule(
        "id",
        r"(?<![0-9A-Z])[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\s?[0-9]{2}\s?[0-9]{2}\s?[0-9]{2}\s?[A-D](?![0-9A-Z])",
        _insurance,
        digits=False,
    ),
    _rule(
        "id", r"(?<![0-9A-Z])(?:[0-9]{8}|[XYZ]-?[0-9]{7})[ -]?[A-HJ-NP-TV-Z](?![0-9A-Z])", _proved(checksums.spanish)
    ),
    _rule(
        "id",
        r"(?<![0-9A-Z])[12] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}(?![0-9])",
        _proved(checksums.french_insurance),
    ),
    _rule("id", r"(?<![0-9])[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}(?![0-9])", _proved(checksums.brazilian)),
    _rule("id", r"(?<![0-9A-Z])[A-Z]{1,2}[0-9]{6}\([0-9A]\)", _proved(checksums.hong_kong)),
    _rule("id", r"(?<![0-9A-Z])[A-Z][12][0-9]{8}(?![0-9A-Z])", _proved(checksums.taiwanese)),
    _rule("id", r"(?<![0-9])[0-9]{6}-[1-4][0-9]{6}(?![0-9])", _proved(checksums.korean)),
    _rule("phone", r"(?<![0-9A-Z])\+\s?\(?[1-9](?:[\s./()-]{0,3}[0-9]){6,14}(?![0-9])", _international),
    _rule("phone", r"(?<![0-9A-Z.,-])00\s?[1-9](?:[\s./()-]{0,3}[0-9]){7,13}(?![0-9])", _international),
    _rule(
        "phone",
        rf"{_NO_DIGIT_BEFORE}(?:\(?86\)?[\s-]?)?1[3-9][0-9](?:[\s.-]{{0,3}}[0-9]{{4}}[\s.-]{{0,3}}[0-9]{{4}}|[\s-]?[0-9]{{3}}[\s-]?[0-9]{{5}}|"
        rf"[0-9][\s-]?[0-9]{{4}}[\s-]?[0-9]{{3}}){_END}",
        _phone,
    ),
    _rule(
        "phone",
        rf"{_NO_DIGIT_BEFORE}(?P<number>(?:\(0[1-9][0-9]{{1,2}}\)|0[1-9][0-9]{{1,2}})[\s-]{{0,2}}[2-8][0-9]{{2,3}}[\s-]?[0-9]{{4}}){_EXTENSION}{_END}",
        _chinese_landline,
    ),
    _rule(
        "phone",
        rf"{_NO_DIGIT_BEFORE}(?:1[\s.-])?(?:\([2-9][0-9]{{2}}\)[\s-]?|[2-9][0-9]{{2}}[\s.-])[2-9][0-9]{{2}}[\s.-][0-9]{{4}}{_EXTENSION}{_END}",
        _phone,
    ),
    _rule("phone", rf"{_NO_DIGIT_BEFORE}(?:400|800)[\s-][0-9]{{3,4}}[\s-][0-9]{{3,4}}{_END}", _phone),
    _rule(
        "phone",
        rf"{_NO_DIGIT_BEFORE}(?:\(0[1-9][0-9]{{0,4}}\)|0[1-9])(?:[\s./()-]{{0,3}}[0-9]){{7,10}}{_END}",
        _national,
    ),
    _rule(
        "phone",
        rf"{_NO_DIGIT_BEFORE}\(?[0-9](?:[\s.()-]{{0,2}}[0-9]){{6,14}}{_EXTENSION}{_END}",
        _said_to_be_phone,
        _LOOK_AROUND.sub("", _PHONE_WORDS) + r"[^0-9]{0,40}[0-9](?:[^0-9]{0,2}[0-9]){6}",
    ),
    _rule(
        "account",
        r"(?:微信号?|weixin|(?<![a-z])(?:we\s?chat|vx|v信|wx))(?:\s?id)?(?:号|是|为|\s|[:：=])*"
        r"(?P<named>(?<=[:：号是为])[a-z](?:[a-z0-9_-]){5,19}|(?<=[:：=号是为信\s])[a-z](?=[a-z_-]*[0-9_-])[a-z0-9_-]{5,19})(?![a-z0-9@])",
        _named,
        digits=False,
    ),
    _rule(
        "account",
        r"(?<![a-z])qq(?:号码?|群号?)?(?:\s|[:：]|号|是|为){0,3}(?P<named>[1-9][0-9]{4,10})(?![0-9])",
        _named,
        digits=False,
    ),
)
