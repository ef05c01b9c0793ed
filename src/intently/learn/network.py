"""The sequence reader's network: items, moments, a causal transformer, and a *now* that reads it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.learn.batches import Batch

# Attention falls off with time between events; each attention head starts at its own rate.
_SLOPES = (0.0, 0.25, 0.5, 1.0)

# How far items without a text lie apart before anything is learned; what else is read starts no louder.
ITEM_SPREAD = 0.02


@dataclass(frozen=True)
class Shape:
    """Sizes of a sequence reader.

    A shop without item texts has `text_width` 0; `attributes` is how many values items' attributes take in all. With
    `cosine`, logits are cosines times a learned scale instead of products, and items are read as they are asked for, so
    that `width` is `item_width`. `item_dropout` is the share of items read as
    if never met, `input_dropout` what is dropped before the first block (`dropout` without it).
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
        self.popularity = nn.Parameter(torch.tensor([0.0 if shape.cosine else 1.0, 0.0]))  # slope in log count; of new
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
        level = torch.where(new, self.popularity[1].expand_as(count), self.popularity[0] * torch.log1p(count))
        if self.shape.text_width:
            words = self.text[text]
            vector = vector + self.project(words)
            level = level + self.text_bias(words).squeeze(-1)
        if self.shape.attributes:
            assert attribute is not None
            vector = vector + self.attribute(attribute, start)
        if self.shape.cosine:
            level = level + self.level(delta).squeeze(-1)
        return vector, level


class Block(nn.Module):
    """Pre-norm attention and SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.heads, self.dropout = shape.width, shape.attention_heads, shape.dropout
        self.before_attention = nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.before_mlp = nn.RMSNorm(width)
        hidden = width * 2
        self.gate = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        slopes = torch.tensor([_SLOPES[i % len(_SLOPES)] for i in range(self.heads)])
        self.slope = nn.Parameter(slopes)

    def forward(self, x: Tensor, log_gap: Tensor, hidden: Tensor) -> Tensor:
        """`x` (batch, time, width); `log_gap` (batch, time, time) >= 0; `hidden` True where not to look."""
        b, t, width = x.shape
        qkv = self.qkv(self.before_attention(x)).view(b, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (batch, heads, time, width / heads) each
        bias = -self.slope.view(1, -1, 1, 1) * log_gap.unsqueeze(1)  # (batch, heads, time, time)
        bias = bias.masked_fill(hidden.unsqueeze(1), -1e9)
        dropout = self.dropout if self.training else 0.0
        read = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
        x = x + self.out(read.transpose(1, 2).reshape(b, t, width))
        gate, value = self.gate(self.before_mlp(x)).chunk(2, dim=-1)
        mlp = self.down(functional.silu(gate) * value)
        return x + functional.dropout(mlp, dropout, self.training)


class Reader(nn.Module):
    """Reads moments in order; one state per moment and one per now."""

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

    def forward(self, batch: Batch, items: Tensor) -> tuple[Tensor, Tensor]:
        """States of moments (batch, moments, width) and of nows (nows, width)."""
        moments = self._moments(batch, items)
        b, t, _ = moments.shape
        owner, device = batch["now_history"], moments.device
        # Place each history's nows side by side after its moments.
        nth = _nth(owner)
        most = int(nth.max()) + 1 if len(owner) else 0
        nows = moments.new_zeros(b, most, self.shape.width)
        age = moments.new_zeros(b, most)
        visible = torch.zeros(b, most, dtype=torch.long, device=device)
        told = functional.silu(self.told(batch["now_told"]))  # (nows, width)
        told = functional.dropout(told, self.shape.dropout, self.training)
        nows[owner, nth] = self.now(batch["now_numbers"]) + self._calendar(batch["now_hour"]) + told
        age[owner, nth] = batch["now_age"]
        visible[owner, nth] = batch["now_visible"]
        dropped = self.shape.dropout if self.shape.input_dropout is None else self.shape.input_dropout
        x = functional.dropout(torch.cat([moments, nows], dim=1), dropped, self.training)
        ages = torch.cat([batch["moment_age"], age], dim=1)
        log_gap = torch.log1p((ages.unsqueeze(1) - ages.unsqueeze(2)).clamp(min=0))  # (batch, reader, read)
        hidden = _hidden(b, t, most, visible)
        for block in self.blocks:
            x = block(x, log_gap, hidden)
        x = self.norm(x)
        return x[:, :t], x[:, t:][owner, nth] + functional.silu(self.tell(told))

    def _moments(self, batch: Batch, items: Tensor) -> Tensor:
        b, t, _ = batch["moment_numbers"].shape
        line = items[batch["line_item"]]
        if self.shape.cosine:
            line = self.read(line)
        extra = self.event_type(batch["line_type"]) + self.line_numbers(batch["line_numbers"])
        # (lines, item_width) with cosines, else (lines, 2 * item_width)
        line = line + extra if self.shape.cosine else torch.cat([line, functional.silu(line + extra)], dim=-1)
        total = line.new_zeros(b * t, line.shape[-1]).index_add_(0, batch["line_slot"], line)
        count = torch.expm1(batch["moment_numbers"][..., 2]).clamp(min=1).view(b * t, 1)
        basket = (total / count.sqrt()).view(b, t, -1)  # between a sum and a mean
        calendar = self._calendar(batch["moment_hour"])
        if self.shape.cosine:
            return basket + self.moment(batch["moment_numbers"]) + calendar
        return self.moment(torch.cat([basket, batch["moment_numbers"]], dim=-1)) + calendar

    def _calendar(self, hour_of_week: Tensor) -> Tensor:
        return self.weekday(hour_of_week // 24) + self.hour(hour_of_week % 24)


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
