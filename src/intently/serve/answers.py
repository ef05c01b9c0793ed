"""Scores as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from intently.contract import Amount, OneOf, Ranking, Scores, Shares, YesNo

# Nine significant figures give back the same float32.
_FIGURES = 9


def plain(scores: Scores, most: int = 20) -> Any:
    """One row of scores: a probability, an amount with its interval, or the `most` likely labels or items."""
    row = scores.values[0]
    match scores.answer:
        case YesNo():
            return {"probability": number(row[0])}
        case Amount(unit=unit):
            return {"mean": number(row[0]), "low": number(row[1]), "high": number(row[-1]), "unit": unit}
        case OneOf() | Shares():
            order = np.argsort(-row, kind="stable")[:most]
            return {"shares": [{"label": scores.labels[i], "share": number(row[i])} for i in order]}
        case Ranking(of=of):
            assert scores.ids is not None
            there = np.flatnonzero(np.isfinite(row))[:most]
            ids = scores.ids[0][there].tolist()
            return {
                "items": [
                    {of: item, "score": number(score), "rank": rank}
                    for rank, (item, score) in enumerate(zip(ids, row[there], strict=True), start=1)
                ]
            }


def number(value: Any) -> float:
    """A float32 as the shortest number that gives it back."""
    return float(f"{float(value):.{_FIGURES}g}")
