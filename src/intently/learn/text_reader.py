"""The text reader: a language model that reads a past, and what is asked about, as words. A Predictor."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from intently.contract import Amount, Everyone, Examples, OneOf, Past, Scores, Task, YesNo
from intently.errors import BundleError, ConfigError, TooFewExamples
from intently.learn.augment import Augment
from intently.learn.calibrate import Calibration
from intently.learn.checkpoints import folder_of
from intently.learn.few_shot import Contrast, draw_together, label_words, shortened
from intently.learn.methods import Method, Sizes, applied, method_of
from intently.learn.objective import Objective
from intently.learn.prompt import Guess, Prompt, guesser_of
from intently.learn.text_finetune import Lessons, Run, TextRecipe, finetune_text, fit_head, trained_on
from intently.learn.text_network import TextNetwork, read_states
from intently.learn.text_truth import values_of
from intently.learn.text_weights import Pruned, base_of, cut, empty_model, put_weights, weights_of
from intently.learn.track import Tracker
from intently.log import schema
from intently.log.pack import Array
from intently.text.language_model import PACKAGED, Progress, load, silent
from intently.text.story import Story, Teller
from intently.text.tokens import Encoded, encode

FORMAT = 3
SETTINGS = "text_reader.json"
_WEIGHTS, _CALIBRATION = "weights.safetensors", "calibration.safetensors"
_MODEL = "language_model"


@dataclass(frozen=True)
class _Fitted:
    task: Task
    network: TextNetwork
    tokenizer: Any
    steps: int
    calibration: Calibration = field(default_factory=Calibration)
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class TextReader:
    """Any Hugging Face encoder or decoder, fine-tuned by one `method` to answer one question from words.

    Answers YesNo, OneOf and Amount questions about customers and about events. `model` is a name or a folder. With
    `contrast`, texts of one label are drawn together first, and then the head is trained alone: for few labels. With
    `prompt`, what the model learned in guessing words says what a label is, from the first step on. With
    `name_labels`, the words of each label are one more text of it. With `checkpoints`, a folder, an interrupted
    training that is begun again, the same in every part, goes on from its last whole epoch.
    """

    name: str = "text_reader"
    model: str = PACKAGED
    method: str = "lora"
    sizes: Sizes = field(default_factory=Sizes)
    recipe: TextRecipe = field(default_factory=TextRecipe)
    teller: Teller = field(default_factory=Teller)
    contrast: Contrast | None = None
    prompt: Prompt | None = None
    name_labels: bool = False
    objective: Objective = field(default_factory=Objective)
    augment: Augment | None = field(default=None, repr=False, compare=False)
    checkpoints: Path | None = None
    pruned: Pruned | None = None
    progress: Progress = field(default=silent, repr=False, compare=False)
    tracker: Tracker | None = field(default=None, repr=False, compare=False)
    fitted: _Fitted | None = field(default=None, repr=False, compare=False)

    def answers(self, task: Task) -> bool:
        """Whether the question has one answer that does not name items, and is not asked of items."""
        by_item = isinstance(task.asks, Everyone) and task.asks.key != schema.USER
        return isinstance(task.answer, YesNo | OneOf | Amount) and not by_item

    def fit(self, examples: Examples, past: Past) -> Self:
        """Fine-tune on examples with truth, from the pre-trained model, whatever was learned before.

        Raises TooFewExamples where there is one class only or nothing to tell texts apart by, and ConfigError where
        the settings do not go together.
        """
        import torch

        method = method_of(self.method)
        self._check(examples.task)
        values = values_of(examples)
        torch.manual_seed(self.recipe.seed)
        guesser = None if self.prompt is None else guesser_of(self.model)
        tokenizer, base = load(self.model) if guesser is None else (guesser.tokenizer, guesser.network)
        budget = self.budget(tokenizer, base, method)
        if self.prompt is not None:
            self.prompt.room(tokenizer, budget)
        stories = self.teller.tell(examples, past)
        if len({(story.past, story.asked) for story in stories}) < 2:
            raise TooFewExamples(
                f"All {len(stories)} texts of {examples.task.name} say the same: {stories[0].asked[:40]!r}.",
                mend="Bring what was written, in the column text, or leave the task out with --tasks.",
            )
        kept = trained_on(examples, self.recipe)
        taught, of = [stories[row] for row in np.flatnonzero(kept)], np.flatnonzero(kept)
        if self.augment is not None:
            taught, copies = self.augment.apply(taught, self.recipe.seed)
            of = of[copies]
        steps = self.recipe.steps(len(taught))
        network = self._network(
            examples.task, values[kept], method, base, steps, None if guesser is None else guesser.guess
        )
        if self.prompt is not None and guesser is not None:
            guesser.words_into(network.head, self.prompt, examples.task.answer, examples.task.name)
        lessons = Lessons(self._encode(taught, tokenizer, budget), values[of], tokenizer.pad_token_id)
        checkpoints = self._checkpoints_of(examples.task, lessons, network)
        loss = self.objective.loss(examples.task.answer)
        run = Run(method, self.recipe, loss, checkpoints, self.progress, tracker=self.tracker)
        losses = self._taught(network, taught, lessons, run, examples.task, tokenizer)
        known = _Fitted(examples.task, network, tokenizer, steps, losses=tuple(losses))
        fitted = replace(self, progress=silent, pruned=None, fitted=known)
        if kept.all():
            return fitted
        told = self._encode([stories[row] for row in np.flatnonzero(~kept)], tokenizer, budget)
        return fitted.calibrated_on(examples.where(~kept), told)

    def predict(self, examples: Examples, past: Past) -> Scores:
        """Answer questions; the truth is hidden."""
        return self.calibrated(self.read(self.encoded(examples, past)))

    def calibrated(self, values: Array) -> Scores:
        """What the head answered (see `read`), calibrated."""
        fitted = self._known()
        return Scores(fitted.task.answer, fitted.calibration.apply(fitted.task, values), _labels(fitted.task))

    def encoded(self, examples: Examples, past: Past) -> list[Encoded]:
        """What the language model reads of each example, with the piece of the past that each token tells of."""
        return self.encoded_stories(self.teller.tell(examples, past))

    def encoded_stories(self, stories: list[Story]) -> list[Encoded]:
        """What the language model reads of stories: cut to what it takes, and with the prompt where there is one."""
        return self._encode(stories, self._known().tokenizer, self.longest)

    def lessons(self, examples: Examples, past: Past) -> Lessons:
        """What it would learn of examples with truth: their texts, and where it augments changed copies, as tokens."""
        fitted, values = self._known(), values_of(examples)
        stories, of = self.teller.tell(examples.hide(), past), np.arange(len(examples))
        if self.augment is not None:
            stories, of = self.augment.apply(stories, self.recipe.seed)
        told = self._encode(stories, fitted.tokenizer, self.longest)
        return Lessons(told, values[of], fitted.tokenizer.pad_token_id)

    def states(self, examples: Examples, past: Past) -> Array:
        """Where the language model puts each example, (n, width) float32."""
        fitted = self._known()
        found: Array = read_states(fitted.network, self.encoded(examples, past), fitted.tokenizer.pad_token_id).numpy()
        return found

    def read(self, encoded: list[Encoded]) -> Array:
        """The head's answers to what has been told, before calibration, in the shape of `Scores.values`."""
        import torch

        fitted = self._known()
        torch.set_num_threads(self.recipe.threads)
        with torch.no_grad():
            states = read_states(fitted.network, encoded, fitted.tokenizer.pad_token_id)
        return self.answer(states.numpy())

    def answer(self, states: Array) -> Array:
        """The head's answers to `states`, before calibration, in the shape of `Scores.values`."""
        import torch

        with torch.no_grad():
            values: Array = self._known().network.answer(torch.from_numpy(states)).numpy().astype(np.float32)
        return values

    def budget(self, tokenizer: Any, network: Any, method: Method) -> int:
        """How many tokens of text the model can take, at most the recipe's."""
        positions = getattr(network.config, "max_position_embeddings", None) or self.recipe.max_tokens
        room = min(positions, tokenizer.model_max_length) - method.positions(self.sizes)
        return int(min(self.recipe.max_tokens, room))

    def merged(self) -> Self:
        """The same answers from the language model's own weights, where the method can be merged; itself elsewhere."""
        fitted, method = self._known(), method_of(self.method)
        if method.merge is None:
            return self
        network = copy.deepcopy(fitted.network)
        network.language_model = method.merge(network.language_model)
        return replace(self, fitted=replace(fitted, network=network.eval()))

    def with_network(self, network: TextNetwork, losses: list[float]) -> Self:
        """The same reader with a network that was trained further, and the losses of that training."""
        return replace(self, fitted=replace(self._known(), network=network.eval(), losses=tuple(losses)))

    def uncalibrated(self) -> Self:
        """The same reader, which gives the head's answers as they are."""
        return replace(self, fitted=replace(self._known(), calibration=Calibration()))

    @property
    def longest(self) -> int:
        """How many tokens it reads of a story at most."""
        fitted = self._known()
        return self.budget(fitted.tokenizer, fitted.network.language_model, method_of(self.method))

    @property
    def network(self) -> TextNetwork:
        """The trained network."""
        return self._known().network

    @property
    def network_tokenizer(self) -> Any:
        """The tokenizer that goes with the network."""
        return self._known().tokenizer

    @property
    def calibration(self) -> Calibration:
        """What is done to the head's answers last."""
        return self._known().calibration

    @property
    def losses(self) -> tuple[float, ...]:
        """Mean training loss of each epoch."""
        return self._known().losses

    @property
    def task(self) -> Task:
        """The question it was fitted on."""
        return self._known().task

    def save(self, folder: Path) -> None:
        """Write it as safetensors, JSON and the tokenizer's files. The model that comes with Intently is not copied."""
        from safetensors.numpy import save_file as save_arrays
        from safetensors.torch import save_file

        fitted = self._known()
        (folder / _MODEL).mkdir(parents=True, exist_ok=True)
        fitted.tokenizer.save_pretrained(folder / _MODEL)
        base_of(fitted.network.language_model).config.save_pretrained(folder / _MODEL)
        save_file(weights_of(fitted.network, whole=self.model != PACKAGED), folder / _WEIGHTS)
        arrays, settings = fitted.calibration.state()
        if arrays:
            save_arrays({name: np.ascontiguousarray(one) for name, one in arrays.items()}, folder / _CALIBRATION)
        told = {
            "format": FORMAT,
            "name": self.name,
            # Where it came from: to be fitted again it begins there. To answer, the folder needs nothing else.
            "model": str(Path(self.model).absolute()) if Path(self.model).is_dir() else self.model,
            "method": self.method,
            "sizes": asdict(self.sizes),
            "recipe": asdict(self.recipe),
            "teller": asdict(self.teller),
            "contrast": None if self.contrast is None else asdict(self.contrast),
            "prompt": None if self.prompt is None else asdict(self.prompt),
            "guess": None if fitted.network.guess is None else fitted.network.guess.told(),
            "name_labels": self.name_labels,
            "objective": asdict(self.objective),
            "augment": None if self.augment is None else self.augment.told(),
            "task": fitted.task.name,
            "steps": fitted.steps,
            "losses": list(fitted.losses),
            "pruned": None if self.pruned is None else asdict(self.pruned),
            "calibration": settings,
        }
        (folder / SETTINGS).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read_from(cls, folder: Path, task: Task) -> Self:
        """The text reader that `save` wrote, for the question it was fitted on. Raises BundleError where broken."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file as load_arrays
        from safetensors.torch import load_file

        try:
            told = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
            weights = load_file(folder / _WEIGHTS)
        except (OSError, ValueError, SafetensorError) as error:
            raise BundleError(f"{folder} holds no text reader: {error}.", mend="Train the bundle again.") from error
        if told.get("format") != FORMAT:
            raise BundleError(
                f"{folder} holds a text reader of format {told.get('format', 1)}; this version reads {FORMAT}.",
                mend="Train it again with this version.",
            )
        if told["task"] != task.name:
            raise BundleError(f"{folder} answers {told['task']!r}, not {task.name!r}.", mend="Train it again.")
        blank = cls(
            told["name"],
            told["model"],
            told["method"],
            Sizes(**told["sizes"]),
            TextRecipe(**told["recipe"]),
            Teller(**told["teller"]),
            None if told["contrast"] is None else Contrast(**told["contrast"]),
            None if told.get("prompt") is None else Prompt(**told["prompt"]),
            told["name_labels"],
            Objective.of(told["objective"]),
            Augment.of(told.get("augment")),
        )
        if told["model"] == PACKAGED:
            tokenizer, base = load(PACKAGED)
        else:
            tokenizer, base = empty_model(folder / _MODEL)
        left = Pruned.told(told.get("pruned"))
        if left is not None:
            cut(base, left)
        config: Any = base.config
        guess = Guess(config.hidden_size, **told["guess"]) if told.get("guess") else None
        none = np.zeros(0, dtype=np.float32)
        network = blank._network(task, none, method_of(told["method"]), base, told["steps"], guess)
        put_weights(network, weights, folder)
        numbers = folder / _CALIBRATION
        calibration = Calibration.from_state(load_arrays(numbers) if numbers.is_file() else {}, told["calibration"])
        fitted = _Fitted(task, network.eval(), tokenizer, told["steps"], calibration, tuple(told["losses"]))
        return replace(blank, pruned=left, fitted=fitted)

    def _check(self, task: Task) -> None:
        """Raise ConfigError where the settings do not go together, or not with the task's answer."""
        if self.contrast is not None and isinstance(task.answer, Amount):
            raise ConfigError(
                f"Contrast draws texts of one label together, and {task.name} asks for an amount.",
                mend="Leave contrast out.",
            )
        if self.contrast is not None and self.method == "frozen":
            raise ConfigError(
                "Contrast trains the language model, and the method frozen leaves it as it is.",
                mend="Use method = full or lora, or leave contrast out.",
            )
        if self.prompt is not None:
            self.prompt.check(task.answer, task.name)
        if self.prompt is not None and (self.contrast is not None or self.method == "frozen"):
            raise ConfigError(
                "A prompt trains the language model, and goes neither with contrast nor with the method frozen.",
                mend="Use method = full or lora, and leave contrast out.",
            )
        if self.name_labels and not isinstance(task.answer, OneOf):
            raise ConfigError(f"The labels of {task.name} have no names to be read.", mend="Leave name_labels out.")

    def _checkpoints_of(self, task: Task, lessons: Lessons, network: TextNetwork) -> Path | None:
        """Where the checkpoints of this very training are: its settings, its texts and the weights it begins with."""
        if self.checkpoints is None:
            return None
        told = [one.ids for one in lessons.encoded]
        begin = [weight.detach().numpy() for weight in network.state_dict().values()]
        same = replace(self, checkpoints=None)
        return folder_of(self.checkpoints, same, task.name, task.answer, told, lessons.values, *begin)

    def _taught(
        self, network: TextNetwork, stories: list[Story], lessons: Lessons, run: Run, task: Task, tokenizer: Any
    ) -> list[float]:
        """Train a network in place, by contrast and then the head, or all together; gives the losses.

        `lessons` are the `stories` as tokens.
        """
        if self.name_labels:
            words = [Story("", label_words(label), ()) for label in _labels(task)]
            named = self._encode(words, tokenizer, run.recipe.max_tokens)
            values = np.concatenate([lessons.values, np.arange(len(named), dtype=np.float32)])
            stories, lessons = [*stories, *words], Lessons([*lessons.encoded, *named], values, lessons.pad)
        if self.contrast is not None:
            ids = shortened(stories, lessons.encoded, tokenizer, self.contrast.max_tokens)
            losses = draw_together(network, ids, lessons.values, lessons.pad, self.contrast, run)
        elif any(weight.requires_grad for weight in network.language_model.parameters()):
            return finetune_text(network, lessons, run)
        else:
            losses = []
        states = read_states(network, lessons.encoded, lessons.pad)
        return losses + fit_head(network, states, lessons.values, self.recipe, run.tracker)

    def _encode(self, stories: list[Story], tokenizer: Any, budget: int) -> list[Encoded]:
        if self.prompt is None:
            return encode(stories, tokenizer, budget)
        return self.prompt.after(encode(stories, tokenizer, self.prompt.room(tokenizer, budget)), tokenizer)

    def _network(
        self, task: Task, values: Array, method: Method, base: Any, steps: int, guess: Guess | None
    ) -> TextNetwork:
        from intently.learn.batches import Truths
        from intently.learn.heads import head_for

        known = values if len(values) else np.ones(1, dtype=np.float32)
        head = head_for(task.answer, base.config.hidden_size, 0, Truths(task, np.zeros(0, dtype=np.int64), known))
        return TextNetwork(applied(method, base, self.sizes, steps), head, guess)

    def calibrated_on(self, examples: Examples, encoded: list[Encoded]) -> Self:
        """The same reader, calibrated anew on examples with truth, given encoded too, that it was not trained on."""
        fitted = self._known()
        scores = Scores(fitted.task.answer, self.read(encoded), _labels(fitted.task))
        return replace(self, fitted=replace(fitted, calibration=Calibration.of(fitted.task, examples, scores)))

    def _known(self) -> _Fitted:
        if self.fitted is None:
            raise ConfigError("This text reader has not been fitted.", mend="Call fit with examples and their past.")
        return self.fitted


def _labels(task: Task) -> tuple[str, ...]:
    return task.answer.labels if isinstance(task.answer, OneOf) else ()
