"""One head per Answer: how a state becomes an answer, and the loss that teaches it.

Every loss is a mean over examples and is divided by `scale`, the loss of the best constant answer
on the training truths. That is the whole balance between tasks: each starts near 1. What a head has from the training
truths is a buffer, so that one that is loaded can be trained further.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from intently.contract import QUANTILES, Amount, Answer, OneOf, Ranking, Shares, YesNo
from intently.learn.batches import MEMORY_FEATURES, Batch, Truths
from intently.learn.softmax import log_total

Array = np.ndarray

# Where cosines are logits, their scale to begin with; it is learned.
COSINE_SCALE = 16.0


_RANKED_AT_ONCE = 1024


class YesNoHead(nn.Module):
    """A logit; binary cross-entropy."""

    scale: Tensor

    def __init__(self, width: int, truths: Truths) -> None:
        super().__init__()
        rate = float(np.clip(truths.values.mean(), 1e-4, 1 - 1e-4))
        self.out = nn.Linear(width, 1)
        nn.init.constant_(self.out.bias, math.log(rate / (1 - rate)))
        self.register_buffer("scale", torch.tensor(-(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))))

    def loss(self, states: Tensor, batch: Batch, task: str) -> Tensor:
        """Mean loss over the nows that have a truth."""
        logit = self.out(states[batch[f"truth.{task}.now"]]).squeeze(-1)
        return functional.binary_cross_entropy_with_logits(logit, batch[f"truth.{task}.value"]) / self.scale

    def answer(self, states: Tensor) -> Tensor:
        """Probability, (n, 1)."""
        return torch.sigmoid(self.out(states))


class OneOfHead(nn.Module):
    """A logit per label; cross-entropy."""

    scale: Tensor

    def __init__(self, width: int, truths: Truths, labels: int) -> None:
        super().__init__()
        rate = (np.bincount(truths.values.astype(np.int64), minlength=labels) + 1) / (len(truths.values) + labels)
        self.out = nn.Linear(width, labels)
        self.out.bias.data = torch.from_numpy(np.log(rate)).float()
        self.register_buffer("scale", torch.tensor(float(-(rate * np.log(rate)).sum())))

    def loss(self, states: Tensor, batch: Batch, task: str) -> Tensor:
        """Mean loss over the nows that have a truth."""
        logits = self.out(states[batch[f"truth.{task}.now"]])
        return functional.cross_entropy(logits, batch[f"truth.{task}.value"].long()) / self.scale

    def answer(self, states: Tensor) -> Tensor:
        """Probabilities, (n, labels)."""
        return torch.softmax(self.out(states), dim=-1)


class AmountHead(nn.Module):
    """A hurdle: is it more than nothing, and if so a log-normal (zero-inflated log-normal; Wang et al. 2019).

    The quantiles are the log-normal's. Its mean, though, moves with the exponential of a variance that is hard to
    learn and ranks customers badly; the mean is therefore the square of a root learned by least squares, plus
    what the roots scatter.
    """

    unit: Tensor
    scale: Tensor

    def __init__(self, width: int, truths: Truths) -> None:
        super().__init__()
        positive = truths.values[truths.values > 0]
        rate = float(np.clip((truths.values > 0).mean(), 1e-3, 1 - 1e-3))
        logs = np.log(positive) if len(positive) else np.zeros(1)
        sigma = max(float(logs.std()), 0.1)
        roots = np.sqrt(np.maximum(truths.values, 0.0))
        self.register_buffer("unit", torch.tensor(max(float(roots.std()), 1e-6)))
        self.out = nn.Linear(width, 4)
        start = [
            math.log(rate / (1 - rate)),
            float(logs.mean()),
            _inverse_softplus(sigma),
            float(roots.mean() / roots.std().clip(1e-6)),
        ]
        self.out.bias.data = torch.tensor(start)
        self.scatter = nn.Parameter(torch.tensor(1.0))
        entropy = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
        # In units of the log amount's spread, so that the currency does not matter.
        self.register_buffer("scale", torch.tensor(entropy + rate * 1.0))

    def loss(self, states: Tensor, batch: Batch, task: str) -> Tensor:
        """Mean negative log-likelihood; the part of an amount above nothing is in log units."""
        truth = batch[f"truth.{task}.value"]
        logit, mu, sigma, root = self._parts(states[batch[f"truth.{task}.now"]])
        some = truth > 0
        hurdle = functional.binary_cross_entropy_with_logits(logit, some.float())
        z = (torch.log(truth.clamp(min=1e-6)) - mu) / sigma
        size = torch.where(some, 0.5 * z.square() + torch.log(sigma), torch.zeros_like(z)).mean()
        missed = (truth.clamp(min=0).sqrt() / self.unit - root).square()
        scatter = (missed.detach().mean() - self.scatter).square()
        return (hurdle + size) / self.scale + missed.mean() + scatter

    def answer(self, states: Tensor) -> Tensor:
        """Mean and QUANTILES, (n, 1 + 19)."""
        logit, mu, sigma, root = self._parts(states)
        some = torch.sigmoid(logit)
        mean = (root.clamp(min=0).square() + self.scatter * root.clamp(0, 1)) * self.unit**2
        level = torch.tensor(QUANTILES, device=states.device).view(1, -1)
        inside = ((level - (1 - some.unsqueeze(1))) / some.unsqueeze(1)).clamp(1e-6, 1 - 1e-6)
        size = torch.exp(mu.unsqueeze(1) + sigma.unsqueeze(1) * math.sqrt(2) * torch.erfinv(2 * inside - 1))
        quantiles = torch.where(level <= 1 - some.unsqueeze(1), torch.zeros_like(size), size)
        return torch.cat([mean.unsqueeze(1), quantiles], dim=1)

    def _parts(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logit, mu, raw, root = self.out(states).unbind(-1)
        return logit, mu, functional.softplus(raw).clamp(0.05, 3.0), root


class Memory(nn.Module):
    """How much likelier something is for having been met before, given when, how often, and its plain logit."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Linear(MEMORY_FEATURES + 1, 48)
        self.state = nn.Linear(width, 48, bias=False)
        self.middle = nn.Linear(48, 24)
        self.out = nn.Linear(24, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, states: Tensor, now: Tensor, features: Tensor, logit: Tensor) -> Tensor:
        """What to add to the `logit` of each remembered cell, (cells,)."""
        joined = torch.cat([features, logit.detach().unsqueeze(1) / 4], dim=1)
        hidden = functional.silu(self.features(joined) + self.state(states)[now])
        return self.out(functional.silu(self.middle(hidden))).squeeze(-1)


class SharesHead(nn.Module):
    """A softmax over labels, moved by what the customer bought before; the Jensen-Shannon divergence itself."""

    scale: Tensor

    def __init__(self, width: int, truths: Truths) -> None:
        super().__init__()
        mean = truths.values.mean(axis=0) + 1e-6
        mean = mean / mean.sum()
        self.out = nn.Linear(width, len(mean))
        nn.init.normal_(self.out.weight, std=0.01)
        self.out.bias.data = torch.from_numpy(np.log(mean)).float()
        self.memory = Memory(width)
        constant = torch.from_numpy(mean).float().expand(len(truths.values), -1)
        self.register_buffer("scale", _divergence(constant, torch.from_numpy(truths.values)).mean())

    def logits(self, states: Tensor, batch: Batch, task: str) -> Tensor:
        """Logits of all nows, (nows, labels)."""
        now, label = batch[f"memory.{task}.now"], batch[f"memory.{task}.value"]
        plain = self.out(states)
        more = self.memory(states, now, batch[f"memory.{task}.features"], plain[now, label])
        return plain.index_put((now, label), more, accumulate=True)

    def loss(self, states: Tensor, batch: Batch, task: str) -> Tensor:
        """Mean loss over the nows that have a truth."""
        logits = self.logits(states, batch, task)[batch[f"truth.{task}.now"]]
        shares = torch.softmax(logits, dim=-1)
        return _divergence(shares, batch[f"truth.{task}.value"]).mean() / self.scale


def _divergence(shares: Tensor, truth: Tensor) -> Tensor:
    """Jensen-Shannon divergence of each row in nats, (n,)."""
    middle = torch.log((shares + truth).clamp(min=1e-12) / 2)
    mine = shares * (torch.log(shares.clamp(min=1e-12)) - middle)
    return (mine + torch.special.xlogy(truth, truth) - truth * middle).sum(dim=-1) / 2


class RankingHead(nn.Module):
    """Dot product with item vectors, moved by what the customer met before; a softmax over sets.

    The candidates of a now are the whole catalogue; or where the batch has negatives its true items, the items the
    customer met before, and those negatives, corrected by the log of their expected count (Bengio and Senécal 2008).
    """

    def __init__(self, shape_width: int, item_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(shape_width, item_width)
        self.memory = Memory(shape_width)
        self.scale = 10.0

    def loss(self, states: Tensor, batch: Batch, task: str, vectors: Tensor, bias: Tensor) -> Tensor:
        """Mean over nows of the mean over their true items of -log softmax."""
        asked = batch[f"truth.{task}.now"]
        if len(asked) == 0:
            return states.sum() * 0
        place = torch.full((len(states),), -1, dtype=torch.long, device=states.device)
        place[asked] = torch.arange(len(asked), device=states.device)
        query = self.query(states)
        own_now, own_item = batch[f"memory.{task}.now"], batch[f"memory.{task}.value"]
        kept = place[own_now] >= 0
        own_now, own_item, features = own_now[kept], own_item[kept], batch[f"memory.{task}.features"][kept]
        own_code = batch[f"memory.{task}.code"][kept]
        plain = (query[own_now] * vectors[own_item]).sum(-1) + bias[own_item]
        own = plain + self.memory(states, own_now, features, plain)
        owner, target = batch[f"truth.{task}.owner"], batch[f"truth.{task}.value"]
        code = batch[f"truth.{task}.code"]
        fresh = (query[asked][owner] * vectors[target]).sum(-1) + bias[target]
        # A true item that the customer met before takes the remembered logit.
        size = max(_most(own_code), _most(code)) + 1
        own_key = place[own_now] * size + own_code
        key = owner * size + code
        where = torch.searchsorted(own_key, key).clamp(max=max(len(own_key) - 1, 0))
        again = own_key[where] == key if len(own_key) else torch.zeros_like(key, dtype=torch.bool)
        logit = torch.where(again, own[where], fresh) if len(own_key) else fresh
        if "negative" in batch:
            shared = query[asked] @ vectors[batch["negative"]].T + bias[batch["negative"]] - batch["negative_log_q"]
            total = _log_add(torch.logsumexp(shared, dim=1), place[own_now], own)
            total = _log_add(total, owner[~again], fresh[~again])
        else:
            # In float32: what is taken from a sum again must be what went into it.
            total = log_total(query[asked], vectors[:-1], bias[:-1], torch.float32)
            total = _log_swap(total, place[own_now], plain, own)
        each = total[owner] - logit
        count = torch.bincount(owner, minlength=len(asked)).clamp(min=1)
        per_now = each.new_zeros(len(asked)).index_add_(0, owner, each) / count
        return per_now.mean() / self.scale


def _most(code: Tensor) -> int:
    return int(code.max()) if len(code) else 0


def _log_add(log_total: Tensor, row: Tensor, logits: Tensor) -> Tensor:
    """log(exp(log_total) + sum of exp(logits) of each row), stable."""
    if len(row) == 0:
        return log_total
    peak = log_total.detach().clone().scatter_reduce_(0, row, logits.detach(), reduce="amax")
    total = torch.exp(log_total - peak).index_add(0, row, torch.exp(logits - peak[row]))
    return peak + torch.log(total)


def _log_swap(log_total: Tensor, row: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """log(exp(log_total) + sum of (exp(new) - exp(old)) of each row), where exp(old) are part of the total."""
    peak = log_total.detach().clone().scatter_reduce_(0, row, new.detach(), reduce="amax")
    change = torch.exp(new - peak[row]) - torch.exp(old - peak[row])
    total = torch.exp(log_total - peak).index_add(0, row, change)
    return peak + torch.log(total.clamp(min=1e-9))


class NextMoment(nn.Module):
    """Self-supervision: from each moment, the items of the next one as a set, its gap, money and event types."""

    def __init__(
        self, width: int, item_width: int, event_types: int, cosine: bool = False, items_alone: bool = False
    ) -> None:
        super().__init__()
        self.items_alone = items_alone
        # With cosines the state itself is what is asked for; see Reader.
        self.query = nn.Identity() if cosine else nn.Linear(width, item_width)
        self.numbers = nn.Linear(width, 2)
        self.types = nn.Linear(width, event_types)
        self.cosine = cosine
        if cosine:
            self.log_scale = nn.Parameter(torch.tensor(math.log(COSINE_SCALE)))

    def asked(self, states: Tensor) -> Tensor:
        """What states (n, width) ask for: queries (n, item_width) whose products with `aimed` vectors are logits."""
        query = self.query(states)
        return _unit(query) * self.log_scale.exp() if self.cosine else query

    def aimed(self, vectors: Tensor) -> Tensor:
        """Item vectors (items, item_width) as they are asked for."""
        return _unit(vectors) if self.cosine else vectors

    def loss(self, states: Tensor, batch: Batch, vectors: Tensor, bias: Tensor) -> Tensor:
        """Softmax over items (divided by 10) + errors of log gap, log money and event types unless `items_alone`.

        Judged and not trained: 1 - the mean of 1 / log2(1 + rank) of the true items among those of the batch.
        Probabilities grow overconfident long before the ranking stops getting better.

        The softmax is over the whole catalogue, or where the batch has negatives over those and the true item.
        `vectors` and `bias` have one more row at their end for "no item" in the first case.
        """
        b, t, width = states.shape
        flat = states.reshape(b * t, width)
        asked = batch["asking"]
        if not len(asked):
            return states.sum() * 0
        row = torch.full((b * t,), -1, dtype=torch.long, device=states.device)
        row[asked] = torch.arange(len(asked), device=states.device)
        # The slot before a history's first asks for nothing: another history's last, padding, or the batch's last.
        source, target = batch["line_slot"] - 1, batch["line_item"]
        # A line without an item is read, and not asked for: it is in no softmax.
        known = (row[source] >= 0) & batch["line_of_item"]
        owner, target = row[source][known], target[known]
        query, aimed = self.asked(flat[asked]), self.aimed(vectors)
        if not self.training:
            return 1 - _gain(query[owner], target, aimed[:-1], bias[:-1]).mean()
        each = self._items(query, owner, target, batch, aimed, bias)
        count = torch.bincount(owner, minlength=len(asked)).clamp(min=1)
        items = (each.new_zeros(len(asked)).index_add_(0, owner, each) / count).mean() / 10.0
        if self.items_alone:
            return items
        following = batch["moment_numbers"].reshape(b * t, 3)[asked + 1, :2]
        numbers = functional.smooth_l1_loss(self.numbers(flat[asked]), following)
        kinds = flat.new_zeros(b * t, self.types.out_features)
        kinds[batch["line_slot"], batch["line_type"]] = 1.0
        types = functional.binary_cross_entropy_with_logits(self.types(flat[asked]), kinds[asked + 1])
        return items + numbers + types

    def _items(
        self, query: Tensor, owner: Tensor, target: Tensor, batch: Batch, vectors: Tensor, bias: Tensor
    ) -> Tensor:
        """-log softmax of each true item, (targets,)."""
        logit = (query[owner] * vectors[target]).sum(-1) + bias[target]
        if "negative" not in batch:
            return log_total(query, vectors[:-1], bias[:-1])[owner] - logit
        shared = query @ vectors[batch["negative"]].T + bias[batch["negative"]] - batch["negative_log_q"]
        total = torch.logsumexp(shared, dim=1)
        return functional.softplus(total[owner] - logit)  # -log(e^logit / (e^logit + total))


def _unit(x: Tensor) -> Tensor:
    """Vectors of length 1, as functional.normalize gives them, but with fewer passes backwards."""
    return x * x.square().sum(dim=-1, keepdim=True).clamp(min=1e-24).rsqrt()


def _gain(query: Tensor, target: Tensor, vectors: Tensor, bias: Tensor) -> Tensor:
    """The discounted gain of each true item by its rank among all, (targets,)."""
    gains = []
    for asked, true in zip(torch.split(query, _RANKED_AT_ONCE), torch.split(target, _RANKED_AT_ONCE), strict=True):
        logits = torch.addmm(bias, asked, vectors.T)  # (targets, items)
        better = (logits > logits.gather(1, true.unsqueeze(1))).sum(dim=1)
        gains.append(1 / torch.log2(better + 2.0))
    return torch.cat(gains)


def head_for(answer: Answer, width: int, item_width: int, truths: Truths) -> nn.Module:
    """The head of an answer kind."""
    match answer:
        case YesNo():
            return YesNoHead(width, truths)
        case OneOf(labels=labels):
            return OneOfHead(width, truths, len(labels))
        case Amount():
            return AmountHead(width, truths)
        case Shares():
            return SharesHead(width, truths)
        case Ranking():
            return RankingHead(width, item_width)


def _inverse_softplus(value: float) -> float:
    return math.log(math.expm1(value))
