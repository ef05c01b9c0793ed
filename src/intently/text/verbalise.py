"""Items as words."""

from __future__ import annotations

import numpy as np
import polars as pl

from intently.log import schema

Array = np.ndarray

# What is said of an item first; other text columns follow in the catalogue's order.
_FIRST = (schema.TITLE, schema.BRAND, schema.CATEGORY)


def item_texts(items: pl.DataFrame) -> tuple[list[str], Array]:
    """The distinct texts of a catalogue, and for each item the number of its text, int64 (items,)."""
    names = [name for name in _FIRST if name in items.columns]
    names += [
        name
        for name, dtype in items.schema.items()
        if dtype in (pl.String, pl.Categorical, pl.Enum) and name not in (*names, schema.ITEM)
    ]
    said = items.select(
        pl.concat_str(
            [pl.col(name).cast(pl.String).str.strip_chars() for name in names], separator="; ", ignore_nulls=True
        )
        .str.to_lowercase()
        .fill_null("")
        .alias("text")
    )["text"]
    distinct = said.unique(maintain_order=True)
    lookup = pl.DataFrame({"text": distinct}).with_row_index("number")
    number = pl.DataFrame({"text": said}).join(lookup, on="text", how="left", maintain_order="left")["number"]
    return distinct.to_list(), number.cast(pl.Int64).to_numpy()
