"""Intently: fine-tune a pre-trained language model on a shop's event log, and ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intently.errors import IntentlyError
    from intently.log.log import Log
    from intently.log.packed import PackedLog
    from intently.model import LanguageModel

__all__ = ["IntentlyError", "LanguageModel", "Log", "PackedLog"]

_WHERE = {
    "IntentlyError": "intently.errors",
    "LanguageModel": "intently.model",
    "Log": "intently.log.log",
    "PackedLog": "intently.log.packed",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for, so that `import intently` stays quick.
    if name not in _WHERE:
        raise AttributeError(f"module 'intently' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
