"""Every error that Intently raises on purpose.

IntentlyError            what came, and the mend
├── DataError            a file, a column, a value
├── ConfigError          an option or a configuration key
├── TooFewExamples       not enough to learn from, or one class only
├── BundleError          a saved model that cannot be loaded or does not fit
└── StateError           a service's database that does not answer or cannot take more
"""

from __future__ import annotations

from collections.abc import Sequence


class IntentlyError(Exception):
    """Something a person can put right: `problem` says what came, `mend` what to do."""

    def __init__(self, problem: str, *, mend: str) -> None:
        super().__init__(f"{problem} {mend}")
        self.problem = problem
        self.mend = mend


class DataError(IntentlyError):
    """A file, a column or a value that cannot be used."""


class ConfigError(IntentlyError):
    """An option or a configuration key that cannot be used."""


class TooFewExamples(IntentlyError):
    """Not enough examples to learn a task from, or one class only."""


class BundleError(IntentlyError):
    """A saved model that cannot be loaded, or does not fit the data."""


class StateError(IntentlyError):
    """A service's database that does not answer, or cannot take more."""


def gathered(faults: Sequence[str]) -> str:
    """All faults in one text, a line each, so that a person mends them in one go."""
    if len(faults) == 1:
        return faults[0]
    return f"{len(faults)} faults:\n" + "\n".join(f"  - {fault}" for fault in faults) + "\n"
