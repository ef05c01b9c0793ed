"""How the language model learns questions about events, as `[text]` of intently.toml or --text says it.

Every setting is off, or as a method has it, where nothing is said. What does not go together, or not with a question,
is refused before any work.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import polars as pl

from intently.contract import AT, Amount, Examples, OneOf, Past, Predictor, Scores, Task, pooled, weekly
from intently.errors import ConfigError

if TYPE_CHECKING:
    from intently.learn.text_reader import TextReader
    from intently.log.log import Log

# How the language model and its head are trained together.
_TRAINING = ("epochs", "rate", "smoothing", "focus", "agreement", "attack", "attack_steps")
_LOW_RANK = ("lora", "adalora", "qlora")


@dataclass(frozen=True)
class TextPlan:
    """What may be said of it.

    `epochs`, `rate` (a multiple of the method's own learning rate), `rank` of low-rank matrices and `smoothing` of
    labels are what `intently search` looks for; without `epochs` the preset's. Few examples are read more often, until
    `fewest_steps` are done. `focus` is that of the focal loss, `agreement` the weight of R-Drop, `attack` the size of
    adversarial steps (FGM; with `attack_steps` > 1 PGD). `typos` and `drop_events` are the shares that a changed copy
    of each training text has of them. `few_labels` by contrast draws texts of one label together first; by `prompt`,
    the language model guesses the word of a label after the text, one of `words` or the label's own. `name_labels`
    reads the words of a label as one more text of it. `members` readers are trained, of several seeds or (`folds`) each
    without a fold of the customers; what is averaged is their `answers`, or the `weights` of folds to one reader.
    `self_taught` rounds learn from events without a label of which the reader is `sure`.
    """

    epochs: int | None = None
    fewest_steps: int = 200
    rate: float = 1.0
    rank: int = 8
    smoothing: float = 0.0
    focus: float = 0.0
    agreement: float = 0.0
    attack: float = 0.0
    attack_steps: int = 1
    typos: float = 0.0
    drop_events: float = 0.0
    few_labels: Literal["contrast", "prompt"] | None = None
    prompt: str = "It is about {word}."
    words: Mapping[str, str] = field(default_factory=dict)
    name_labels: bool = False
    members: int = 1
    folds: bool = False
    average: Literal["answers", "weights"] = "answers"
    self_taught: int = 0
    sure: float = 0.9

    def check(self, tasks: Sequence[Task], method: str, drawn: Collection[str] = ()) -> None:
        """Raise ConfigError where settings do not go together, or not with one of the questions about events.

        Those that are `drawn` by a search may do nothing with a method.
        """
        if self.members > 1 and self.self_taught:
            raise ConfigError("members and self_taught do not go together.", mend="Leave one of them out.")
        if self.members == 1 and (self.folds or self.average == "weights"):
            raise ConfigError("folds and average are of several members.", mend="Give members = 3, or leave them out.")
        if self.average == "weights" and method == "adalora":
            raise ConfigError(
                "Each AdaLoRA adapter keeps other ranks, and their weights cannot be averaged.",
                mend='Use method lora, or average = "answers".',
            )
        if self.few_labels is not None and method == "frozen":
            raise ConfigError(
                "few_labels trains the language model, and the method frozen leaves it as it is.",
                mend="Use --method full or lora, or leave few_labels out.",
            )
        self._owners()
        self._at_work(method, drawn)
        for_labels = ("smoothing", "focus", "agreement", "few_labels", "self_taught")
        said = [name for name in for_labels if getattr(self, name)]
        for task in tasks:
            if said and isinstance(task.answer, Amount):
                raise ConfigError(
                    f"{said[0]} is for labels, and {task.name} asks for an amount.",
                    mend=f"Leave {said[0]} out, or train {task.name} by itself with --tasks.",
                )
            if self.few_labels == "prompt":
                from intently.learn.prompt import Prompt

                Prompt(self.prompt, dict(self.words)).check(task.answer, task.name)
            if self.drop_events and isinstance(task.answer, OneOf):
                raise ConfigError(
                    f"drop_events changes the past, and labels as of {task.name} are read from the text alone.",
                    mend=f"Leave drop_events out, or train {task.name} by itself with --tasks.",
                )
            if self.name_labels and not isinstance(task.answer, OneOf):
                raise ConfigError(
                    f"name_labels reads the words of labels, and {task.name} has none.",
                    mend=f"Leave name_labels out, or train {task.name} by itself with --tasks.",
                )

    def _owners(self) -> None:
        """Raise ConfigError for a setting of something that is not asked for."""
        usual = TextPlan()
        for names, owner, there in (
            (("prompt", "words"), 'few_labels = "prompt"', self.few_labels == "prompt"),
            (("attack_steps",), "attack = 0.5", self.attack),
            (("sure",), "self_taught = 2", self.self_taught),
        ):
            alone = [name for name in names if getattr(self, name) != getattr(usual, name)]
            if alone and not there:
                raise ConfigError(
                    f"{alone[0]} does nothing by itself.", mend=f"Say {owner} too, or leave {alone[0]} out."
                )

    def idle(self, method: str) -> tuple[str, ...]:
        """The settings that change nothing with a method, said or not."""
        if method == "frozen":
            return *_TRAINING, "rank"
        # AdaLoRA's ranks are pruned by a schedule that goes by the epochs.
        own = [name for name in _TRAINING if name != "epochs" or method != "adalora"]
        contrast = own if self.few_labels == "contrast" else []
        return *contrast, *(() if method in _LOW_RANK else ("rank",))

    def _at_work(self, method: str, drawn: Collection[str]) -> None:
        """Raise ConfigError for a setting that changes nothing."""
        usual = TextPlan()
        said = [name for name in self.idle(method) if getattr(self, name) != getattr(usual, name) and name not in drawn]
        if not said:
            return
        name = said[0]
        if name == "rank":
            raise ConfigError(
                f"rank is of low-rank matrices, and the method {method} has none.",
                mend="Use --method lora, or leave rank out.",
            )
        if method == "frozen":
            raise ConfigError(
                f"{name} is for training the language model, and the method frozen leaves it as it is.",
                mend=f"Use --method full or lora, or leave {name} out.",
            )
        raise ConfigError(
            f"{name} changes nothing where few_labels draws texts together by contrast, with steps of its own.",
            mend=f"Leave {name} out, or few_labels.",
        )

    def said(self) -> dict[str, Any]:
        """The settings that are not as they come, as a table `text`; nothing where all are."""
        usual = TextPlan()
        told = {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}
        return {"text": told} if told else {}

    def reader(self, plain: TextReader) -> TextReader:
        """A text reader with these settings instead of its own."""
        from intently.learn.adversarial import Attack
        from intently.learn.augment import Augment, drop_events, typos
        from intently.learn.few_shot import Contrast
        from intently.learn.objective import Objective
        from intently.learn.prompt import Prompt

        changes = [typos(self.typos)] if self.typos else []
        changes += [drop_events(self.drop_events)] if self.drop_events else []
        attack = Attack(self.attack, steps=self.attack_steps) if self.attack else None
        return replace(
            plain,
            recipe=replace(
                plain.recipe,
                epochs=self.epochs or plain.recipe.epochs,
                fewest_steps=self.fewest_steps,
                rate=self.rate,
            ),
            sizes=replace(plain.sizes, rank=self.rank, alpha=2 * self.rank),
            objective=Objective(self.smoothing, self.focus, self.agreement, attack),
            augment=Augment(tuple(changes)) if changes else None,
            contrast=Contrast() if self.few_labels == "contrast" else None,
            prompt=Prompt(self.prompt, dict(self.words)) if self.few_labels == "prompt" else None,
            name_labels=self.name_labels,
        )

    def candidate(self, reader: TextReader, known: Log, labelled: Examples) -> Predictor:
        """What is trained of a reader: itself, an ensemble of it, or what it teaches itself.

        `known` says which events there are besides those labelled. Raises ConfigError, before anything is trained,
        where the model cannot guess words that it is to guess, or every event has a label.
        """
        from intently.learn.active import unlabelled
        from intently.learn.ensemble import Ensemble, of_folds
        from intently.learn.pseudo_label import Pseudo, self_taught

        if reader.prompt is not None:
            reader.prompt.try_on(reader.model, labelled.task.answer, labelled.task.name, reader.recipe.max_tokens)
        if self.self_taught:
            some = without_label(labelled, known)

            def taught(examples: Examples, past: Past) -> TextReader:
                # What was written later is not known where the choice is made.
                before = unlabelled(some.where(pl.col(AT) <= examples.at.max()), examples)
                fitted, _ = self_taught(reader, examples, before, known, Pseudo(self.self_taught, self.sure))
                return fitted

            return Taught(reader, taught)
        if self.members > 1 and self.average == "weights":
            return Taught(reader, lambda examples, past: of_folds(reader, self.members, examples, past))
        if self.members > 1:
            # By the reader's name: whatever is done with a reader is done with several that answer as one.
            return Ensemble(reader, self.members, self.folds, reader.name)
        return reader


def without_label(labelled: Examples, known: Log) -> Examples:
    """The events from the first of those labelled on of which nobody has said yet what is true.

    Raises ConfigError where there are none.
    """
    from intently.learn.active import unlabelled

    task, times = labelled.task, weekly(labelled.first, known.observed_until)
    asked = pooled([task.questions(known, at) for at in times])
    asked = Examples(task, asked.frame.unique(task.key, keep="first", maintain_order=True))
    found = unlabelled(unlabelled(asked, task.examples(known, times)), labelled)
    if not len(found):
        raise ConfigError(
            f"Every event that {task.name} asks about has a label: there is nothing for a reader to teach itself from.",
            mend="Leave self_taught out.",
        )
    return found


@dataclass(frozen=True)
class Taught:
    """A text reader that is not made by one fit; `fitted` is an ordinary one."""

    reader: TextReader
    make: Callable[[Examples, Past], TextReader]
    fitted: TextReader | None = None

    @property
    def name(self) -> str:
        """The reader's own name: it is one like any other."""
        return self.reader.name

    def answers(self, task: Task) -> bool:
        """Whatever the reader answers."""
        return self.reader.answers(task)

    def fit(self, examples: Examples, past: Past) -> Self:
        """Make the reader."""
        return replace(self, fitted=self.make(examples, past))

    def predict(self, examples: Examples, past: Past) -> Scores:
        """The answers of the reader that was made."""
        if self.fitted is None:
            raise ConfigError("This reader has not been fitted.", mend="Call fit with examples and their past.")
        return self.fitted.predict(examples, past)


def plain(predictor: Any) -> Any:
    """The predictor itself; of one that was made in another way, the ordinary one that it is."""
    return predictor.fitted if isinstance(predictor, Taught) else predictor
