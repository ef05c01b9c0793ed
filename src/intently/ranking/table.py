"""The `[rules]` table of a config file, or of a file of its own, as `Rules`; every fault with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intently import toml
from intently.log import schema
from intently.log.expression import SqlFault, expression
from intently.ranking.rules import Boost, Rules
from intently.toml import Fault

TABLE = "rules"
_STRICT = ConfigDict(extra="forbid", strict=True)


class _Boost(BaseModel):
    model_config = _STRICT
    where: str
    factor: float = Field(gt=0)


class _Rules(BaseModel):
    model_config = _STRICT
    only: str | None = None
    categories: list[str] = Field(default_factory=list)
    category: str = schema.CATEGORY
    not_bought_days: float | None = Field(default=None, gt=0)
    per_category: int | None = Field(default=None, ge=1)
    boost: list[_Boost] = Field(default_factory=list)


def read(table: Any) -> tuple[Rules, list[Fault]]:
    """A `[rules]` table as rules, and what is wrong with it; the rules are empty where something is."""
    try:
        told = _Rules.model_validate(table)
    except ValidationError as error:
        return Rules(), toml.faults_of(error, _Rules)
    written: list[tuple[toml.Key, str]] = [(("only",), told.only)] if told.only is not None else []
    written += [(("boost", number, "where"), boost.where) for number, boost in enumerate(told.boost)]
    faults = []
    for key, text in written:
        try:
            expression(text)
        except SqlFault as fault:
            faults.append(Fault(key, fault.told()))
    if faults:
        return Rules(), faults
    boosts = tuple(Boost(boost.where, boost.factor) for boost in told.boost)
    rules = told.model_dump(exclude={"boost", "categories"})
    return Rules(**rules, categories=tuple(told.categories), boosts=boosts), []


def read_file(file: Path) -> Rules:
    """The rules of a TOML file with a `[rules]` table. Raises ConfigError that tells every fault with its line."""
    table, text = toml.read(file)
    rules, faults = read(table.get(TABLE, {}))
    found = [fault.under(TABLE) for fault in faults]
    if TABLE not in table:
        found.append(Fault((TABLE,), "there is no [rules] table"))
    toml.refuse(found, str(file), text)
    return rules
