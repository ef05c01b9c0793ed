"""`python -m intently` is `intently`."""

from intently.cli import main

main()
