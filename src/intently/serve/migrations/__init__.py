"""The state's tables, version by version, for alembic."""
