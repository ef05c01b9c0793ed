"""What is wrong with a TOML file, said by line and key: unknown keys with the nearest known one, all at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from intently.errors import ConfigError, gathered

Key = tuple[str | int, ...]

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a table",
    "list_type": "a list",
    "tuple_type": "a list",
    "model_type": "a table",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong at one key of a table, such as ("tasks", 0, "horizon")."""

    key: Key
    said: str

    def under(self, *outer: str | int) -> Fault:
        """The same fault, seen from the table around."""
        return Fault((*outer, *self.key), self.said)


def read(file: Path) -> tuple[dict[str, Any], str]:
    """A TOML file as a table and as its text. Raises ConfigError where it is none, with the line."""
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {file}.", mend="Give the path of a TOML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not text in UTF-8.", mend="Save it again as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file} is not TOML: {error}.", mend="Text stands in quotes, as in name = 'tea'.") from error


def faults_of(error: ValidationError, model: type[BaseModel]) -> list[Fault]:
    """Pydantic's findings in plain words, an unknown key with the nearest known one."""
    return [Fault(_key(one["loc"]), _said(one, model)) for one in error.errors(include_url=False)]


def refuse(faults: Sequence[Fault], where: str, text: str = "", mend: str = "Correct the file.") -> None:
    """Raise one ConfigError that tells every fault with its line and key; do nothing without faults."""
    if not faults:
        return
    told = [f"{_place(fault.key, where, text)}: {fault.said}" for fault in sorted(faults, key=_order(text))]
    problem = gathered(told)
    if "\n" not in problem and not problem.endswith((".", "?")):
        problem += "."
    raise ConfigError(problem, mend=f"\n{mend}" if "\n" in told[-1] and len(told) == 1 else mend)


def line_of(text: str, key: Key) -> int | None:
    """The line (from 1) on which a key is written, or that of the nearest table around it."""
    best: tuple[int, int | None] = (0, None)
    counts: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = re.fullmatch(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"'\s-]+?)\s*\]\]?\s*(#.*)?", line)
        named = re.match(r"\s*([A-Za-z0-9_.\"'-]+)\s*=", line)
        if header:
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
            for length in range(len(table), 0, -1):
                if table[:length] in counts:
                    table = (*table[:length], counts[table[:length]], *table[length:])
                    break
            found = table
        elif named:
            found = (*table, *_parts(named[1]))
        else:
            continue
        if found == key[: len(found)] and len(found) > best[0]:
            best = (len(found), number)
    return best[1]


def _parts(dotted: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _key(loc: tuple[str | int, ...]) -> Key:
    return tuple(part for part in loc if not (isinstance(part, str) and part.startswith("function-")))


def _said(one: Any, model: type[BaseModel]) -> str:
    kind, loc = one["type"], one["loc"]
    if kind == "extra_forbidden":
        known = _names(model, loc[:-1])
        near = get_close_matches(str(loc[-1]), known, n=1, cutoff=0.0)
        return f"there is no such key; did you mean {near[0]!r}?"
    if kind == "missing":
        return "the key is missing"
    if kind in _WANTED:
        return f"{one['input']!r} is not {_WANTED[kind]}"
    return str(one["msg"]).removeprefix("Value error, ")


def _names(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """The keys that a table inside a model may have."""
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is not None:
            inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
            model = next((one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)), model)
    return list(model.model_fields)


def _place(key: Key, where: str, text: str) -> str:
    line = line_of(text, key)
    name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")
    return f"{where}, line {line}, {name}" if line else f"{where} {name}".strip()


def _order(text: str) -> Any:
    return lambda fault: line_of(text, fault.key) or 0
