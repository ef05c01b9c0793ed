"""What the language model says of an item's demand: how items that read alike have been selling.

An item that sells once a month says little of itself; the thirty texts nearest to its own say more, at any
age of the item. Vectors are of words alone, so nothing here knows a date but through `past.shop`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from intently.baselines.lightgbm_demand import sold
from intently.contract import Amount, Examples, Past, Task
from intently.learn.fitted import FittedReader
from intently.log import schema
from intently.log.pack import Array

_NAMES = ("near_amount_14d", "near_amount_28d", "near_amount_84d", "near_growth_14d", "near_growth_28d", "near_live")


@dataclass(frozen=True)
class ItemColumns:
    """Columns of asked items: sales per item of the nearest texts, the item itself left out."""

    reader: FittedReader

    def columns(self, task: Task, examples: Examples, past: Past) -> tuple[Array, tuple[str, ...]]:
        """Float32 (n, 6): what a like item sold in 14, 28 and 84 days, its growth, and how many like items sell."""
        number, near, weight = self.reader.nearest(past)
        texts = len(near)
        units = task.answer == Amount("units")
        code = np.maximum(past.code, 0)
        values = np.full((len(examples), len(_NAMES)), np.nan, dtype=np.float32)
        at = examples.at
        for cutoff in examples.cutoffs:
            rows = np.flatnonzero((at == cutoff).to_numpy())
            amounts = sold(past, cutoff, past.items[schema.ITEM], units=units)  # (items, 3)
            live = (amounts[:, 2] > 0).astype(np.float64)
            by_text = np.stack(
                [np.bincount(number, column, texts) for column in (*amounts.T, live)], axis=1
            )  # (texts, 4)
            around = np.einsum("tk,tkc->tc", weight, by_text[near])  # (texts, 4)
            mine = code[rows]
            own = np.column_stack([amounts[mine], live[mine]]) * weight[number[mine], :1]
            like = np.maximum(around[number[mine]] - own, 0.0)
            per_item = like[:, :3] / np.maximum(like[:, 3:], 0.5)
            growth = (like[:, :2] * (6, 3) + 1) / (like[:, 2:3] + 1)
            values[rows] = np.column_stack([np.log1p(per_item), growth, like[:, 3]])
        return values, _NAMES
