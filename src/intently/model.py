"""The whole of Intently in one object: fit on a log, ask, save, load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from intently.contract import AT, Amount, Examples, OneOf, Past, Ranking, Shares, Task, YesNo
from intently.errors import ConfigError, DataError
from intently.learn.text_plan import TextPlan
from intently.log import schema
from intently.log.log import Log, moment
from intently.ranking import Rules, ruled
from intently.tasks import BUILT_IN, EVERY
from intently.text.language_model import PACKAGED, Progress, silent

if TYPE_CHECKING:
    from intently.learn.trained import Trained


@dataclass(frozen=True)
class LanguageModel:
    """A pre-trained language model fine-tuned on a shop's log, with the tasks it answers.

    `model` is a name or a folder, `preset` how much work fitting may take (fast, balanced, best),
    `adapt` whether the language model itself is tuned (frozen, lora), and
    `method` how it is fine-tuned on questions about events (one of `learn.methods.METHODS`), with what `text` says
    of that. With `fallback`, a task with too little to learn from is served by a simple predictor, and
    `trained.fallback` says why.
    """

    tasks: Sequence[Task] = BUILT_IN
    preset: str = "fast"
    model: str = PACKAGED
    adapt: str = "frozen"
    method: str = "full"
    text: TextPlan = field(default_factory=TextPlan)
    threads: int = 2
    seed: int = 0
    fallback: bool = False
    trained: Trained | None = None

    def fit(self, log: Log, until: date | str | None = None, progress: Progress = silent) -> Self:
        """Learn from what was known before `until` (the end of the log without it).

        Here and below, a date is its midnight, and what names no zone is UTC.
        """
        from intently.learn.fallback import train_or_fall_back

        trained = train_or_fall_back(
            log,
            _time(until, log.observed_until),
            tuple(self.tasks),
            fallback=self.fallback,
            preset=self.preset,
            model=self.model,
            adapt=self.adapt,
            method=self.method,
            text=self.text,
            threads=self.threads,
            seed=self.seed,
            progress=progress,
        )
        return replace(self, trained=trained)

    def predict(self, task: str, log: Log, at: date | str | None = None) -> pl.DataFrame:
        """The answers to a task of everyone who can be asked at `at` (the end of the log without it).

        One row per asked one (and rank): the original id, `at`, and `score`, or `mean, low, high`, or a
        column per label (a label called `at` in `label_at`), or `item_id, score, rank`. Events known at `at` or later
        are not seen.
        """
        when = _time(at, log.observed_until)
        examples, scores = self._trained().predict(task, log.before(when), when)
        return scores.frame(examples)

    def about(
        self, user: object, log: Log, at: date | str | None = None, k: int = 10, rules: Rules | None = None
    ) -> dict[str, Any]:
        """Every answer about one customer as plain values: the best `k` items that `rules` allow, and the rest.

        A question that is not asked of them (its `among` does not hold) has no answer: `not_asked` names it, and why.
        Raises DataError for a customer without an event before `at`.
        """
        when = _time(at, log.observed_until)
        return _about(self._trained(), log.before(when), user, when, k, rules)

    def save(self, folder: str | Path, log: Log) -> None:
        """Write a bundle: a folder of safetensors and JSON."""
        from intently.ship.bundle import save

        save(self._trained(), log, folder)

    @classmethod
    def load(cls, folder: str | Path, tasks: Sequence[Task] = EVERY) -> Self:
        """Read a bundle; `tasks` are the questions known here."""
        from intently.ship.bundle import load

        trained = load(folder, tasks)
        return cls(tasks=trained.tasks, trained=trained)

    def _trained(self) -> Trained:
        if self.trained is None:
            raise ConfigError("The model has not been fitted.", mend="Call fit first, and use what it returns.")
        return self.trained


def _time(at: date | str | None, default: datetime) -> datetime:
    return default if at is None else moment(at)


def _about(trained: Trained, log: Log, user: object, when: datetime, k: int, rules: Rules | None) -> dict[str, Any]:
    ids = log.pack.user_ids
    wanted = pl.Series([str(user)]).cast(ids.dtype, strict=False)
    if wanted[0] is None or not ids.is_in(wanted.implode()).any():
        raise DataError(
            f"Customer {user!r} has no event before {when:%Y-%m-%d %H:%M}.",
            mend=f"Use an id of the log, such as {ids[0] if len(ids) else 'none'}, or a later time.",
        )
    told: dict[str, Any] = {schema.USER: wanted[0], AT: when.isoformat(), "answers": {}}
    asked = pl.DataFrame({schema.USER: wanted}).with_columns(pl.lit(when).cast(schema.CLOCK).alias(AT))
    for task in trained.tasks:
        if task.key != schema.USER:
            continue
        if not task.is_asked(wanted[0], log, when):
            why = "its `among` does not hold over the past of this customer"
            told.setdefault("not_asked", {})[task.name] = why
            continue
        examples = Examples(task, asked)
        past = Past(log, examples)
        scores = trained.answer(examples, past)
        if rules not in (None, Rules()) and isinstance(task.answer, Ranking) and task.answer.of == schema.ITEM:
            assert rules is not None
            scores = ruled(scores, past, rules, k)
        frame = scores.frame(examples)
        match task.answer:
            case Ranking(of=of):
                said = [of, *(name for name in (schema.TITLE, schema.CATEGORY) if name in log.items.columns)]
                best = frame.head(k).join(log.items.select(said), on=of, how="left", maintain_order="left")
                told[task.name] = best.drop(schema.USER, AT).to_dicts()
            case YesNo():
                told["answers"][task.name] = round(float(frame["score"][0]), 4)
            case Amount(unit=unit):
                row = frame.row(0, named=True)
                told["answers"][task.name] = {part: round(row[part], 2) for part in ("mean", "low", "high")} | {
                    "unit": unit
                }
            case Shares():
                shares = sorted(zip(scores.labels, scores.values[0].tolist(), strict=True), key=lambda pair: -pair[1])
                told["answers"][task.name] = {label: round(share, 4) for label, share in shares[:5]}
            case OneOf():
                chances = zip(scores.labels, scores.values[0].tolist(), strict=True)
                told["answers"][task.name] = {label: round(chance, 4) for label, chance in chances}
    return told
