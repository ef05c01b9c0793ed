"""Faults as they may be told to who waits in another thread."""

from __future__ import annotations


def plain_fault(error: BaseException) -> Exception:
    """What who asked is told of a fault: a panic of polars is no Exception, and would end their thread too."""
    if isinstance(error, Exception):
        return error
    told = RuntimeError(f"{type(error).__name__}: {error}")
    told.__cause__ = error
    return told
