"""Personal data kept out of a log: the `[protect]` section of the configuration, as a step of reading.

Free text is masked, personal columns are dropped, and ids of customers can be hashed with a key.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import polars as pl

from intently.errors import ConfigError
from intently.log import schema, values
from intently.log.findings import PLACEHOLDERS
from intently.log.mask import counted, masked
from intently.log.nearest import hint

# Columns that are known to hold a person's data, by the end of their name: `customer_email`, `收货人手机号`.
PERSONAL = frozenset(
    {
        *("email", "e_mail", "mail", "email_address", "phone", "phone_number", "telephone", "tel", "mobile", "cell"),
        *("mobile_number", "fax", "whatsapp", "wechat", "wechat_id", "first_name", "last_name", "full_name", "surname"),
        *(
            "given_name",
            "family_name",
            "middle_name",
            "maiden_name",
            "user_name",
            "username",
            "customer_name",
            "nickname",
        ),
        *("recipient", "recipient_name", "contact_name", "address", "address1", "address2", "address_line1", "street"),
        *(
            "address_line2",
            "address_line_1",
            "address_line_2",
            "postcode",
            "post_code",
            "postal_code",
            "zip",
            "zip_code",
        ),
        *("birth_date", "date_of_birth", "birthday", "birthdate", "dob", "ssn", "social_security_number", "passport"),
        *("passport_number", "national_id", "id_number", "id_card", "tax_id", "nino", "iban", "bank_account"),
        *("card_number", "credit_card", "ip", "ip_address", "device_id", "latitude", "longitude", "user_agent"),
        *(
            "姓名",
            "名字",
            "昵称",
            "用户名",
            "收货人",
            "收件人",
            "联系人",
            "手机",
            "手机号",
            "手机号码",
            "电话",
            "电话号码",
        ),
        *(
            "联系电话",
            "联系方式",
            "邮箱",
            "电子邮箱",
            "电子邮件",
            "身份证",
            "身份证号",
            "身份证号码",
            "证件号",
            "证件号码",
        ),
        *("护照", "护照号", "地址", "住址", "邮编", "生日", "出生日期", "银行卡", "银行卡号", "卡号", "微信", "微信号"),
    }
)
# `name` alone is a person's in the table of customers, and anything's in that of events.
_PERSONAL_OF_USERS = frozenset({"name", "qq"})

_OURS = {
    "events": {schema.USER, schema.ITEM, schema.TYPE, schema.TIME, schema.ARRIVED, schema.QUANTITY, schema.AMOUNT}
    | {schema.SESSION, schema.EVENT, schema.ABOUT},
    "items": {schema.ITEM, schema.PRICE},
    "users": {schema.USER},
}
_NEEDED = {schema.USER, schema.TYPE, schema.TIME, schema.SESSION, schema.ITEM, schema.TITLE}
_LOGGER = logging.getLogger(__name__)
_KEY_BYTES, _ID_BYTES = 32, 16
_SAMPLE = 1_000


@dataclass(frozen=True)
class Protect:
    """What is done with personal data when a log is read.

    `mask` replaces e-mails, phones, cards and identity numbers in every text column. `hash_ids` replaces ids of
    customers by a keyed hash of 128 bits, with the key in `key_file` (made where there is none). `personal` names
    further columns to drop; `allow` names columns that pass as they are, neither dropped nor masked.
    """

    mask: bool = True
    hash_ids: bool = False
    key_file: Path | None = None
    personal: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()

    @classmethod
    def written(cls, table: Mapping[str, Any], folder: Path) -> Self:
        """As the `[protect]` section of a file in `folder` says it."""
        kinds = {"mask": bool, "hash_ids": bool, "key_file": str, "personal": list, "allow": list}
        for name, value in table.items():
            if name not in kinds:
                raise ConfigError(
                    f"[protect] has no key {name!r}{hint(name, kinds)}.", mend=f"The keys are {', '.join(kinds)}."
                )
            if not isinstance(value, kinds[name]):
                raise ConfigError(
                    f"[protect] {name} = {value!r} is not of the right kind.",
                    mend='Write true or false for mask and hash_ids, "file" for key_file, ["column"] for the others.',
                )
        file = table.get("key_file")
        return cls(
            mask=table.get("mask", True),
            hash_ids=table.get("hash_ids", False),
            key_file=None if file is None else folder / Path(file).expanduser(),
            personal=tuple(map(str, table.get("personal", ()))),
            allow=tuple(map(str, table.get("allow", ()))),
        )

    def __post_init__(self) -> None:
        needed = sorted(_NEEDED & set(self.personal))
        if needed:
            raise ConfigError(
                f"The columns {needed} cannot be dropped as personal: a log needs them.",
                mend="Take them out of `personal`; set hash_ids = true to hide who the customers are.",
            )
        both = sorted(set(self.personal) & set(self.allow))
        if both:
            raise ConfigError(f"{both} are named in both `personal` and `allow`.", mend="Name each in one of them.")
        if self.hash_ids and self.key_file is None:
            raise ConfigError(
                "hash_ids needs a key.", mend="Set key_file to a file outside the data; it is made if it is not there."
            )


@dataclass(frozen=True)
class Protected:
    """The three tables without what was taken from them, and an account of it.

    `found` counts masked places by kind, `dropped` names columns as `table.column`, `notes` are for a person to read.
    """

    events: pl.DataFrame
    items: pl.DataFrame | None
    users: pl.DataFrame | None
    found: Mapping[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What was done, in one line; empty where nothing was."""
        parts = []
        if self.dropped:
            parts.append(f"dropped as personal: {', '.join(self.dropped)} (keep one by naming it in `allow`)")
        if self.found:
            parts.append("masked in texts: " + ", ".join(f"{count:,} {kind}" for kind, count in self.found.items()))
        return "; ".join([*parts, *self.notes])

    def say(self) -> Self:
        """Tell the log of the program what was done, and hand on."""
        if self.told:
            _LOGGER.warning("Personal data: %s.", self.told)
        return self


def protected(
    events: pl.DataFrame, items: pl.DataFrame | None, users: pl.DataFrame | None, protect: Protect | None = None
) -> Protected:
    """The tables of a log with personal columns dropped, texts masked and, if wished, ids hashed."""
    protect = protect or Protect()
    key = _key(protect.key_file) if protect.hash_ids and protect.key_file else None
    tables: dict[str, pl.DataFrame | None] = {"events": events, "items": items, "users": users}
    found: dict[str, int] = {}
    dropped: list[str] = []
    notes = _absent(tables, protect)
    for name, table in tables.items():
        if table is None:
            continue
        gone = [column for column in table.columns if _goes(name, table[column], protect)]
        dropped += [f"{name}.{column}" for column in gone]
        kept = table.drop(gone)
        if protect.mask:
            kept = _masked(name, kept, protect, found)
        if key is not None:
            kept = _hashed(kept, key)
        tables[name] = kept
    assert tables["events"] is not None
    if key is not None and protect.key_file and protect.key_file.stat().st_mode & 0o077:
        notes.append(f"others can read the key {protect.key_file}: chmod 600")
    if key is not None:
        notes += _placeholders(events)
    if key is None and _is_personal(events, schema.USER):
        notes.append("user_id holds e-mails or phone numbers, which every output then names: set hash_ids = true")
    return Protected(tables["events"], tables["items"], tables["users"], found, tuple(dropped), tuple(notes))


def asked_id(user: object, protect: Protect, known: pl.Series) -> str:
    """The id under which a customer stands in a protected log, from the shop's own id or from the hashed one.

    `known` are the ids of the log: an id that is there already is meant as it stands.
    """
    text = str(user)
    if not protect.hash_ids or protect.key_file is None or known.cast(pl.String).eq(text).any():
        return text
    return _hash(text, _key(protect.key_file))


def keyed(user: str, protect: Protect) -> str:
    """The hashed id of a customer, by the key of `protect`, which must have one."""
    assert protect.key_file is not None
    return _hash(user, _key(protect.key_file))


def named_personal(column: str, protect: Protect) -> bool:
    """Whether a column of events holds a person's data by its name, and is not allowed."""
    return column not in protect.allow and (column in protect.personal or _by_name(column, "events"))


def _goes(table: str, column: pl.Series, protect: Protect) -> bool:
    """Whether a column is dropped: declared, known by its name, whole numbers that are phones, or not readable."""
    name = column.name
    if name in protect.allow or name in _OURS[table]:
        return False
    if name in protect.personal:
        return True
    if table == "items" or column.dtype == pl.Boolean:
        return False
    if _by_name(name, table) or column.dtype in (pl.Binary, pl.Object):
        return True
    column = values.whole(column.fill_nan(None) if column.dtype.is_float() else column)
    return column.dtype.is_integer() and _is_personal(column.to_frame(), name)


def _by_name(name: str, table: str) -> bool:
    """`CustomerEmail`, `customer-email` and `billing.email` end in `email`; `email_opened` does not."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    words = re.sub(r"[\W_]+", "_", words).strip("_").lower()
    known = PERSONAL | _PERSONAL_OF_USERS if table == "users" else PERSONAL
    parts = words.split("_")
    if any("_".join(parts[start:]) in known for start in range(len(parts))):
        return True
    # Chinese names are not divided into words.
    return any(words.endswith(ending) for ending in known if not ending.isascii())


def _is_personal(table: pl.DataFrame, column: str) -> bool:
    """Whether most of a column's values are e-mails, phones or the like, judged by a sample."""
    if column not in table.columns or not (table.schema[column].is_integer() or table.schema[column] == pl.String):
        return False
    values = table[column].drop_nulls().head(_SAMPLE).unique().cast(pl.String)
    return len(values) > 0 and int((values != masked(values)).sum()) > 0.5 * len(values)


def _absent(tables: Mapping[str, pl.DataFrame | None], protect: Protect) -> list[str]:
    there = {column for table in tables.values() if table is not None for column in table.columns}
    return [
        f"{option} names {name!r}, which is no column of the log"
        for option, names in (("personal", protect.personal), ("allow", protect.allow))
        for name in names
        if name not in there
    ]


def _placeholders(events: pl.DataFrame) -> list[str]:
    """Events of an `unknown` or the like, told before they are hashed into one customer that looks like any other."""
    if schema.USER not in events.columns:
        return []
    names = events[schema.USER].cast(pl.String).str.strip_chars().str.to_lowercase()
    names = names.filter(names.is_in([name for name in PLACEHOLDERS if name]))
    called = ", ".join(map(repr, names.unique().sort().head(5)))
    return [f"{len(names):,} events are of customers called {called}: leave user_id empty there"] if len(names) else []


def _masked(name: str, table: pl.DataFrame, protect: Protect, found: dict[str, int]) -> pl.DataFrame:
    """Every text of a table but ids and types: what customers wrote may stand in any column."""
    for column in table.columns:
        if column in _OURS[name] or column in protect.allow:
            continue
        before = table[column]
        after = _clean(before, found)
        if after is not before:
            table = table.with_columns(after)
    return table


def _clean(column: pl.Series, found: dict[str, int]) -> pl.Series:
    """A column with its texts masked, at any depth; the column itself where nothing was found."""
    dtype = column.dtype
    if dtype.is_nested():
        return _clean_nested(column, found)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        texts = column.cast(pl.String)
    elif dtype == pl.String:
        texts = column
    else:
        return column
    after = masked(texts)
    if after is texts:
        return column
    earlier = counted(texts)
    for kind, count in counted(after).items():
        if count > earlier.get(kind, 0):
            found[kind] = found.get(kind, 0) + count - earlier.get(kind, 0)
    return after


def _clean_nested(column: pl.Series, found: dict[str, int]) -> pl.Series:
    """Lists and structs, read as JSON; a column in which something was found becomes text."""
    texts = column.to_frame("value").select(pl.struct("value").struct.json_encode().alias(column.name)).to_series()
    after = _clean(texts, found)
    return column if after is texts else after


def _hashed(table: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """Ids of customers, and sessions, which may stand for a customer, by their keyed hash: each distinct id once."""
    for column in (schema.USER, schema.SESSION):
        dtype = table.schema.get(column)
        # Another type is a fault of the log, and is said when the log is made.
        if dtype is None or not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)):
            continue
        # A blank is no id: its hash would be a customer, or a session, of all who have none.
        ids = values.blanks_emptied(pl.DataFrame({column: table[column].cast(pl.String)}), (column,))
        distinct = ids[column].drop_nulls().unique()
        hashes = pl.DataFrame(
            {column: distinct, "_hash": [_hash(text, key) for text in distinct]},
            {column: pl.String, "_hash": pl.String},
        )
        table = table.with_columns(
            ids.join(hashes, on=column, how="left", maintain_order="left")["_hash"].alias(column)
        )
    return table


def _hash(text: str, key: bytes) -> str:
    return hashlib.blake2b(text.encode(), key=key, digest_size=_ID_BYTES).hexdigest()


def _key(file: Path) -> bytes:
    """The key in a file, made with access for its owner only where there is none."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}.part")
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(secrets.token_hex(_KEY_BYTES) + "\n")
        try:
            # Whole or not at all: of two that start together, one makes the key and both read it.
            os.link(part, file)
        except FileExistsError:
            pass
        finally:
            part.unlink()
    text = file.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * _KEY_BYTES}}}", text):
        raise ConfigError(
            f"{file} does not hold a key: {2 * _KEY_BYTES} signs 0-9 and a-f are needed.",
            mend="Bring back the key that was there; a new one makes strangers of all customers. "
            "Name a file that does not exist to have one made.",
        )
    return bytes.fromhex(text)
