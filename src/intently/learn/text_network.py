"""A language model with one head: what reads words and answers one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.text.tokens import Encoded

# The name under which the one question stands in a batch.
ASKED = "asked"


class TextNetwork(nn.Module):
    """A language model, the mean of its last states over the text, and a head of `learn.heads`.

    With `guess` (`learn.prompt`), the state is that by which the model guesses the word of a prompt.
    """

    def __init__(self, language_model: Any, head: Any, guess: Any = None) -> None:
        super().__init__()
        self.language_model, self.head, self.guess = language_model, head, guess

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """One state per text, (batch, width), of length root width whatever the model's own scale."""
        hidden = self.language_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        # Virtual tokens stand before the text and are not part of it.
        hidden = hidden[:, hidden.shape[1] - input_ids.shape[1] :]  # (batch, tokens, width)
        if self.guess is not None:
            state: Tensor = self.guess(hidden, input_ids, attention_mask)
            return state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        return functional.normalize(mean.float(), dim=-1) * mean.shape[-1] ** 0.5

    def answer(self, states: Tensor) -> Tensor:
        """What the head answers, in the shape of `Scores.values`."""
        found: Tensor = self.head.answer(states)
        return found


def truths(labels: Tensor) -> dict[str, Tensor]:
    """Truths as a head takes them: one for each state."""
    now = torch.arange(len(labels), device=labels.device)
    return {f"truth.{ASKED}.now": now, f"truth.{ASKED}.value": labels}


def padded(rows: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Tensor]:
    """Rows of `input_ids` (and `labels`) as one batch, padded on the right."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), longest), pad)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for number, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[number, :length] = torch.tensor(row["input_ids"])
        mask[number, :length] = 1
    batch = {"input_ids": ids, "attention_mask": mask}
    if "labels" in rows[0]:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return batch


@torch.no_grad()
def read_states(network: TextNetwork, encoded: Sequence[Encoded], pad: int, batch_size: int = 64) -> Tensor:
    """The state of each text, (n, width) float32; texts of like length are read together."""
    network.eval()
    if not encoded:
        return torch.zeros((0, network.language_model.config.hidden_size))
    order = sorted(range(len(encoded)), key=lambda number: len(encoded[number].ids))
    parts = []
    for start in range(0, len(order), batch_size):
        rows = [{"input_ids": encoded[number].ids} for number in order[start : start + batch_size]]
        parts.append(network.states(**padded(rows, pad)))
    place = torch.empty(len(order), dtype=torch.long)
    place[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
    return torch.cat(parts)[place]
