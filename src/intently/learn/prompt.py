"""Few labels by a prompt: after the text the language model guesses a word, and each label is a word.

`It is about [MASK].` (PET, Schick and Schütze 2021; fine-tuned as by Gao et al. 2021). What a model learned in guessing
words answers before anything is trained: the head begins with the vectors of the labels' words. A decoder guesses what
follows, so its prompt ends where the word would stand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from intently.contract import Amount, Answer, OneOf, Ranking, Shares, YesNo
from intently.errors import ConfigError
from intently.learn.few_shot import label_words
from intently.text.language_model import load, locate
from intently.text.tokens import Encoded

# Beside a model that was pre-trained here: the layers by which it guesses words.
GUESS = "guess.safetensors"
WORD = "{word}"
TEMPLATE = f"It is about {WORD}."


@dataclass(frozen=True)
class Prompt:
    """What is said after a text, with the word to be guessed as `{word}`; `words` of labels, else their own."""

    template: str = TEMPLATE
    words: Mapping[str, str] = field(default_factory=dict)

    def check(self, answer: Answer, name: str) -> None:
        """Raise ConfigError where the prompt has no word, or words of labels that are none."""
        if self.template.count(WORD) != 1:
            raise ConfigError(f"The prompt {self.template!r} has no {WORD}.", mend=f"Write it as in {TEMPLATE!r}.")
        labels = labels_of(answer, name)
        strange = sorted(set(self.words) - set(labels))
        if strange:
            raise ConfigError(f"{name} has no label {strange[0]!r}.", mend=f"There are {', '.join(labels)}.")

    def try_on(self, model: str, answer: Answer, name: str, tokens: int) -> None:
        """Raise ConfigError where a model cannot guess words, or does not know a label's, or of so many tokens the
        prompt leaves a text too few.
        """
        guesser = guesser_of(model)
        guesser.words_of(self, answer, name)
        self.room(guesser.tokenizer, tokens)

    def room(self, tokenizer: Any, tokens: int) -> int:
        """How many of so many tokens are left for the text. Raises ConfigError where it is less than half."""
        mine = len(self.ids(tokenizer))
        if 2 * mine > tokens:
            raise ConfigError(
                f"The prompt is {mine} tokens long, and a text has {tokens} with it.",
                mend="Say it shorter, or let more be read of a text (max_tokens), if the language model takes that.",
            )
        return tokens - mine

    def ids(self, tokenizer: Any) -> list[int]:
        """Its tokens; of a model without a mask, those before the word."""
        before, after = self.template.split(WORD)
        parts = [tokenizer(part, add_special_tokens=False)["input_ids"] for part in (" " + before.strip(), after)]
        return parts[0] if tokenizer.mask_token_id is None else [*parts[0], tokenizer.mask_token_id, *parts[1]]

    def after(self, encoded: Sequence[Encoded], tokenizer: Any) -> list[Encoded]:
        """The texts with the prompt after each, before the mark that ends it."""
        mine, ends = self.ids(tokenizer), {tokenizer.sep_token_id, tokenizer.eos_token_id}
        found = []
        for one in encoded:
            stop = len(one.ids) - (one.ids[-1] in ends)
            piece = np.concatenate([one.piece[:stop], np.full(len(mine), -1), one.piece[stop:]])
            found.append(replace(one, ids=[*one.ids[:stop], *mine, *one.ids[stop:]], piece=piece))
        return found


def labels_of(answer: Answer, name: str) -> tuple[str, ...]:
    """The labels that words are guessed for. Raises ConfigError where there are none."""
    match answer:
        case OneOf(labels=labels):
            return labels
        case YesNo():
            return ("no", "yes")
        case Amount() | Ranking() | Shares():
            raise ConfigError(f"A prompt guesses labels, and {name} has none.", mend="Leave few_labels out.")


class Guess(nn.Module):
    """From the states of a text's tokens to what is compared with the vectors of words, at the word's place."""

    def __init__(self, width: int, mask: int | None, layered: bool, eps: float = 1e-12) -> None:
        super().__init__()
        self.mask, self.eps = mask, eps
        layers = (nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width, eps=eps)) if layered else ()
        self.layers = nn.Sequential(*layers)

    def forward(self, hidden: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(batch, width), of states (batch, tokens, width)."""
        there = attention_mask if self.mask is None else (input_ids == self.mask).long()
        # The last such token: a customer may have written the mark too.
        place = (there * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)).argmax(dim=1)
        at = place.view(-1, 1, 1).expand(-1, 1, hidden.shape[-1])
        found: Tensor = self.layers(hidden.gather(1, at).squeeze(1).float())
        return found

    def told(self) -> dict[str, Any]:
        """What it is made with, as plain values."""
        return {"mask": self.mask, "layered": len(self.layers) > 0, "eps": self.eps}


@dataclass(frozen=True)
class Guesser:
    """A language model that guesses words: its layers, and for each token its vector (words, width) and bias."""

    tokenizer: Any
    network: Any
    guess: Guess
    vectors: Tensor
    bias: Tensor

    @torch.no_grad()
    def words_into(self, head: Any, prompt: Prompt, answer: Answer, name: str) -> None:
        """Let a head begin with the vectors of the labels' words, the mean over the tokens of each."""
        weight, bias = self.words_of(prompt, answer, name)
        if isinstance(answer, YesNo):
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        head.out.weight.copy_(weight)
        head.out.bias.copy_(bias)

    def words_of(self, prompt: Prompt, answer: Answer, name: str) -> tuple[Tensor, Tensor]:
        """The vectors (labels, width) and biases (labels,) of the labels' words.

        Raises ConfigError for a word that the model does not know.
        """
        rows, offsets = [], []
        for label in labels_of(answer, name):
            word = prompt.words.get(label) or label_words(label)
            ids = self.tokenizer(" " + word, add_special_tokens=False)["input_ids"]
            known = [one for one in ids if one != self.tokenizer.unk_token_id]
            if not known:
                raise ConfigError(
                    f"The model does not know the word {word!r} of the label {label!r}.",
                    mend=f'Give another, as in words = {{ {label} = "parcel" }}.',
                )
            rows.append(self.vectors[known].mean(dim=0))
            offsets.append(self.bias[known].mean())
        return torch.stack(rows), torch.stack(offsets)


def guesser_of(model: str) -> Guesser:
    """A model with the layers by which it guesses words. Raises ConfigError where it was saved without them."""
    tokenizer, network = load(model)
    config: Any = network.config
    embedding: Any = network.get_input_embeddings()  # type: ignore[operator]
    vectors = embedding.weight.detach()
    file = Path(locate(model)) / GUESS
    if file.is_file():
        from safetensors.torch import load_file

        arrays = load_file(file)
        bias = arrays.pop("bias")
        guess = Guess(config.hidden_size, tokenizer.mask_token_id, layered=True, eps=1e-5)
        guess.layers.load_state_dict(arrays)
        return Guesser(tokenizer, network, guess, vectors, bias)
    whole = _whole(model, masked=tokenizer.mask_token_id is not None)
    decoder = whole.get_output_embeddings()
    own = getattr(decoder, "bias", None)
    bias = torch.zeros(len(decoder.weight)) if own is None else own.detach()
    parts = _parts(whole)
    guess = Guess(config.hidden_size, tokenizer.mask_token_id, bool(parts), parts[-1].eps if parts else 1e-12)
    for place, part in zip((0, 2), parts, strict=False):
        guess.layers[place].load_state_dict(part.state_dict())
    found = Guesser(tokenizer, network, guess, decoder.weight.detach(), bias)
    _alike(found, whole, model)
    return found


def _whole(model: str, *, masked: bool) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM
    from transformers.utils import logging

    kind: Any = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    refused = ConfigError(
        f"The language model {model!r} was saved without the layers by which it guesses words.",
        mend="Use few_labels = 'contrast', a model made by `intently pretrain`, or one such as bert-base-uncased.",
    )
    loudness = logging.get_verbosity()
    # What is missing is said in a sentence, not in a table.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        whole, info = kind.from_pretrained(locate(model), dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, KeyError) as error:
        raise refused from error
    finally:
        logging.set_verbosity(loudness)
    if info["missing_keys"]:
        raise refused
    return whole.eval()


def _parts(whole: Any) -> list[Any]:
    """The linear layer and the norm between a model's states and the vectors of words, by their usual names."""
    transform = getattr(getattr(getattr(whole, "cls", None), "predictions", None), "transform", None)
    for owner, names in (
        (transform, ("dense", "LayerNorm")),
        (getattr(whole, "lm_head", None), ("dense", "layer_norm")),
        (getattr(whole, "head", None), ("dense", "norm")),
        (whole, ("vocab_transform", "vocab_layer_norm")),
    ):
        if owner is not None and all(hasattr(owner, name) for name in names):
            return [getattr(owner, name) for name in names]
    return []


@torch.no_grad()
def _alike(found: Guesser, whole: Any, model: str) -> None:
    """Refuse a model that guesses in another way than is known here."""
    ids = torch.tensor([[1, 2, 3]])
    mask = torch.ones_like(ids)
    hidden = found.network.eval()(input_ids=ids, attention_mask=mask).last_hidden_state[:, -1]
    logits = found.guess.layers(hidden) @ found.vectors.T + found.bias
    if not torch.allclose(logits, whole(input_ids=ids, attention_mask=mask).logits[:, -1], atol=1e-3):
        raise ConfigError(
            f"The language model {model!r} guesses words in a way that is not known here.",
            mend="Use few_labels = 'contrast', or a model of the kind of BERT, RoBERTa, Llama or Qwen.",
        )
