"""The command line: one file a verb."""

from __future__ import annotations


def main() -> None:
    """Run `intently`."""
    from intently.cli.app import run

    run()
