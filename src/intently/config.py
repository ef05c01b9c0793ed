"""`intently.toml`: where the data is, what is protected, how it is trained, and the shop's own questions.

[data] and [protect]   tables that `log` reads
[train]                until, preset, model, adapt, method, threads, seed, tasks; the command line wins over them
[text]                 how the language model learns questions about events, see docs/text-reader.md
[[tasks]]              own questions, see docs/own-questions.md
[rules]                what may be recommended, see docs/rules.md
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intently import own, toml
from intently.contract import Task
from intently.errors import ConfigError
from intently.learn.text_plan import TextPlan
from intently.ranking import Rules, table
from intently.toml import Fault

NAME = "intently.toml"


@dataclass(frozen=True)
class Training:
    """What `[train]` says; None where it says nothing. `until` is an ISO date or time."""

    until: str | None = None
    preset: str | None = None
    model: str | None = None
    adapt: str | None = None
    method: str | None = None
    threads: int | None = None
    seed: int | None = None
    tasks: tuple[str, ...] | None = None

    def over(self, **said: Any) -> Training:
        """These settings, with those of the command line (the ones that are not None) in their place."""
        return replace(self, **{name: value for name, value in said.items() if value is not None})


@dataclass(frozen=True)
class Config:
    """A config file read; `data` and `protect` are handed on as they are written."""

    file: Path | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    protect: Mapping[str, Any] = field(default_factory=dict)
    train: Training = field(default_factory=Training)
    text: Mapping[str, Any] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    rules: Rules = field(default_factory=Rules)

    def text_plan(self, said: Sequence[str] = ()) -> TextPlan:
        """What [text] says, with `key=value` of the command line in its place. Raises ConfigError for what is wrong."""
        told = dict(self.text)
        for one in said:
            name, _, value = one.partition("=")
            told[name.strip()] = _value(value.strip())
        try:
            return TextPlan(**_Text.model_validate(told).model_dump(exclude_unset=True))
        except ValidationError as error:
            toml.refuse(toml.faults_of(error, _Text), "--text", mend="Write it as in --text members=3.")
            raise

    def resolved(self, train: Training) -> dict[str, Any]:
        """What a run was made with, as plain values to be saved with it; passwords in URLs are left out.

        Own questions are not in it: a bundle keeps them with each task.
        """
        told = {"train": {name: value for name, value in asdict(train).items() if value is not None}}
        return _without_passwords({**told, "data": dict(self.data), "protect": dict(self.protect)})


class _Train(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    until: str | date | None = None
    preset: str | None = None
    model: str | None = None
    adapt: str | None = None
    method: str | None = None
    threads: int | None = Field(default=None, ge=1)
    seed: int | None = None
    tasks: list[str] | None = None


class _Text(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    epochs: int | None = Field(default=None, ge=1)
    fewest_steps: int = Field(default=200, ge=0)
    rate: float = Field(default=1.0, gt=0)
    rank: int = Field(default=8, ge=1)
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    focus: float = Field(default=0.0, ge=0)
    agreement: float = Field(default=0.0, ge=0)
    attack: float = Field(default=0.0, ge=0)
    attack_steps: int = Field(default=1, ge=1)
    typos: float = Field(default=0.0, ge=0, le=1)
    drop_events: float = Field(default=0.0, ge=0, le=1)
    few_labels: Literal["contrast", "prompt"] | None = None
    prompt: str = "It is about {word}."
    words: dict[str, str] = Field(default_factory=dict)
    name_labels: bool = False
    members: int = Field(default=1, ge=1)
    folds: bool = False
    average: Literal["answers", "weights"] = "answers"
    self_taught: int = Field(default=0, ge=0)
    sure: float = Field(default=0.9, gt=0, le=1)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    data: dict[str, Any] = Field(default_factory=dict)
    protect: dict[str, Any] = Field(default_factory=dict)
    train: _Train = Field(default_factory=_Train)
    text: _Text = Field(default_factory=_Text)
    tasks: list[dict[str, Any]] = Field(default_factory=list)
    rules: dict[str, Any] = Field(default_factory=dict)


def find(data: str | Path, config: Path | None) -> Path | None:
    """The config file that goes with some data: the named one, else the data's own, else none."""
    if config is not None:
        return config
    if "://" in str(data):
        return None
    folder = Path(data).expanduser()
    if folder.suffix == ".toml":
        return folder
    return folder / NAME if (folder / NAME).is_file() else None


def read(file: Path | None, taken: Sequence[str] = ()) -> Config:
    """Read a config file; an empty config without one. `taken` are names that an own question may not have.

    Raises ConfigError that tells every fault with its line.
    """
    if file is None:
        return Config()
    content, text = toml.read(file)
    faults: list[Fault] = []
    try:
        told = _File.model_validate(content)
    except ValidationError as error:
        faults, told = toml.faults_of(error, _File), None
    tables = content.get("tasks")
    tasks: list[Task] = []
    for number, one in enumerate(tables if isinstance(tables, list) else []):
        if not isinstance(one, dict):
            continue
        task, wrong = own.read(one)
        faults += [fault.under("tasks", number) for fault in wrong]
        name = one.get("name")
        if name in taken:
            faults.append(Fault(("tasks", number, "name"), f"{name!r} is the name of another question: choose its own"))
        if name in [other.name for other in tasks]:
            faults.append(Fault(("tasks", number, "name"), f"{name!r} is there twice"))
        tasks += [] if task is None else [task]
    rules, wrong = table.read(_table(content.get(table.TABLE)))
    faults += [fault.under(table.TABLE) for fault in wrong]
    toml.refuse(faults, str(file), text, mend="Nothing has been done yet; correct the file and try again.")
    assert told is not None
    text_said = told.text.model_dump(exclude_unset=True)
    return Config(file, told.data, told.protect, _training(told.train), text_said, tuple(tasks), rules)


def with_data(data: str | Path, file: Path | None, taken: Sequence[str] = ()) -> Config:
    """The config that goes with some data, with the `data` and `protect` that it is read by: those of its own TOML.

    Raises ConfigError that tells every fault, and where another file has [data], [protect] or [rules]: whoever reads
    this data, or recommends by it, without that file would not know of them.
    """
    beside, found = find(data, None), read(find(data, file), taken)
    if found.file is None or (beside is not None and found.file.resolve() == beside.resolve()):
        return found
    said = [f"[{name}]" for name in ("data", "protect") if getattr(found, name)]
    said += ["[rules]"] if found.rules != Rules() else []
    if said:
        shown = _without_passwords(str(data))
        raise ConfigError(
            f"{found.file}: {' and '.join(said)} would not hold: {shown} is not read by this file.",
            mend=f"Write that into {NAME} in the data's folder, or give a file that has [data] as --data.",
        )
    written = {} if beside is None else toml.read(beside)[0]
    return replace(found, data=_table(written.get("data")), protect=_table(written.get("protect")))


def _table(value: Any) -> dict[str, Any]:
    """The value where it is a table; that it should be one is said elsewhere."""
    return value if isinstance(value, dict) else {}


def _training(told: _Train) -> Training:
    until = told.until.isoformat() if isinstance(told.until, date) else told.until
    tasks = None if told.tasks is None else tuple(told.tasks)
    return Training(**(told.model_dump() | {"until": until, "tasks": tasks}))


def _value(said: str) -> Any:
    """A value of the command line as TOML reads it; what is no TOML is text."""
    try:
        return tomllib.loads(f"value = {'0' if said.startswith('.') else ''}{said}")["value"]
    except tomllib.TOMLDecodeError:
        return said


def _without_passwords(value: Any) -> Any:
    """The same values; `user:password@` in a URL becomes `user:***@`, and what is no plain value its text."""
    if isinstance(value, Mapping):
        return {name: _without_passwords(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_passwords(inner) for inner in value]
    if isinstance(value, str):
        return re.sub(r"(://[^/@:\s]*):[^@\s]*@", r"\1:***@", value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)
