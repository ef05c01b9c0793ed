"""Every item of a catalogue scored for many customers, and the best of them: exact, in blocks of customers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from intently.log.pack import Array

if TYPE_CHECKING:
    from torch import Tensor

# Items looked at together when the best are sought.
_CHUNK = 64


@dataclass(frozen=True)
class Memories:
    """What is added to single logits: of customer `row`, sorted, and item code `item`, `more`."""

    row: Array
    item: Array
    more: Array


@dataclass(frozen=True)
class WholeCatalogue:
    """Item vectors (items, width) and biases (items,), filled up to whole chunks with items that nobody gets."""

    vectors: Tensor
    bias: Tensor
    items: int

    @classmethod
    def of(cls, vectors: Array, bias: Array) -> Self:
        """From arrays as `FittedReader.item_vectors` gives them."""
        import torch

        items = len(bias)
        filled = -(-items // _CHUNK) * _CHUNK
        padded = np.zeros((filled, vectors.shape[1]), dtype=np.float32)
        padded[:items] = vectors
        level = np.full(filled, -np.inf, dtype=np.float32)
        level[:items] = bias
        return cls(torch.from_numpy(padded), torch.from_numpy(level), items)

    def logits(self, queries: Array, memory: Memories, begin: int, end: int) -> Tensor:
        """Logits of the rows `begin` to `end` of `queries` (n, width), (rows, filled)."""
        import torch

        asked = torch.from_numpy(np.ascontiguousarray(queries[begin:end]))
        logits = torch.addmm(self.bias, asked, self.vectors.T)  # (rows, filled)
        mine = slice(*np.searchsorted(memory.row, [begin, end]))
        place = torch.from_numpy((memory.row[mine] - begin) * logits.shape[1] + memory.item[mine])
        logits.view(-1).index_add_(0, place, torch.from_numpy(memory.more[mine]))
        return logits

    def best(self, queries: Array, memory: Memories, begin: int, end: int, k: int) -> tuple[Array, Array]:
        """Codes and logits of the k best items, best first, (rows, k) both."""
        import torch

        with torch.inference_mode():
            logits = self.logits(queries, memory, begin, end)
            k = min(k, self.items)
            chunks = logits.view(len(logits), -1, _CHUNK)
            count = chunks.shape[1]
            if count <= k:
                top = logits.topk(k, dim=1)
                return top.indices.numpy(), top.values.numpy()
            # The k best items lie in the k chunks whose best item is best.
            peak = chunks.amax(dim=2)
            chosen = peak.topk(k, dim=1).indices  # (rows, k)
            inside = chunks.gather(1, chosen.unsqueeze(2).expand(-1, -1, _CHUNK)).flatten(1)  # (rows, k * chunk)
            top = inside.topk(k, dim=1)
            code = chosen.gather(1, top.indices // _CHUNK) * _CHUNK + top.indices % _CHUNK
            return code.numpy(), top.values.numpy()

    def log_totals(self, queries: Array, memory: Memories, begin: int, end: int) -> Array:
        """The log of the softmax's sum over all items, (rows,)."""
        import torch

        with torch.inference_mode():
            return np.asarray(self.logits(queries, memory, begin, end).logsumexp(dim=1).numpy())
