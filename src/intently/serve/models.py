"""Models in service: loaded, warmed, swapped without a pause, rolled back, and tried on some customers."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from intently.contract import Answer, Ranking, Task
from intently.errors import ConfigError
from intently.learn.trained import Trained
from intently.log import schema
from intently.serve.standing import Shelf
from intently.ship.gate import EXPORTED

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(eq=False)
class Served:
    """A loaded model: `version` is of its content, `shelf` the catalogue whose texts it has read so far."""

    name: str
    version: str
    folder: Path
    trained: Trained
    contract: dict[str, Any]
    shelf: Shelf

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The questions that it answers of a customer as they stand."""
        return tuple(task.name for task in self.trained.tasks if of_customers(task))

    @cached_property
    def but_rankings(self) -> tuple[str, ...]:
        """What `scores` gives without a choice: rankings have a path of their own."""
        return tuple(name for name in self.tasks if name not in self.of_kind(Ranking))

    def of_kind(self, kind: type[Answer]) -> tuple[str, ...]:
        """Its questions about customers with one kind of answer."""
        return tuple(name for name in self.tasks if isinstance(self.trained.task(name).answer, kind))


@dataclass(frozen=True)
class Trial:
    """A challenger for a share of the customers, or for nobody: then it answers beside, unseen (a shadow)."""

    name: str
    share: float
    salt: str = "trial"

    def has(self, user: str) -> bool:
        """Whether a customer is the challenger's; always the same for the same customer."""
        number = int.from_bytes(hashlib.sha256(f"{self.salt}\x00{self.name}\x00{user}".encode()).digest()[:8], "big")
        return number / 2**64 < self.share


@dataclass(frozen=True)
class Line:
    """Who serves: the champion, who served before, and a trial. A value: it is exchanged whole."""

    champion: Served
    before: Served | None = None
    challenger: Served | None = None
    trial: Trial | None = None

    def of(self, user: str, tasks: Sequence[str]) -> Served:
        """The model that answers a customer: the champion, where the challenger cannot answer all that is asked."""
        if self.challenger is not None and self.trial is not None and self.trial.has(user):
            return self.challenger if {*tasks} <= {*self.challenger.tasks} else self.champion
        return self.champion

    @property
    def shadow(self) -> Served | None:
        """A challenger whose answers nobody sees."""
        return self.challenger if self.trial is not None and self.trial.share == 0 else None

    def told(self, given: Served) -> dict[str, Any]:
        """The names of who serves, as `Models.restore` reads them; "" stands for the bundle that was given."""
        names = (self.champion, self.before, self.challenger)
        champion, before, challenger = (None if one is None else "" if one is given else one.name for one in names)
        share = None if self.trial is None else self.trial.share
        told = {"champion": champion, "before": before, "challenger": challenger, "share": share}
        return {"given": given.version, **told}

    @property
    def loaded(self) -> tuple[Served, ...]:
        """Every model in memory, once."""
        return tuple(dict.fromkeys(one for one in (self.champion, self.before, self.challenger) if one is not None))


class Models:
    """The models of a service, of which `given` serves first.

    `folder` holds the bundles that may be loaded by name. `keep` is told of each change before it is made: one that
    cannot be kept is none; `changed` is told after it.
    """

    def __init__(
        self,
        folder: Path,
        given: Served,
        keep: Callable[[dict[str, Any]], None] = lambda _: None,
        changed: Callable[[Line], None] = lambda _: None,
    ) -> None:
        self.folder, self.given = folder, given
        self.line = Line(given)
        self._keep, self._changed = keep, changed
        self._lock = threading.Lock()

    @property
    def champion(self) -> Served:
        """The model in service."""
        return self.line.champion

    def find(self, name: str) -> Path:
        """The folder of a bundle by name: beside the first one, and nowhere else. Raises ConfigError."""
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "That is no name of a model.", mend="Name a bundle of the --models folder, such as spring-2."
            )
        folder = (self.folder / name).resolve()
        if folder.parent != self.folder.resolve() or not (folder / "contract.json").is_file():
            raise ConfigError(f"There is no model {name!r}.", mend=f"There are {', '.join(self.names()) or 'none'}.")
        return folder

    def names(self) -> list[str]:
        """The bundles that may be loaded."""
        found = (one.parent.name for one in self.folder.glob("*/contract.json"))
        return sorted(name for name in found if _NAME.fullmatch(name))

    def swap(self, served: Served) -> None:
        """Put a model into service; the one before is kept for a rollback, and a trial ends.

        One that is in service already changes nothing: who asks again has lost no way back.
        """
        with self._lock:
            champion = self.line.champion
            if (served.name, served.version) != (champion.name, champion.version):
                self._exchange(Line(served, champion))

    def roll_back(self) -> Served:
        """Put the model before back into service. Raises ConfigError where there is none."""
        with self._lock:
            if self.line.before is None:
                raise ConfigError("There is no model before this one.", mend="Load one by name.")
            self._exchange(Line(self.line.before, self.line.champion))
            return self.line.champion

    def try_out(self, served: Served, share: float) -> None:
        """Try a model on a share of the customers; 0 is a shadow."""
        with self._lock:
            self._exchange(replace(self.line, challenger=served, trial=Trial(served.name, share)))

    def end_trial(self) -> None:
        """End a trial: everybody is the champion's again."""
        with self._lock:
            self._exchange(replace(self.line, challenger=None, trial=None))

    def restore(self, told: object, load: Callable[[str], Served]) -> None:
        """Let those serve who did when `Line.told` was told, unless another bundle is given now than was then.

        Raises ConfigError where that is not what was told, BundleError where a bundle cannot be loaded.
        """
        if not isinstance(told, Mapping) or told.get("given") != self.given.version:
            return
        names = [told.get(role) for role in ("champion", "before", "challenger")]
        share = told.get("share")
        if not all(isinstance(name, str | None) for name in names) or not isinstance(share, int | float | None):
            raise ConfigError("What is kept of who serves cannot be read.", mend="Put the models into service again.")

        def named(name: str | None) -> Served | None:
            return None if name is None else self.given if name == "" else load(name)

        champion, before, challenger = map(named, names)
        trial = None if challenger is None or share is None else Trial(challenger.name, share)
        self.line = Line(champion or self.given, before, challenger, trial)

    def _exchange(self, line: Line) -> None:
        self._keep(line.told(self.given))
        self.line = line
        self._changed(line)


def of_customers(task: Task) -> bool:
    """Whether a question can be answered from a customer's own past; others need the whole shop."""
    return task.key == schema.USER and not (isinstance(task.answer, Ranking) and task.answer.unseen)


def version_of(folder: Path) -> str:
    """The date until which a bundle has learned, and a hash of all its files but those that were exported from it."""
    digest = hashlib.sha256()
    # What is being exported, or was left of that, is none of it either.
    beside = {*EXPORTED, *(f"{name}.part" for name in EXPORTED)}
    files = (path for path in folder.rglob("*") if path.is_file())
    for file in sorted(path for path in files if path.relative_to(folder).parts[0] not in beside):
        digest.update(str(file.relative_to(folder)).encode())
        digest.update(file.read_bytes())
    until = json.loads((folder / "contract.json").read_text(encoding="utf-8"))["until"][:10]
    return f"{until}-{digest.hexdigest()[:12]}"


def unread(items: pl.DataFrame, models: Sequence[Served]) -> dict[Served, list[str]]:
    """The texts of a catalogue that each model has not read yet."""
    from intently.text.verbalise import item_texts

    texts, _ = item_texts(items)
    found = {}
    for served in models:
        if served.trained.reader is not None:
            known = served.trained.reader.newest.texts
            found[served] = [text for text in texts if text not in known]
    return found
