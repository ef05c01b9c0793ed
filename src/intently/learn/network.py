"""The sequence reader's network: items, moments, a causal transformer, and a *now* that reads it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.learn.batches import Batch
from intently.learn.dropout import dropout

# Attention falls off with time between events; each attention head starts at its own rate.
_SLOPES = (0.0, 0.25, 0.5, 1.0)

# How far items without a text lie apart before anything is learned; what else is read starts no louder.
ITEM_SPREAD = 0.02


@dataclass(frozen=True)
class Shape:
    """Sizes of a sequence reader.

    A shop without item texts has `text_width` 0; `attributes` is how many values items' attributes take in all. With
    `cosine`, logits are cosines times a learned scale instead of products, and items are read as they are asked for, so
    that `width` is `item_width`. With `items_alone`, of a moment only its items are read, and of
    the next only they are asked for. `item_dropout` is the share of items read as if never met, `input_dropout` what is
    dropped before the first block (else `dropout`).
    """

    text_width: int
    texts: int
    deltas: int
    event_types: int
    numbers: int = 0
    width: int = 128
    item_width: int = 64
    blocks: int = 2
    attention_heads: int = 4
    dropout: float = 0.2
    item_dropout: float = 0.1
    input_dropout: float | None = None
    attributes: int = 0
    cosine: bool = False
    items_alone: bool = False


class Items(nn.Module):
    """An item as its text and attributes plus a small learned difference; a new item has no difference."""

    text: Tensor

    def __init__(self, shape: Shape, text: Tensor) -> None:
        super().__init__()
        self.register_buffer("text", text, persistent=False)  # (texts, text_width)
        if shape.text_width:
            self.project = nn.Linear(shape.text_width, shape.item_width)
        self.delta = nn.Embedding(shape.deltas + 1, shape.item_width, padding_idx=0)
        if shape.text_width:
            nn.init.zeros_(self.delta.weight)
            self.text_bias = nn.Linear(shape.text_width, 1, bias=False)
            nn.init.zeros_(self.text_bias.weight)
        else:
            # Nothing else tells items apart at first: all of one vector, none would ever learn.
            nn.init.normal_(self.delta.weight, std=ITEM_SPREAD)
            self.delta.weight.data[0] = 0
        if shape.attributes:
            self.attribute = nn.EmbeddingBag(shape.attributes, shape.item_width, mode="mean")
            nn.init.normal_(self.attribute.weight, std=ITEM_SPREAD)
        if shape.cosine:
            # Cosines leave no room for how often an item is bought: a learned level of its own.
            self.level = nn.Embedding(shape.deltas + 1, 1, padding_idx=0)
            nn.init.zeros_(self.level.weight)
        self.popularity = nn.Parameter(torch.tensor([1.0, 0.0]))  # slope in log count; level of a new item
        self.shape = shape
        self.dropout = shape.item_dropout

    def forward(
        self, text: Tensor, delta: Tensor, count: Tensor, attribute: Tensor | None = None, start: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Vectors (items, item_width) and biases (items,) of items; item i has `attribute[start[i] : start[i + 1]]`."""
        new = count == 0
        if self.training and self.dropout > 0:
            # Some items are read as if never met, so that text alone is worth something.
            new = new | (torch.rand_like(count) < self.dropout)
        delta = torch.where(new, torch.zeros_like(delta), delta)
        vector = self.delta(delta)  # (items, item_width)
        known = self.level(delta).squeeze(-1) if self.shape.cosine else self.popularity[0] * torch.log1p(count)
        level = torch.where(new, self.popularity[1].expand_as(count), known)
        if self.shape.text_width:
            words = self.text[text]
            vector = vector + self.project(words)
            level = level + self.text_bias(words).squeeze(-1)
        if self.shape.attributes:
            assert attribute is not None
            vector = vector + self.attribute(attribute, start)
        return vector, level


class Block(nn.Module):
    """Pre-norm attention and SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.heads, self.dropout = shape.width, shape.attention_heads, shape.dropout
        self.before_attention = nn.RMSNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.before_mlp = nn.RMSNorm(width)
        hidden = width * 2
        self.gate = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        slopes = torch.tensor([_SLOPES[i % len(_SLOPES)] for i in range(self.heads)])
        self.slope = nn.Parameter(slopes)

    def forward(self, x: Tensor, log_gap: Tensor, hidden: Tensor, first: int = 0) -> Tensor:
        """`x` (batch, time, width); `log_gap` (batch, time, time) >= 0; `hidden` True where not to look.

        Tokens before `first` are looked at, but nothing is made of them: (batch, time - first, width).
        """
        b, t, width = x.shape
        before = self.before_attention(x)
        q = self._by_head(self.query(before[:, first:]))
        k, v = map(self._by_head, self.key_value(before).chunk(2, dim=-1))
        bias = -self.slope.view(1, -1, 1, 1) * log_gap[:, first:].unsqueeze(1)  # (batch, heads, time - first, time)
        bias = bias.masked_fill(hidden[:, first:].unsqueeze(1), -1e9)
        read = self._attended(q, k, v, bias)
        x = x[:, first:] + self.out(read.transpose(1, 2).reshape(b, t - first, width))
        gate, value = self.gate(self.before_mlp(x)).chunk(2, dim=-1)
        mlp = self.down(functional.silu(gate) * value)
        return x + dropout(mlp, self.dropout, self.training)

    def _attended(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        scores = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias, dim=-1)
        return dropout(scores, self.dropout) @ v

    def _by_head(self, x: Tensor) -> Tensor:
        """(batch, time, width) as (batch, heads, time, width / heads)."""
        return x.reshape(*x.shape[:2], self.heads, x.shape[-1] // self.heads).transpose(1, 2)


class Reader(nn.Module):
    """Reads moments in order: a state for each moment, from it and what came before, and one for each now."""

    def __init__(self, shape: Shape, text: Tensor) -> None:
        super().__init__()
        self.shape = shape
        self.items = Items(shape, text)
        self.event_type = nn.Embedding(shape.event_types + 1, shape.item_width)
        self.line_numbers = nn.Linear(2, shape.item_width)
        self.moment = nn.Linear(3 if shape.cosine else 2 * shape.item_width + 3, shape.width)
        if shape.cosine:
            # Items are read at one loudness and as they are asked for, so that the state is at first the items read.
            # A layer between would learn one vector of an item for reading and another for asking: a rare item, met
            # as one or the other, is then known as neither.
            self.read = nn.RMSNorm(shape.item_width)
            for extra in (self.line_numbers, self.moment):
                nn.init.zeros_(extra.weight)
                nn.init.zeros_(extra.bias)
        self.weekday = nn.Embedding(7, shape.width)
        self.hour = nn.Embedding(24, shape.width)
        self.now = nn.Linear(3, shape.width)
        # What an analyst would count of the past, told to the now before it reads and again after.
        self.told = nn.Linear(shape.numbers, shape.width)
        self.tell = nn.Linear(shape.width, shape.width)
        for table in (self.event_type, self.weekday, self.hour):
            nn.init.normal_(table.weight, std=0.1)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.blocks))
        self.norm = nn.RMSNorm(shape.width)

    def moments(self, batch: Batch, items: Tensor) -> Tensor:
        """States of moments, (batch, moments, width)."""
        moments = self._moments(batch, items)
        place = torch.arange(moments.shape[1], device=moments.device)
        hidden = (place.view(1, 1, -1) > place.view(1, -1, 1)).expand(len(moments), -1, -1)
        if "moment_history" in batch:
            history = batch["moment_history"]
            hidden = hidden | (history.unsqueeze(1) != history.unsqueeze(2))
        return self._read(moments, batch["moment_age"], hidden)

    def nows(self, batch: Batch, items: Tensor) -> Tensor:
        """States of nows, (nows, width)."""
        moments = self._moments(batch, items)
        b, owner = len(moments), batch["now_history"]
        # Place each history's nows side by side after its moments.
        nth = _nth(owner)
        most = int(nth.max()) + 1 if len(owner) else 0
        told, now = self.now_tokens(batch)
        nows = moments.new_zeros(b, most, self.shape.width)
        age = moments.new_zeros(b, most)
        visible = torch.zeros(b, most, dtype=torch.long, device=moments.device)
        nows[owner, nth] = now
        age[owner, nth] = batch["now_age"]
        visible[owner, nth] = batch["now_visible"]
        x = self.last_states(moments, batch["moment_age"], nows, age, visible)
        return x[owner, nth] + self.say(told)

    def now_tokens(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is told of each now outright, and each now as a token, (nows, width) both."""
        told = functional.silu(self.told(batch["now_told"]))
        told = dropout(told, self.shape.dropout, self.training)
        return told, self.now(batch["now_numbers"]) + self._calendar(batch["now_hour"]) + told

    def last_states(self, moments: Tensor, ages: Tensor, nows: Tensor, now_ages: Tensor, visible: Tensor) -> Tensor:
        """States of nows (batch, nows, width) that each see so many of the moments (batch, moments, width)."""
        t = moments.shape[1]
        x, ages = torch.cat([moments, nows], dim=1), torch.cat([ages, now_ages], dim=1)
        return self._read(x, ages, _hidden(len(x), t, nows.shape[1], visible), first=t)

    def say(self, told: Tensor) -> Tensor:
        """What is told of each now, said once more after it has read."""
        return functional.silu(self.tell(told))

    def _read(self, x: Tensor, ages: Tensor, hidden: Tensor, first: int = 0) -> Tensor:
        """Tokens through all blocks; the states of those from `first` on, which are all the last block makes."""
        dropped = self.shape.dropout if self.shape.input_dropout is None else self.shape.input_dropout
        x = dropout(x, dropped, self.training)
        log_gap = torch.log1p((ages.unsqueeze(1) - ages.unsqueeze(2)).clamp(min=0))  # (batch, reader, read)
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, log_gap, hidden, first if number == len(self.blocks) else 0)
        return self.norm(x)

    def _moments(self, batch: Batch, items: Tensor) -> Tensor:
        line = items[batch["line_item"]]
        if self.shape.cosine:
            line = self.read(line)
        if self.shape.items_alone:
            return self._baskets(batch, line)
        extra = self.event_type(batch["line_type"]) + self.line_numbers(batch["line_numbers"])
        calendar = self._calendar(batch["moment_hour"])
        if self.shape.cosine:
            return self._baskets(batch, line + extra) + self.moment(batch["moment_numbers"]) + calendar
        baskets = [self._baskets(batch, line), self._baskets(batch, functional.silu(line + extra))]
        return self.moment(torch.cat([*baskets, batch["moment_numbers"]], dim=-1)) + calendar

    def _baskets(self, batch: Batch, line: Tensor) -> Tensor:
        """The lines of each moment together, (batch, moments, width of a line): between a sum and a mean."""
        b, t, _ = batch["moment_numbers"].shape
        total = _sums(line, batch["line_slot"], b * t)
        count = torch.expm1(batch["moment_numbers"][..., 2]).clamp(min=1).view(b * t, 1)
        return (total / count.sqrt()).view(b, t, -1)

    def _calendar(self, hour_of_week: Tensor) -> Tensor:
        return self.weekday(hour_of_week // 24) + self.hour(hour_of_week % 24)


def _sums(values: Tensor, slot: Tensor, slots: int) -> Tensor:
    """Sums (slots, width) of the rows of each slot; rows come sorted by slot."""
    if torch.is_grad_enabled() or torch.compiler.is_exporting():
        return values.new_zeros(slots, values.shape[-1]).index_add_(0, slot, values)
    # A third of the time, but no faster backwards, and a loop in ONNX.
    stop = torch.bincount(slot, minlength=slots).cumsum(0)
    start = torch.cat([stop.new_zeros(1), stop[:-1]])
    return functional.embedding_bag(torch.arange(len(values), device=values.device), values, start, mode="sum")


def _nth(owner: Tensor) -> Tensor:
    """The place of each row among the rows with its owner; rows come sorted by owner."""
    if len(owner) == 0:
        return owner
    first = torch.ones_like(owner, dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    place = torch.arange(len(owner), device=owner.device)
    return place - torch.cummax(torch.where(first, place, torch.zeros_like(place)), dim=0).values


def _hidden(b: int, t: int, nows: int, visible: Tensor) -> Tensor:
    """True where a token must not look: moments see themselves and earlier ones, a now its visible moments."""
    device = visible.device
    place = torch.arange(t + nows, device=device)
    moments = (place.view(1, 1, -1) > place[:t].view(1, -1, 1)).expand(b, t, t + nows)
    itself = place.view(1, 1, -1) == (t + torch.arange(nows, device=device)).view(1, -1, 1)
    seen = (place.view(1, 1, -1) < visible.unsqueeze(-1)) | itself  # (batch, nows, tokens)
    return torch.cat([moments, ~seen], dim=1)
